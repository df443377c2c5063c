"""What schemathesis cannot know: which names are real, and what the words of the description say and its schemas do not.

Names in paths are those of the scene (`scene.py`), so that a call meets something; what it deletes or closes is made
for it just before. Beyond that only the form of a value is told, never one that is good for a particular call.
"""

import base64
import json
import os
import uuid
from urllib.parse import urlencode

import schemathesis
from daemon import ACCOUNT, AUTH_TOKEN, http
from operations import operation

HOUSE = json.loads(os.environ["TRUNKLINE_SCENE"])

TEXT = {"type": "string", "maxLength": 256}
JSON = {"type": "string", "enum": ["{}", '{"a": 1}', "[]", '"text"', "null", ""]}
NAME = {"type": "string", "pattern": "^[a-z][a-z0-9@. -]{9,40}$"}
TIMER = {"type": "string", "enum": ["PT10M", "PT1H", "P1D", "P1DT12H", ""]}
DATE = {"type": "string", "pattern": r"^20[0-2][0-9]-0[1-9]-[12][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z$"}
URL = {"type": "string", "pattern": "^https://a[.]example/[a-z]{0,20}$"}
EVENTS = {"type": "array", "items": {"type": "string", "enum": ["onMessageAdded", "onDeliveryUpdated"]}, "minItems": 1}
FLOW = {"type": "string", "pattern": "^FW[0-9a-f]{32}$"}
# What a form's parameter looks like, by its name, or by its operation's and its own.
PARAMETERS = {
    "FriendlyName": TEXT,
    "CreateRole FriendlyName": {"type": "string", "minLength": 1, "maxLength": 64},
    "UpdateRole FriendlyName": {"type": "string", "minLength": 1, "maxLength": 64},
    "CreateService FriendlyName": {"type": "string", "minLength": 1, "maxLength": 256},
    "CreateCredential FriendlyName": {"type": "string", "maxLength": 64},
    "UpdateCredential FriendlyName": {"type": "string", "maxLength": 64},
    "UniqueName": NAME,
    "Identity": NAME,
    "Author": TEXT,
    "Body": {"type": "string", "minLength": 1, "maxLength": 1600},
    "Attributes": JSON,
    "DateCreated": DATE,
    "DateUpdated": DATE,
    "LastReadTimestamp": DATE,
    "LastReadMessageIndex": {"type": "integer", "minimum": 0},
    "MessagingServiceSid": {"type": "string", "enum": [HOUSE["messaging_service"]]},
    "DefaultMessagingServiceSid": {"type": "string", "enum": [HOUSE["messaging_service"], ""]},
    "DefaultChatServiceSid": {"type": "string", "enum": [HOUSE["default"]]},
    "DefaultInactiveTimer": TIMER,
    "DefaultClosedTimer": TIMER,
    "Timers.Inactive": TIMER,
    "Timers.Closed": TIMER,
    "Permission": {"type": "array", "items": {"type": "string", "enum": ["addParticipant", "deleteAnyMessage"]}, "minItems": 1},
    "MessagingBinding.Address": {"type": "string", "pattern": r"^\+1555[2-9][0-9]{6}$"},
    "MessagingBinding.ProxyAddress": {"type": "string", "enum": [HOUSE["proxy"]]},
    "NewMessage.Sound": TEXT,
    "PreWebhookUrl": URL,
    "PostWebhookUrl": URL,
    "Filters": EVENTS,
    "Method": {"type": "string", "enum": ["GET", "POST"]},
    "Configuration.Url": URL,
    "Configuration.Filters": EVENTS,
    "Configuration.Triggers": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 248}, "minItems": 1, "maxItems": 5},
    "Configuration.FlowSid": FLOW,
    "Configuration.ReplayAfter": {"type": "integer", "minimum": 0, "maximum": 1000},
    "CreateConfigurationAddress Type": {"type": "string", "enum": ["email"]},
    "Address": {"type": "string", "pattern": "^[a-z]{8,20}@a[.]example$"},
    "AddressCountry": {"type": "string", "pattern": "^[A-Z]{2}$"},
    "AutoCreation.Type": {"type": "string", "enum": ["default"]},
    "AutoCreation.ConversationServiceSid": {"type": "string", "enum": [HOUSE["default"], ""]},
    "AutoCreation.WebhookUrl": URL,
    "AutoCreation.WebhookFilters": EVENTS,
    "AutoCreation.StudioFlowSid": FLOW,
    "AutoCreation.StudioRetryCount": {"type": "integer", "minimum": 0, "maximum": 3},
    "MediaSid": {"type": "string", "enum": ["ME" + "0" * 32]},
    "ContentSid": {"type": "string", "enum": [HOUSE["template"]]},
    "ContentVariables": {"type": "string", "enum": ['{"1": "Ann"}']},
    "Participant": {
        "type": "array",
        "maxItems": 10,
        "uniqueItems": True,
        "items": {"type": "string", "pattern": r'^\{"identity": "[a-z]{10,20}"\}$'},
    },
}
# Parameters that belong to what is not there yet, or to what no configured channel can carry.
LEFT_OUT = {
    "Bindings.Email.Address", "Bindings.Email.Name", "MessagingBinding.ProjectedAddress",
}  # fmt: skip
# Who is in a conversation stays who they are.
FIXED = {"Identity", "MessagingBinding.ProxyAddress"}
STATES = {"type": "string", "enum": ["active", "inactive"]}


