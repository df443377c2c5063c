//! The only place that makes HTTP errors: status, code, message and where to read more.
//!
//! Users parse codes and some texts, so both are part of the contract; the table at the end of the file's tests holds
//! the ones that must never change.

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{Body, full};
use crate::relay::{Improper, Misfit, RelayError, RoleUse};

/// How long a caller should wait before it tries again after a 503.
const RETRY_AFTER_SECONDS: u32 = 5;

/// An error as REST callers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    code: u32,
    message: String,
    hint: Hint,
}

/// What else the answer carries.
#[derive(Clone, Debug, PartialEq)]
enum Hint {
    None,
    RetryAfter,
    Allow(&'static str),
    Authenticate,
    Details(Value),
}

/// A line of the catalogue: an error whose text never varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    code: u32,
    status: u16,
    message: &'static str,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $message:literal;)*) => {
        $($(#[$doc])* pub const $name: Entry = Entry { code: $code, status: $status, message: $message };)*
        #[cfg(test)]
        const CATALOGUE: &[(&str, Entry)] = &[$((stringify!($name), $name)),*];
    };
}

catalogue! {
    BODY_TOO_LARGE = 20001, 413, "The request body is too large";
    BODY_BROKEN = 20001, 400, "The request body ended early";
    TOO_SLOW = 20001, 408, "The request did not arrive in time";
    NOT_FORM = 20001, 415, "The request body must be application/x-www-form-urlencoded";
    NOT_UTF8 = 20001, 400, "The request is not valid UTF-8";
    TOO_MANY_PARAMETERS = 20001, 400, "The request has too many parameters";
    PAGE_TOKEN = 20001, 400, "Invalid PageToken";
    NEGATIVE_PAGE_TOKEN = 19038, 400, "Page token must not be negative";
    IDEMPOTENCY_KEY = 20001, 400, "Idempotency-Key must have 1 to 255 visible characters";
    IDEMPOTENCY_REUSED = 20422, 422, "This Idempotency-Key was used with another request in the last 24 hours";
    IDEMPOTENCY_LOST = 20409, 409, "The request with this Idempotency-Key was carried out, and its answer cannot be given again";
    MEDIA_EMPTY = 20001, 400, "There is nothing in the file";
    MEDIA_FORM = 20001, 400, "The body is no form with a file in it";
    MEDIA_SEVERAL = 20001, 400, "There are several files in the form";
    MEDIA_SET = 20001, 400, "The body is no {\"command\":\"get\",\"list\":[{\"media_sid\":\"ME…\"}]} of at most 100";
    TOO_MANY_MEDIA = 20001, 400, "There are more than 10 of MediaSid, or one of them twice";
    FORBIDDEN = 20403, 403, "Forbidden";
    LINK_FORGED = 20403, 403, "This is no link of ours";
    LINK_EXPIRED = 20410, 410, "The link has expired";
    NOT_A_SOCKET = 20001, 426, "This path takes WebSocket connections only";
    SOCKET_KEY = 20001, 400, "Sec-WebSocket-Key is not 16 bytes in base64";
    ORIGIN = 20003, 403, "This page's origin is not in allowed_origins";
    UPDATE_EMPTY = 20161, 400, "The update has no parameters";
    FRIENDLY_NAME_MISSING = 50000, 400, "FriendlyName is required";
    FRIENDLY_NAME_TOO_LONG = 50003, 400, "FriendlyName is longer than 256 characters";
    UNIQUE_NAME_TOO_LONG = 50004, 400, "UniqueName is longer than 256 characters";
    SERVICE_NOT_FOUND = 50050, 404, "Service instance not found";
    WEBHOOK_FORMAT = 50054, 400, "A filter is longer than 128 characters, or there are more than 100";
    WEBHOOK_METHOD = 50055, 400, "Method is neither GET nor POST";
    VETOED = 50056, 403, "A pre-action webhook refused the action";
    PRE_WEBHOOK_URL = 50077, 400, "PreWebhookUrl is not an http or https URL of at most 2048 characters";
    POST_WEBHOOK_URL = 50078, 400, "PostWebhookUrl is not an http or https URL of at most 2048 characters";
    ROLE_NOT_FOUND = 50100, 404, "Role not found";
    SERVICE_ROLE_NOT_FOUND = 50102, 404, "Service role not found";
    PERMISSION_UNKNOWN = 50104, 400, "Permission is unknown or not for this type of role";
    ROLE_TYPE = 50105, 400, "Role type is unknown";
    CREATOR_ROLE_NOT_FOUND = 50106, 404, "Conversation creator role not found";
    NOT_PERMITTED = 50107, 403, "User unauthorized for command";
    CONVERSATION_ROLE_NOT_FOUND = 50109, 404, "Conversation role not found";
    USER_NOT_FOUND = 50200, 404, "User not found";
    USER_TAKEN = 50201, 409, "User already exists";
    IDENTITY_RESERVED = 50203, 400, "Identity is reserved";
    IDENTITY_MISSING = 50204, 400, "Identity not provided";
    IDENTITY_IS_SID = 50206, 400, "Identity looks like a user SID";
    IDENTITY_TOO_LONG = 50207, 400, "Identity is longer than 256 characters";
    NOTIFICATION_LEVEL = 50210, 400, "NotificationLevel is unknown";
    IDENTITY_AND_BINDING = 50211, 400, "Identity cannot be combined with MessagingBinding.Address or MessagingBinding.ProxyAddress";
    TOO_MANY_CONVERSATIONS = 50214, 400, "User is in too many conversations";
    ATTRIBUTES_TOO_LONG = 50303, 400, "Attributes are too long";
    ATTRIBUTES_NOT_JSON = 50304, 400, "Attributes are not valid JSON";
    DATE_CREATED = 50308, 400, "DateCreated is not an ISO 8601 date";
    DATE_UPDATED = 50309, 400, "DateUpdated is not an ISO 8601 date";
    AUTHOR_TOO_LONG = 50310, 400, "Author is longer than 256 characters";
    MESSAGING_SERVICE_SID = 50341, 400, "MessagingServiceSid is not a messaging service SID";
    MESSAGING_SERVICE_NOT_FOUND = 50342, 400, "MessagingServiceSid names no messaging service of this account";
    CONVERSATION_UPDATE_EMPTY = 50347, 400, "The update has no parameters";
    CONVERSATION_NOT_FOUND = 50350, 404, "Conversation not found";
    UNIQUE_NAME_TAKEN = 50353, 409, "Conversation with provided unique name already exists";
    WEBHOOK_NOT_FOUND = 50360, 404, "Conversation scoped webhook not found";
    TOO_MANY_WEBHOOKS = 50361, 400, "The conversation has 5 webhooks, which is the limit";
    TOO_MANY_TRIGGERS = 50362, 400, "Configuration.Triggers has more than 5 words";
    WEBHOOK_TARGET = 50364, 400, "Target is none of webhook, studio and trigger";
    WEBHOOK_FILTER = 50365, 400, "The filters name an event that a conversation's webhook cannot hear of";
    TRIGGER_LENGTH = 50366, 400, "A word of Configuration.Triggers has 1 to 248 characters";
    FLOW_SID = 50367, 400, "The flow SID is missing or none";
    WEBHOOK_TARGET_MISSING = 50368, 400, "Target is required";
    WEBHOOK_URL_MISSING = 50369, 400, "The webhook needs an http or https URL";
    WEBHOOK_FILTERS_MISSING = 50370, 400, "Configuration.Filters is required";
    TRIGGERS_MISSING = 50371, 400, "Configuration.Triggers is required, or Configuration.Filters";
    WEBHOOK_URL_TOO_LONG = 50372, 400, "The webhook's URL is longer than 512 characters";
    STATE_EMPTY = 50374, 400, "State must not be empty";
    INACTIVE_TIMER_SHORT = 50375, 400, "The inactive timer is shorter than 1 minute";
    CLOSED_TIMER_SHORT = 50376, 400, "The closed timer is shorter than 10 minutes";
    CONVERSATION_CLOSED = 50377, 409, "Conversation is closed and cannot be changed";
    STATE_UNKNOWN = 50378, 400, "State is unknown";
    INACTIVE_TIMER = 50379, 400, "The inactive timer is not an ISO 8601 duration";
    CLOSED_TIMER = 50380, 400, "The closed timer is not an ISO 8601 duration";
    TIMERS_WITHOUT_STATE = 50382, 400, "Timers need a State when a conversation is created";
    STATE_CLOSED_AT_CREATION = 50384, 400, "A conversation cannot be created closed";
    UNIQUE_NAME_IS_SID = 50390, 400, "UniqueName looks like a conversation SID";
    READ_TIMESTAMP = 50405, 400, "LastReadTimestamp is not an ISO 8601 date";
    ADDRESS = 50407, 400, "Invalid messaging binding address";
    PROXY = 50408, 400, "Invalid messaging binding proxy address";
    ADDRESS_IS_PROXY = 50409, 400, "Messaging binding address and proxy address are the same";
    ADDRESS_EMPTY = 50411, 400, "Messaging binding address is empty";
    PROXY_EMPTY = 50412, 400, "Messaging binding proxy address is empty";
    PROXY_NOT_OURS = 50413, 403, "Messaging binding proxy address is not configured for this account";
    CHANNELS_DIFFER = 50414, 400, "Messaging binding address and proxy address are of different channels";
    TOO_MANY_PARTICIPANTS = 50417, 400, "Participant limit of the conversation reached";
    TOO_MANY_BOUND = 50418, 400, "Limit of non-chat participants of the conversation reached";
    BINDING_NAME = 50420, 400, "MessagingBinding.Name and MessagingBinding.Level are not for this type of binding";
    READ_INDEX = 50421, 400, "LastReadMessageIndex is not a message index";
    TOO_MANY_AT_ONCE = 50426, 400, "More than 10 participants for a new conversation";
    NOT_PARTICIPANT = 50430, 403, "User not participant of conversation";
    PARTICIPANT_NOT_FOUND = 50432, 404, "Participant not found";
    IDENTITY_TAKEN = 50433, 409, "Participant already exists";
    GROUP_PLACE = 50434, 400, "A participant of a group text needs an address or a projected address";
    GROUP_INCOMPLETE = 50435, 400, "A group text needs 3 addresses, one of them of a participant with an address only and one a projected address";
    GROUP_FULL = 50436, 400, "Participant limit of group texts reached";
    GROUP_PRESENT = 50437, 409, "Group text participant already exists";
    PROJECTED_NOT_OURS = 50439, 403, "Messaging binding projected address is not configured for this account";
    PROXY_NOT_THERE = 50440, 400, "The participant has no proxy address to remove";
    PROXY_WITHOUT_ADDRESS = 50441, 400, "A proxy address needs a participant with an address";
    PROJECTED_NOT_THERE = 50442, 400, "The participant has no projected address to remove";
    PROJECTED_AND_BINDING = 50443, 400, "A projected address cannot be added to a participant with a messaging binding";
    IDENTITY_FIXED = 50444, 400, "The identity of this participant cannot be changed";
    IDENTITY_AND_ADDRESS = 50451, 400, "Identity and Address cannot be combined";
    /// Group texts need a provider that can carry them, and none here can.
    GROUP_TEXTS = 50452, 400, "Not eligible for group texts: no configured proxy address can carry them, so MessagingBinding.ProjectedAddress cannot be used";
    GROUP_CHANNEL = 50453, 400, "The address cannot be a projected address: there are no group texts on its channel";
    MESSAGE_NOT_FOUND = 50500, 404, "Message not found";
    NOTHING_TO_POST = 50503, 400, "A message needs a Body, a MediaSid or a ContentSid";
    BODY_TOO_LONG = 50504, 400, "Body is too long";
    MEDIA_NOT_FOUND = 50507, 404, "Media not found";
    MEDIA_TAKEN = 50508, 409, "Media is attached to another message already";
    MEDIA_BODY_FIXED = 50509, 400, "The body of a message with media cannot be updated";
    MEDIA_SID = 50510, 400, "MediaSid is not the SID of a media";
    MEDIA_CONTENT_TYPE = 50511, 400, "The content type of the media is not a media type";
    MEDIA_TOO_LARGE = 50512, 413, "The media is too large";
    AUTHOR_OUTSIDE = 50513, 400, "The author of a message in a group text must be one of its participants";
    CONTENT_SID = 50526, 400, "ContentSid is not the SID of a template that is configured here";
    CONTENT_VARIABLES = 50527, 400, "ContentVariables is not a JSON object of texts";
    VARIABLES_ALONE = 50528, 400, "ContentVariables needs a ContentSid";
    VARIABLES_TOO_LONG = 50529, 400, "ContentVariables has more than 27801 characters";
    /// Of SDK clients: a channel keeps nothing beyond the message.
    NO_CHANNEL_METADATA = 50530, 404, "The message has no channel metadata";
    VARIABLE_NAME_TOO_LONG = 50540, 400, "A key of ContentVariables is longer than 16 characters";
    VARIABLE_TOO_LONG = 50541, 400, "A value of ContentVariables is longer than 256 characters";
    /// Of SDK clients: no such object, or not for this one.
    NO_OBJECT = 54100, 404, "Not found";
}

impl ApiError {
    /// A parameter that is wrong in a way without a code of its own.
    pub fn parameter(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, 20001, message)
    }

