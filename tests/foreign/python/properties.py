"""Every writable property of the description: a value that is not its default, and where it comes back.

`test_properties.py` fails for a property that has no line here, so the table grows with the description. `$name` is
something of the scene, `$media` a file of its service that is in no message. What does not come back is named with the reason; this list shrinks.
"""

from dataclasses import dataclass, field

from daemon import MESSAGING_SERVICE, MESSAGING_SERVICE_SECOND, SMS, SMS_SECOND, TEMPLATE

ANY = object()
DATE = "2020-01-02T03:04:05Z"


@dataclass
class Property:
    """`value` is sent and `shows` is the member it is shown under, as `expected` (the value itself if absent; `ANY`: not
    null, and the same ever after). `beside` goes with it, and with `alone` nothing that the resource usually has; `least`
    is what the resource is made with instead of what it usually is. A name may end in `on update`."""

    value: object
    shows: str
    expected: object = None
    beside: dict = field(default_factory=dict)
    alone: bool = False
    least: dict | None = None

    def comes_back_as(self):
        return self.value if self.expected is None else self.expected


_VARIABLES = {"ContentVariables": '{"1": "Ann"}'}
_HOOK = {"AutoCreation.Type": "webhook", "AutoCreation.WebhookUrl": "https://a.example/one"}
_STUDIO = {"AutoCreation.Type": "studio", "AutoCreation.StudioFlowSid": "FW" + "1" * 32}
_TRIGGER = {"Target": "trigger", "Configuration.Url": "https://a.example/", "Configuration.Triggers": ["help"]}
_FLOW = {"Target": "studio", "Configuration.FlowSid": "FW" + "1" * 32}
_CONVERSATION = {
    "FriendlyName": Property("Named & shown ✓", "friendly_name"),
    "UniqueName": Property("unique {n}", "unique_name"),
    "DateCreated": Property(DATE, "date_created"),
    "DateUpdated": Property(DATE, "date_updated"),
    "MessagingServiceSid": Property(MESSAGING_SERVICE, "messaging_service_sid"),
    "Attributes": Property('{ "topic": "feedback" }', "attributes"),
    "State": Property("inactive", "state"),
    "Timers.Inactive": Property("PT1H", "timers.date_inactive", ANY, beside={"State": "active"}),
    "Timers.Closed": Property("P1D", "timers.date_closed", ANY, beside={"State": "active"}),
}
# By resource: what it is made with at least, and its properties.
LEAST = {
    "Conversations": {},
    "ConversationWithParticipants": {"Participant": ['{"identity": "with {n}"}']},
    "Participants": {"Identity": "somebody {n}"},
    "Messages": {"Body": "Hello"},
    "Roles": {"FriendlyName": "guest", "Type": "conversation", "Permission": ["sendMessage"]},
    "Users": {"Identity": "user {n}"},
    "Services": {"FriendlyName": "Shop"},
    "Credentials": {"Type": "fcm"},
    "Addresses": {"Type": "email", "Address": "{n}@a.example"},
    "ScopedWebhooks": {
        "Target": "webhook", "Configuration.Url": "https://a.example/", "Configuration.Filters": ["onMessageAdded"]
    },
}
PROPERTIES = {
    "Conversations": _CONVERSATION,
    "ConversationWithParticipants": _CONVERSATION,
    "Participants": {
        "Identity": Property("identity {n}", "identity"),
        "MessagingBinding.Address": Property(
            "+1555070{n:04}", "messaging_binding.address", beside={"MessagingBinding.ProxyAddress": SMS}, alone=True
        ),
        "MessagingBinding.ProxyAddress": Property(
            SMS_SECOND, "messaging_binding.proxy_address", beside={"MessagingBinding.Address": "+1555071{n:04}"}, alone=True
        ),
        "DateCreated": Property(DATE, "date_created"),
        "DateUpdated": Property(DATE, "date_updated"),
        "Attributes": Property('{"role": "driver"}', "attributes"),
        "RoleSid": Property("$conversation_role", "role_sid"),
        "LastReadMessageIndex": Property("0", "last_read_message_index", 0),
        "LastReadTimestamp": Property(DATE, "last_read_timestamp"),
        "MessagingBinding.ProxyAddress on update": Property(
            SMS_SECOND, "messaging_binding.proxy_address",
            least={"MessagingBinding.Address": "+1555073{n:04}", "MessagingBinding.ProxyAddress": SMS},
        ),
    },
    "Messages": {
        "Author": Property("walker", "author"),
        "Body": Property("Other words ✓", "body"),
        "DateCreated": Property(DATE, "date_created"),
        "DateUpdated": Property(DATE, "date_updated"),
        "Attributes": Property('{"importance": "high"}', "attributes"),
        "MediaSid": Property("$media", "media", ANY),
        "ContentSid": Property(TEMPLATE, "content_sid", beside=_VARIABLES),
        "ContentVariables": Property('{"1": "Bob"}', "body", "Hi Bob, your order is ready.", beside={"ContentSid": TEMPLATE}),
    },
    "Roles": {
        "FriendlyName": Property("another guest", "friendly_name"),
        "Type": Property("service", "type", beside={"Permission": ["joinConversation"]}),
        "Permission": Property(["leaveConversation", "editOwnMessage"], "permissions"),
    },
    "Users": {
        "Identity": Property("identity/{n}", "identity"),
        "FriendlyName": Property("A user", "friendly_name"),
        "Attributes": Property('{"duty": "tech"}', "attributes"),
        "RoleSid": Property("$service_role", "role_sid"),
    },
    "UserConversations": {
        "NotificationLevel": Property("muted", "notification_level"),
        "LastReadMessageIndex": Property("0", "last_read_message_index", 0),
    },
    "Services": {"FriendlyName": Property("Another shop", "friendly_name")},
    "Credentials": {
        "Type": Property("apn", "type"),
        "FriendlyName": Property("Phones", "friendly_name"),
        "Sandbox": Property("true", "sandbox", "True", beside={"Type": "apn"}),
    },
    "Addresses": {
        "Type": Property("sms", "type", beside={"Address": "+1555072{n:04}"}, alone=True),
        "Address": Property("{n}@other.example", "address"),
        "FriendlyName": Property("Support", "friendly_name"),
        "AddressCountry": Property("CA", "address_country"),
        "AutoCreation.Enabled": Property("true", "auto_creation.enabled", True),
        "AutoCreation.Type": Property("webhook", "auto_creation.type", beside={"AutoCreation.WebhookUrl": "https://a.example/"}),
        "AutoCreation.ConversationServiceSid": Property("$shop", "auto_creation.conversation_service_sid"),
        "AutoCreation.WebhookUrl": Property("https://a.example/two", "auto_creation.webhook_url", beside=_HOOK),
        "AutoCreation.WebhookMethod": Property("get", "auto_creation.webhook_method", "GET", beside=_HOOK),
        "AutoCreation.WebhookFilters": Property(["onMessageAdded"], "auto_creation.webhook_filters", beside=_HOOK),
        "AutoCreation.StudioFlowSid": Property("FW" + "2" * 32, "auto_creation.studio_flow_sid", beside=_STUDIO),
        "AutoCreation.StudioRetryCount": Property("3", "auto_creation.studio_retry_count", 3, beside=_STUDIO),
    },
    "ScopedWebhooks": {
        "Target": Property("trigger", "target", beside={"Configuration.Triggers": ["help"]}),
        "Configuration.Url": Property("https://a.example/other", "configuration.url"),
        "Configuration.Method": Property("get", "configuration.method"),
        "Configuration.Filters": Property(["onConversationUpdated", "onDeliveryUpdated"], "configuration.filters"),
        "Configuration.Triggers": Property(["stop", "now"], "configuration.triggers", least=_TRIGGER),
        "Configuration.FlowSid": Property("FW" + "2" * 32, "configuration.flow_sid", least=_FLOW),
        "Configuration.ReplayAfter": Property("0", "configuration.replay_after", 0),
    },
    # Nothing answers at these URLs, and nothing that REST callers do is told without their asking.
    "Webhooks": {
        "PreWebhookUrl": Property("https://a.example/pre", "pre_webhook_url"),
        "PostWebhookUrl": Property("https://a.example/post", "post_webhook_url"),
        "Method": Property("GET", "method"),
        "Filters": Property(["onMessageAdded", "onConversationAdded"], "filters"),
        "Target": Property("flex", "target"),
    },
    "Configuration": {
        "DefaultMessagingServiceSid": Property(MESSAGING_SERVICE_SECOND, "default_messaging_service_sid"),
        "DefaultInactiveTimer": Property("PT5M", "default_inactive_timer"),
        "DefaultClosedTimer": Property("PT1H", "default_closed_timer"),
        # Last, since from then on the short paths are another service's.
        "DefaultChatServiceSid": Property("$shop", "default_chat_service_sid"),
    },
    "ServiceConfiguration": {
        "DefaultConversationCreatorRoleSid": Property("$other_conversation_role", "default_conversation_creator_role_sid"),
        "DefaultConversationRoleSid": Property("$other_conversation_role", "default_conversation_role_sid"),
        "DefaultChatServiceRoleSid": Property("$other_service_role", "default_chat_service_role_sid"),
        "ReachabilityEnabled": Property("true", "reachability_enabled", True),
    },
    "Notifications": {
        "LogEnabled": Property("true", "log_enabled", True),
        "NewMessage.Enabled": Property("true", "new_message.enabled", True),
        "NewMessage.Template": Property("${MESSAGE}", "new_message.template"),
        "NewMessage.Sound": Property("ring", "new_message.sound"),
        "NewMessage.BadgeCountEnabled": Property("true", "new_message.badge_count_enabled", True),
        "NewMessage.WithMedia.Enabled": Property("true", "new_message.with_media.enabled", True),
        "NewMessage.WithMedia.Template": Property("${MEDIA}", "new_message.with_media.template"),
        "AddedToConversation.Enabled": Property("true", "added_to_conversation.enabled", True),
        "AddedToConversation.Template": Property("Welcome", "added_to_conversation.template"),
        "AddedToConversation.Sound": Property("chime", "added_to_conversation.sound"),
        "RemovedFromConversation.Enabled": Property("true", "removed_from_conversation.enabled", True),
        "RemovedFromConversation.Template": Property("Farewell", "removed_from_conversation.template"),
        "RemovedFromConversation.Sound": Property("gong", "removed_from_conversation.sound"),
    },
}
# Properties that do not come back, with the reason.
_EMAIL = "there is no e-mail channel"
_GROUP = "no configured channel carries group texts; refused with 50452"
_SECRET = "secrets are never shown"
DO_NOT_COME_BACK = {
    "Conversations Bindings.Email.Address": _EMAIL,
    "Conversations Bindings.Email.Name": _EMAIL,
    "ConversationWithParticipants Bindings.Email.Address": _EMAIL,
    "ConversationWithParticipants Bindings.Email.Name": _EMAIL,
    "ConversationWithParticipants Participant": "they are resources of their own; test_people.py looks at them",
    "Messages Subject": "subjects are for e-mail, and no answer shows one",
    "Participants MessagingBinding.ProjectedAddress": _GROUP,
    "UpdateConversationParticipant Identity": "only somebody with a projected address can be given one",
    "UserConversations LastReadTimestamp": "no answer of this resource shows it; the participant's does",
    "Credentials Certificate": _SECRET,
    "Credentials PrivateKey": _SECRET,
    "Credentials ApiKey": _SECRET,
    "Credentials Secret": _SECRET,
}