def here(path):
    return HOUSE["explicit" if path.startswith("/v1/Services/{ChatServiceSid}") else "plain"]


def kind(path):
    """The last word of a path that is no name."""
    return next(word for word in reversed(path.split("/")) if not word.startswith("{"))


def names(path, method, parameter):
    """What a name in a path may be."""
    place = here(path)
    if parameter == "ChatServiceSid":
        return [HOUSE["explicit"]["service"]]
    of = path.split("/{" + parameter)[0].rsplit("/", 1)[1]
    # Five webhooks and fifty people from outside are the limits.
    if of == "Conversations" and path.endswith(("/Participants", "/Webhooks")) and method == "post":
        return place["spare"]
    return {
        "Services": [HOUSE["explicit"]["service"]],
        "Conversations": [place["room"]],
        "Participants": place["participants"],
        "Messages": [place["message"]],
        "Receipts": [place["receipt"]],
        "Users": [place["user"], "alice"],
        "Roles": [place["role"]],
        "Credentials": [HOUSE["credential"]],
        "Addresses": [HOUSE["address"]],
        "Webhooks": [place["webhook"]],
        "Bindings": ["BS" + "0" * 32],
    }[of]


def parameter_schema(path, identifier, name, schema):
    short = identifier.replace("Service", "", 1) if "Services/{" in path else identifier
    place = here(path)
    if name == "RoleSid":
        return {"type": "string", "enum": [place["service_role" if kind(path) == "Users" else "role"]]}
    if name == "DefaultChatServiceRoleSid":
        return {"type": "string", "enum": [place["service_role"]]}
    if name in ("DefaultConversationCreatorRoleSid", "DefaultConversationRoleSid"):
        return {"type": "string", "enum": [place["role"]]}
    if name == "State":
        return STATES
    return PARAMETERS.get(f"{short} {name}", PARAMETERS.get(name, schema))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    schemas = raw_schema["components"]["schemas"]
    for name, schema in schemas.items():
        # Null until the message is handed over: the description says so in words.
        if name.endswith("receipt_enum_delivery_status"):
            schema["nullable"] = True
    for path, item in raw_schema["paths"].items():
        for method in ("get", "post", "delete"):
            if method not in item:
                continue
            described = item[method]
            for parameter in described.get("parameters", []):
                if parameter["in"] == "path":
                    parameter["schema"] = {"type": "string", "enum": names_or_none(path, method, parameter["name"])}
                elif parameter["name"] == "PageToken":
                    # A token is what an earlier page gave.
                    parameter["schema"] = {"type": "string", "enum": [""]}
                elif parameter["name"] in ("StartDate", "EndDate"):
                    parameter["schema"] = {"type": "string", "enum": ["2020-01-02", "2026-01-01T00:00:00Z", ""]}
                elif parameter["name"] == "State":
                    parameter["schema"] = {"type": "string", "enum": ["active", "inactive", "closed"]}
            if path.endswith("/ParticipantConversations"):
                alone(described, here(path))
            form = described.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
            properties = form.get("schema", {}).get("properties", {})
            fixed = FIXED if path.endswith("/Participants/{Sid}") else set()
            for name in list(properties):
                if name in LEFT_OUT | fixed:
                    del properties[name]
                else:
                    properties[name] = parameter_schema(path, described["operationId"], name, properties[name])
            if method == "post" and properties and "{" in path.rsplit("/", 1)[1]:
                form["schema"]["minProperties"] = 1


def names_or_none(path, method, parameter):
    try:
        return names(path, method, parameter)
    except KeyError:
        return ["none"]


def alone(described, place):
    """An identity or an address, and not both."""
    for parameter in described["parameters"]:
        if parameter["name"] == "Identity":
            parameter["schema"], parameter["required"] = {"type": "string", "enum": ["alice", "nobody"]}, True
    described["parameters"] = [each for each in described["parameters"] if each["name"] != "Address"]