    /// A parameter of the original that is not there yet: better said than ignored.
    pub fn unsupported(name: &str) -> ApiError {
        ApiError::parameter(format!("{name} is not supported yet"))
    }

    /// No such route or resource. `path` is below the version.
    pub fn not_found(path: &str) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, 20404, format!("The requested resource {path} was not found"))
    }

    /// The path is there and this method is not.
    pub fn method(allowed: &'static str) -> ApiError {
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, 20004, "Method not allowed");
        ApiError { hint: Hint::Allow(allowed), ..error }
    }

    /// No credentials, or wrong ones.
    pub fn unauthorized() -> ApiError {
        let error = ApiError::new(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
        ApiError { hint: Hint::Authenticate, ..error }
    }

    /// Not now; the caller may try again.
    pub fn unavailable(why: &str) -> ApiError {
        let error =
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, 20503, format!("Service unavailable: {why}"));
        ApiError { hint: Hint::RetryAfter, ..error }
    }

    /// The pair is bound elsewhere. Callers cut the SID out of the text.
    pub fn binding_taken(conversation: &str) -> ApiError {
        let text = format!(
            "A binding for this participant and proxy address already exists in Conversation {conversation}"
        );
        let error = ApiError::new(StatusCode::CONFLICT, 50416, text);
        ApiError { hint: Hint::Details(json!({ "conversation_sid": conversation })), ..error }
    }

    /// The set is a group text elsewhere.
    pub fn group_taken(conversation: &str) -> ApiError {
        let text = format!("A group text of these addresses already exists in Conversation {conversation}");
        let error = ApiError::new(StatusCode::CONFLICT, 50438, text);
        ApiError { hint: Hint::Details(json!({ "conversation_sid": conversation })), ..error }
    }

    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into(), hint: Hint::None }
    }

    /// Its code.
    pub fn code(&self) -> u32 {
        self.code
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        });
        if let Hint::Details(details) = &self.hint {
            body["details"] = details.clone();
        }
        body
    }

    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(full(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        match self.hint {
            Hint::RetryAfter => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            Hint::Allow(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Hint::Authenticate => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"Trunkline Conversations\""),
                );
            }
            Hint::None | Hint::Details(_) => {}
        }
        response
    }
}

