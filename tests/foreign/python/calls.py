"""Calls written as data, made through the official Python library.

The same data is read by the Node suite (`node/calls.mjs`), so it names things as the description does: `at` is the way
to a resource (`()` the only one of its kind, anything after a list's name a SID or name), `with` has the parameters
under their names on the wire. `$name` is the SID of what an earlier call made; `x*257` is a long text, `json*16` a JSON
text of more bytes than that.
"""

import json
import re

from daemon import ROOT

SHARED = ROOT / "tests/foreign/shared"
# Words of a way that are lists or settings; whatever else stands there is somebody's name.
LISTS = {
    "address_configurations", "bindings", "configuration", "conversation_with_participants", "conversations", "credentials",
    "delivery_receipts", "messages", "notifications", "participant_conversations", "participants", "roles", "services",
    "user_conversations", "users", "webhooks",
}  # fmt: skip


def read(name):
    """A file of such calls."""
    return json.loads((SHARED / name).read_text(encoding="utf-8"))


def snake(name):
    """`MessagingBinding.ProxyAddress` as the library calls it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace(".", "_")).lower()


class Calls:
    """What is known by name, and the client that the calls go through."""

    def __init__(self, client, known):
        self.client, self.known = client, dict(known)

    def filled(self, value, **numbers):
        """A value with its names replaced and its long texts written out."""
        if isinstance(value, list):
            return [self.filled(each, **numbers) for each in value]
        if not isinstance(value, str):
            return value
        long = re.fullmatch(r"(x|json)\*(\d+)", value)
        if long:
            count = int(long[2])
            return "x" * count if long[1] == "x" else '"' + "x" * count + '"'
        value = re.sub(r"\{n:0(\d+)\}", lambda found: str(numbers["n"]).zfill(int(found[1])), value)
        return re.sub(r"\$([a-z_]+)", lambda found: self.known[found[1]], value)

    def at(self, way):
        """The library's object for a way."""
        found = self.client.conversations.v1
        for word in way:
            if word == "()":
                found = found()
            elif word in LISTS:
                found = getattr(found, word)
            else:
                found = found(self.filled(word).replace(" ", "%20"))
        return found

    def make(self, call, **numbers):
        """Makes a call; gives what the library gives."""
        given = {snake(name): self.filled(value, **numbers) for name, value in call.get("with", {}).items()}
        return getattr(self.at(call["at"]), call["do"])(**given)

    def raw(self, call):
        """A request that the library has no function for, through its client all the same: status and JSON."""
        method, path = call["raw"]
        url = self.client.conversations.base_url + self.filled(path)
        data = {name: self.filled(value) for name, value in call["with"].items()}
        answer = self.client.request(method, url, data=data)
        return answer.status_code, json.loads(answer.text)

    def states(self, calls):
        """Makes what is to be there, and remembers its SIDs."""
        for call in calls:
            for n in range(call.get("times", 1)):
                made = self.make(call, n=n)
            self.known[call["as"]] = made.sid