@schemathesis.hook
def map_body(context, body):
    """Who comes to a conversation comes with an identity or with a pair of addresses; timers come with a state."""
    if isinstance(body, dict) and {"Timers.Inactive", "Timers.Closed"} & set(body):
        return {"State": "active", **body}
    if isinstance(body, dict) and body.get("MediaSid") in PARAMETERS["MediaSid"]["enum"]:
        # A file is in one message at most.
        body = {**body, "MediaSid": uploaded(here(context.operation.path)["service"])}
    if isinstance(body, dict) and {"ContentSid", "ContentVariables"} & set(body):
        # A template and what fills it go together.
        return {**body, "ContentSid": HOUSE["template"], "ContentVariables": '{"1": "Ann"}'}
    if not isinstance(body, dict) or not context.operation.path.endswith("/Participants"):
        return body
    pair = ("MessagingBinding.Address", "MessagingBinding.ProxyAddress")
    if pair[0] in body and "Identity" not in body:
        return {**body, pair[1]: HOUSE["proxy"]}
    identity = body.get("Identity") or "somebody " + uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted(body))).hex[:12]
    return {"Identity": identity, **{name: value for name, value in body.items() if name not in pair}}


def post(path, content_type, content):
    pair = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
    head = {"Authorization": f"Basic {pair}", "Content-Type": content_type}
    return json.loads(http("POST", HOUSE["url"] + path, content, head)[2])


def rest(path, form):
    return post(path, "application/x-www-form-urlencoded", urlencode(form).encode())


def uploaded(service):
    return post(f"/v1/Services/{service}/Media", "text/plain", b"a file")["sid"]


HOOK = {"Target": "webhook", "Configuration.Url": "https://a.example/", "Configuration.Filters": "onMessageAdded"}
_count = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    """What of the scene would be deleted is something like it instead."""
    global _count
    if case.operation.method.lower() != "delete" or not case.path_parameters:
        return
    path, own = case.operation.path, dict(case.path_parameters)
    place, of = here(path), kind(path)
    last = path.rsplit("{", 1)[1].rstrip("}")
    scene = names_or_none(path, "delete", last)
    if own.get(last) not in scene or of == "Bindings":
        return
    _count += 1
    root, name = place["root"], f"short-lived {_count}"
    if of == "Conversations" and "UserSid" in own:
        rest(f"{root}/Conversations/{place['room']}/Participants", {"Identity": name})
        own["UserSid"] = name
    else:
        where, form = {
            "Services": ("/v1/Services", {"FriendlyName": name}),
            "Conversations": (f"{root}/Conversations", {}),
            "Participants": (f"{root}/Conversations/{place['room']}/Participants", {"Identity": name}),
            "Messages": (f"{root}/Conversations/{place['room']}/Messages", {"Body": name}),
            "Users": (f"{root}/Users", {"Identity": name}),
            "Roles": (f"{root}/Roles", {"FriendlyName": name, "Type": "service", "Permission": "joinConversation"}),
            "Credentials": ("/v1/Credentials", {"Type": "gcm"}),
            "Addresses": ("/v1/Configuration/Addresses", {"Type": "email", "Address": f"{_count}@short-lived.example"}),
            "Webhooks": (f"{root}/Conversations/{place['room']}/Webhooks", HOOK),
        }[of]
        # A chain may have deleted the conversation that it would be in; then the call meets nothing.
        own[last] = rest(where, form).get("sid", own[last])
    case.path_parameters = own


@schemathesis.hook
def after_call(context, case, response):
    method = case.method.upper()
    code = None
    if response.status_code >= 300:
        try:
            code = response.json().get("code")
        except Exception:
            code = "no JSON"
    line = {"operation": case.operation.definition.raw["operationId"], "method": method, "status": response.status_code, "code": code}
    with open(HOUSE["tally"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@schemathesis.check
def refusals_are_told(ctx, response, case):
    """Every refusal has the documented body, whose status is the answer's."""
    if response.status_code < 400:
        return
    said = response.json()
    assert {"code", "message", "more_info", "status"} <= set(said) <= {"code", "message", "more_info", "status", "details"}, said
    assert said["status"] == response.status_code and said["message"], said


@schemathesis.check
def nothing_else_is_answered(ctx, response, case):
    """An answer has the documented status, or is a refusal of the caller."""
    if case.method.upper() == "OPTIONS":
        # What browsers ask first; the description does not speak of it.
        return
    described = {int(status) for status in case.operation.definition.raw["responses"]}
    assert response.status_code in described or 400 <= response.status_code < 500, response.status_code