impl From<Entry> for ApiError {
    fn from(entry: Entry) -> ApiError {
        // The catalogue's test shows that every status there is one.
        let status = StatusCode::from_u16(entry.status).unwrap_or(StatusCode::BAD_REQUEST);
        ApiError::new(status, entry.code, entry.message)
    }
}

impl From<trunkline_adapter::Denied> for ApiError {
    fn from(denied: trunkline_adapter::Denied) -> ApiError {
        let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::UNAUTHORIZED);
        ApiError::new(status, denied.code, denied.text)
    }
}

impl From<Misfit> for ApiError {
    fn from(misfit: Misfit) -> ApiError {
        match misfit {
            Misfit::ProxyMissing => PROXY_EMPTY.into(),
            Misfit::ChannelsDiffer => CHANNELS_DIFFER.into(),
            Misfit::AddressIsProxy => ADDRESS_IS_PROXY.into(),
            Misfit::ProxyNotThere => PROXY_NOT_THERE.into(),
            Misfit::ProxyWithoutAddress => PROXY_WITHOUT_ADDRESS.into(),
            Misfit::ProjectedNotOurs => PROJECTED_NOT_OURS.into(),
            Misfit::ProjectedNotThere => PROJECTED_NOT_THERE.into(),
            Misfit::ProjectedAndBinding => PROJECTED_AND_BINDING.into(),
            Misfit::IdentityFixed => IDENTITY_FIXED.into(),
            Misfit::NoGroupTexts => GROUP_TEXTS.into(),
            Misfit::ChannelWithoutGroups => GROUP_CHANNEL.into(),
            Misfit::NoPlace => GROUP_PLACE.into(),
            Misfit::Incomplete => GROUP_INCOMPLETE.into(),
            Misfit::GroupFull => GROUP_FULL.into(),
            Misfit::Present => GROUP_PRESENT.into(),
            Misfit::SetTaken(conversation) => ApiError::group_taken(conversation.as_str()),
            Misfit::AuthorOutside => AUTHOR_OUTSIDE.into(),
        }
    }
}

