"""What is there before the calls come: in the default service and in one of its own, something for every name in a path."""

import daemon
from daemon import eventually

# Operations that cannot succeed here, each with its reason.
NEVER = {
    # Push bindings are made by clients that register, and there are none yet.
    "FetchServiceBinding",
    "DeleteServiceBinding",
}
# Conversations to add somebody to: one takes 50 people from outside.
SPARE = 8


def made(running, path, form):
    status, _, answer = running.rest("POST", path, form)
    if status != 201:
        raise RuntimeError(f"{path}: {status} {answer}")
    return answer["sid"]


def build(running, provider):
    """The scene: for each root of paths what its names may be."""
    default = running.rest("GET", "/v1/Configuration")[2]["default_chat_service_sid"]
    shop = made(running, "/v1/Services", {"FriendlyName": "Shop"})
    return {
        "url": running.url,
        "credential": made(running, "/v1/Credentials", {"Type": "fcm"}),
        "template": daemon.TEMPLATE,
        "address": made(running, "/v1/Configuration/Addresses", {"Type": "email", "Address": "scene@a.example"}),
        "messaging_service": daemon.MESSAGING_SERVICE,
        "proxy": daemon.SMS,
        "default": default,
        "plain": dressed(running, "/v1", default, "+15550600001"),
        "explicit": dressed(running, f"/v1/Services/{shop}", shop, "+15550600002"),
    }


def dressed(running, root, service, person):
    room = made(running, f"{root}/Conversations", {"FriendlyName": "Room"})
    at = f"{root}/Conversations/{room}"
    pair = {"MessagingBinding.Address": person, "MessagingBinding.ProxyAddress": daemon.SMS}
    phone = made(running, at + "/Participants", pair)
    member = made(running, at + "/Participants", {"Identity": "alice"})
    message = made(running, at + "/Messages", {"Body": "Hello", "Author": "alice"})

    def sent():
        (receipt,) = running.rest("GET", f"{at}/Messages/{message}/Receipts")[2]["delivery_receipts"]
        return receipt["status"] and receipt["sid"]

    hook = {"Target": "webhook", "Configuration.Url": "https://a.example/", "Configuration.Filters": "onMessageAdded"}
    role = {"FriendlyName": "guest", "Permission": "sendMessage"}
    return {
        "root": root,
        "service": service,
        "room": room,
        "spare": [made(running, f"{root}/Conversations", {}) for _ in range(SPARE)],
        "participants": [member, "alice"],
        "phone": phone,
        "person": person,
        "message": message,
        "webhook": made(running, at + "/Webhooks", hook),
        "receipt": eventually("a receipt with a status", sent),
        "user": running.rest("GET", f"{root}/Users/alice")[2]["sid"],
        "role": made(running, f"{root}/Roles", {**role, "Type": "conversation"}),
        "service_role": made(running, f"{root}/Roles", {**role, "Type": "service", "Permission": "joinConversation"}),
    }