impl From<RelayError> for ApiError {
    fn from(error: RelayError) -> ApiError {
        match error {
            RelayError::ServiceNotFound => SERVICE_NOT_FOUND.into(),
            RelayError::ConversationNotFound => CONVERSATION_NOT_FOUND.into(),
            RelayError::ParticipantNotFound => PARTICIPANT_NOT_FOUND.into(),
            RelayError::MessageNotFound => MESSAGE_NOT_FOUND.into(),
            RelayError::ReceiptNotFound => {
                ApiError::new(StatusCode::NOT_FOUND, 20404, "Delivery receipt not found")
            }
            RelayError::Closed => CONVERSATION_CLOSED.into(),
            RelayError::UniqueNameTaken => UNIQUE_NAME_TAKEN.into(),
            RelayError::BindingTaken(conversation) => ApiError::binding_taken(conversation.as_str()),
            RelayError::Misfit(misfit) => misfit.into(),
            RelayError::IdentityTaken | RelayError::PairTwice => IDENTITY_TAKEN.into(),
            RelayError::TooManyAtOnce => TOO_MANY_AT_ONCE.into(),
            RelayError::AddressIsOurs => ADDRESS.into(),
            RelayError::ProxyNotOurs => PROXY_NOT_OURS.into(),
            RelayError::TooManyParticipants => TOO_MANY_PARTICIPANTS.into(),
            RelayError::TooManyBound => TOO_MANY_BOUND.into(),
            RelayError::DefaultService => {
                ApiError::new(StatusCode::CONFLICT, 20409, "The default service cannot be deleted")
            }
            RelayError::RoleNotFound => ROLE_NOT_FOUND.into(),
            RelayError::NoSuchRole(RoleUse::Creator) => CREATOR_ROLE_NOT_FOUND.into(),
            RelayError::NoSuchRole(RoleUse::Conversation) => CONVERSATION_ROLE_NOT_FOUND.into(),
            RelayError::NoSuchRole(RoleUse::Service) => SERVICE_ROLE_NOT_FOUND.into(),
            RelayError::PermissionUnknown => PERMISSION_UNKNOWN.into(),
            RelayError::DefaultRole => ApiError::new(
                StatusCode::CONFLICT,
                20409,
                "The role is a default of its service and cannot be deleted",
            ),
            RelayError::MediaNotFound => MEDIA_NOT_FOUND.into(),
            RelayError::MediaBodyFixed => MEDIA_BODY_FIXED.into(),
            RelayError::MediaTaken => MEDIA_TAKEN.into(),
            RelayError::TemplateNotFound => CONTENT_SID.into(),
            RelayError::VariableMissing(name) => {
                ApiError::parameter(format!("ContentVariables has nothing for {{{{{name}}}}}"))
            }
            RelayError::UserNotFound => USER_NOT_FOUND.into(),
            RelayError::UserTaken => USER_TAKEN.into(),
            RelayError::TooManyConversations => TOO_MANY_CONVERSATIONS.into(),
            RelayError::MessagingServiceNotFound => MESSAGING_SERVICE_NOT_FOUND.into(),
            RelayError::AddressNotFound => {
                ApiError::new(StatusCode::NOT_FOUND, 20404, "Address configuration not found")
            }
            RelayError::AddressConfigured => {
                ApiError::new(StatusCode::CONFLICT, 20409, "The address is already configured")
            }
            RelayError::CredentialNotFound => {
                ApiError::new(StatusCode::NOT_FOUND, 20404, "Credential not found")
            }
            RelayError::PushBindingNotFound => {
                ApiError::new(StatusCode::NOT_FOUND, 20404, "Binding not found")
            }
            RelayError::NotParticipant => NOT_PARTICIPANT.into(),
            RelayError::NotPermitted => NOT_PERMITTED.into(),
            RelayError::Vetoed => VETOED.into(),
            RelayError::Improper(Improper::FriendlyName) => FRIENDLY_NAME_TOO_LONG.into(),
            RelayError::Improper(Improper::Body) => BODY_TOO_LONG.into(),
            RelayError::Improper(Improper::Author) => AUTHOR_TOO_LONG.into(),
            RelayError::Improper(Improper::Attributes) => ATTRIBUTES_NOT_JSON.into(),
            RelayError::Improper(Improper::AttributesLong) => ATTRIBUTES_TOO_LONG.into(),
            RelayError::WebhookNotFound => WEBHOOK_NOT_FOUND.into(),
            RelayError::TooManyWebhooks => TOO_MANY_WEBHOOKS.into(),
            RelayError::Contended => ApiError::unavailable("others are changing the same thing"),
            RelayError::Full => ApiError::unavailable("the disk is nearly full"),
            RelayError::Ledger(error) => {
                // The operator's to act on; the caller learns only that it is not their fault.
                tracing::error!(%error, "The ledger refused a request");
                ApiError::unavailable("the store does not answer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::model::{ConversationSid, Mint};

    fn shown(error: impl Into<ApiError>) -> (u16, u64, String) {
        let body = error.into().body();
        let status = u16::try_from(body["status"].as_u64().unwrap()).unwrap();
        (status, body["code"].as_u64().unwrap(), body["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn texts_that_users_parse() {
        let sid = ConversationSid::new(&Mint::seeded(1));
        let taken =
            format!("A binding for this participant and proxy address already exists in Conversation {sid}");
        for (error, status, code, message) in [
            (ApiError::from(RelayError::BindingTaken(sid.clone())), 409, 50416, taken.as_str()),
            (
                RelayError::UniqueNameTaken.into(),
                409,
                50353,
                "Conversation with provided unique name already exists",
            ),
            (RelayError::IdentityTaken.into(), 409, 50433, "Participant already exists"),
            (
                ApiError::not_found("/Conversations/CH1"),
                404,
                20404,
                "The requested resource /Conversations/CH1 was not found",
            ),
            (IDENTITY_MISSING.into(), 400, 50204, "Identity not provided"),
        ] {
            assert_eq!(shown(error), (status, code, message.to_owned()));
        }
        let details = ApiError::binding_taken(sid.as_str()).body();
        assert_eq!(details["details"]["conversation_sid"], sid.as_str());
    }

    #[test]
    fn every_refusal_of_the_relay_has_its_status_and_code() {
        for (error, status, code) in [
            (RelayError::ServiceNotFound, 404, 50050),
            (RelayError::ConversationNotFound, 404, 50350),
            (RelayError::ParticipantNotFound, 404, 50432),
            (RelayError::MessageNotFound, 404, 50500),
            (RelayError::ReceiptNotFound, 404, 20404),
            (RelayError::Closed, 409, 50377),
            (RelayError::NotParticipant, 403, 50430),
            (RelayError::NotPermitted, 403, 50107),
            (RelayError::AddressIsOurs, 400, 50407),
            (Misfit::ProxyMissing.into(), 400, 50412),
            (Misfit::ChannelsDiffer.into(), 400, 50414),
            (Misfit::AddressIsProxy.into(), 400, 50409),
            (Misfit::NoPlace.into(), 400, 50434),
            (Misfit::Incomplete.into(), 400, 50435),
            (Misfit::GroupFull.into(), 400, 50436),
            (Misfit::Present.into(), 409, 50437),
            (Misfit::SetTaken(ConversationSid::new(&Mint::seeded(1))).into(), 409, 50438),
            (Misfit::ProjectedNotOurs.into(), 403, 50439),
            (Misfit::ProxyNotThere.into(), 400, 50440),
            (Misfit::ProxyWithoutAddress.into(), 400, 50441),
            (Misfit::ProjectedNotThere.into(), 400, 50442),
            (Misfit::ProjectedAndBinding.into(), 400, 50443),
            (Misfit::IdentityFixed.into(), 400, 50444),
            (Misfit::NoGroupTexts.into(), 400, 50452),
            (Misfit::ChannelWithoutGroups.into(), 400, 50453),
            (Misfit::AuthorOutside.into(), 400, 50513),
            (RelayError::ProxyNotOurs, 403, 50413),
            (RelayError::TooManyParticipants, 400, 50417),
            (RelayError::TooManyBound, 400, 50418),
            (RelayError::PairTwice, 409, 50433),
            (RelayError::TooManyAtOnce, 400, 50426),
            (RelayError::DefaultService, 409, 20409),
            (RelayError::RoleNotFound, 404, 50100),
            (RelayError::NoSuchRole(RoleUse::Service), 404, 50102),
            (RelayError::NoSuchRole(RoleUse::Creator), 404, 50106),
            (RelayError::NoSuchRole(RoleUse::Conversation), 404, 50109),
            (RelayError::PermissionUnknown, 400, 50104),
            (RelayError::DefaultRole, 409, 20409),
            (RelayError::UserNotFound, 404, 50200),
            (RelayError::UserTaken, 409, 50201),
            (RelayError::TooManyConversations, 400, 50214),
            (RelayError::MessagingServiceNotFound, 400, 50342),
            (RelayError::AddressNotFound, 404, 20404),
            (RelayError::AddressConfigured, 409, 20409),
            (RelayError::CredentialNotFound, 404, 20404),
            (RelayError::PushBindingNotFound, 404, 20404),
            (RelayError::MediaNotFound, 404, 50507),
            (RelayError::MediaTaken, 409, 50508),
            (RelayError::MediaBodyFixed, 400, 50509),
            (RelayError::TemplateNotFound, 400, 50526),
            (RelayError::VariableMissing("1".to_owned()), 400, 20001),
            (RelayError::Contended, 503, 20503),
            (RelayError::Full, 503, 20503),
        ] {
            let name = format!("{error:?}");
            let (shown_status, shown_code, _) = shown(error);
            assert_eq!((shown_status, shown_code), (status, code), "{name}");
        }
    }

    #[test]
    fn the_catalogue_is_sound() {
        let mut last = 0;
        for (name, entry) in CATALOGUE {
            let status = StatusCode::from_u16(entry.status).unwrap();
            assert!(status.is_client_error(), "{name}");
            assert!(!entry.message.ends_with('.') && !entry.message.is_empty(), "{name}");
            if entry.code >= 50000 {
                assert!(entry.code > last, "{name} is out of order or its code is used twice");
                last = entry.code;
            }
        }
    }

    #[test]
    fn answers_carry_what_their_status_asks_for() {
        let busy = ApiError::unavailable("x").into_response();
        assert_eq!(busy.headers()[RETRY_AFTER], "5");
        assert_eq!(ApiError::method("GET, POST").into_response().headers()[ALLOW], "GET, POST");
        assert!(ApiError::unauthorized().into_response().headers().contains_key(WWW_AUTHENTICATE));
        let body = ApiError::from(NOT_FORM).body();
        assert_eq!(body["more_info"], "https://www.twilio.com/docs/errors/20001");
        assert!(body.get("type").is_none() && body.get("title").is_none());
    }
}
