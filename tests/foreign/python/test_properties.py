"""The description as a list of what must hold: every served operation answers as described on every path it has, every
writable property comes back on fetch, in lists and after a kill -9, and every field of an answer is seen with a value."""

import re
from urllib.parse import quote

import daemon
import specs
import suite
from calls import read
from daemon import eventually
from device import Device
from described import OPERATIONS, Described
from properties import ANY, DO_NOT_COME_BACK, LEAST, PROPERTIES
from provider import Provider

NOT_SERVED = set(read("resources.json")["not_served"])


def kind(path):
    """The resource of a path in the description."""
    words = [word for word in path.split("/") if not word.startswith("{")]
    special = {
        "/Conversations/{ConversationSid}/Webhooks": "ScopedWebhooks",
        "/Users/{UserSid}/Conversations": "UserConversations",
        "/Services/{ChatServiceSid}/Configuration": "ServiceConfiguration",
    }
    return next((name for end, name in special.items() if re.search(re.escape(end) + r"(/\{\w+\})?$", path)), words[-1])


def member(record, dotted):
    for word in dotted.split("."):
        record = record.get(word) if isinstance(record, dict) else None
    return record


class Properties(Described):
    """On a daemon of its own, since it is killed."""

    def setUp(self):
        provider = self.enterContext(Provider())
        self.daemon = self.enterContext(daemon.Daemon(provider))
        self.provider, self.seen_problems = provider, []
        self.asked, self.valued, self.lasting, self.count = set(), set(), [], 0

    def tearDown(self):
        self.assertEqual(self.provider.problems, [], "requests that the provider would not have taken")

    def test_what_the_description_promises(self):
        self.scene = {root: self.set_up(root) for root in ("plain", "explicit")}
        self.names = {"shop": self.scene["explicit"]["service"]}
        last = []
        for name, (method, path) in OPERATIONS.items():
            if method == "POST" and name not in NOT_SERVED:
                for written in self.writable(name, path):
                    if written == "DefaultChatServiceSid":
                        last.append((name, path, written))
                        continue
                    with self.subTest(operation=name, property=written):
                        self.write(name, path, written)
        self.others()
        self.daemon.restart()
        for item, listed, shows, expected in self.lasting:
            with self.subTest(item=item, shows=shows, after="kill -9"):
                self.compare(item, listed, shows, expected)
        for each in last:
            before = len(self.lasting)
            self.write(*each)
            self.daemon.restart()
            for item, listed, shows, expected in self.lasting[before:]:
                self.compare(item, listed, shows, expected)
        self.sums()

    def sums(self):
        """Nothing of the description was left out, and nothing is excused that no longer needs it."""
        every = set(OPERATIONS) - NOT_SERVED
        self.assertEqual(every - self.asked, set(), "operations without an answer")
        self.assertEqual(self.asked & NOT_SERVED, set(), "served, and named as not served")
        wanted = set()
        for name in every:
            method, path = OPERATIONS[name]
            if method != "DELETE":
                statuses = specs.document(specs.CONVERSATIONS)["paths"][path][method.lower()]["responses"]
                schema = specs.resource_schema(path, method.lower(), min(statuses))[0]
                members = specs.document(specs.CONVERSATIONS)["components"]["schemas"][schema]["properties"]
                wanted |= {f"{schema}.{each}" for each in members}

        self.assertEqual(wanted - self.valued, set(), "fields that are never seen with a value")
        suite.counted.append(f"{len(self.asked)} of {len(OPERATIONS)} operations as described")
        suite.counted.append(f"{len(self.lasting)} properties come back")
        suite.counted.append(f"{len(wanted & self.valued)} of {len(wanted)} fields seen with a value")

    # --- the scene ----------------------------------------------------------------------------------------------------

    def set_up(self, root):
        service = self.ask("GET", "/v1/Configuration")["default_chat_service_sid"]
        base = "/v1"
        if root == "explicit":
            service = self.ask("POST", "/v1/Services", {"FriendlyName": "Shop"})["sid"]
            base = f"/v1/Services/{service}"
        room = self.ask("POST", base + "/Conversations", {"FriendlyName": "Room", "UniqueName": "the room"})["sid"]
        at = f"{base}/Conversations/{room}"
        person = "+15550700001" if root == "plain" else "+15550700002"
        pair = {"MessagingBinding.Address": person, "MessagingBinding.ProxyAddress": daemon.SMS}
        self.ask("POST", at + "/Participants", pair)
        self.ask("POST", at + "/Participants", {"Identity": "walker"})
        error = {"code": 21614, "message": "'To' number is not a valid mobile number", "status": 400, "more_info": "https://x.example"}
        self.provider.refuse(person, 400, error)
        message = self.ask("POST", at + "/Messages", {"Body": "Hello", "Author": "walker"})["sid"]
        roles = {
            f"{other}{kind}_role": self.ask("POST", base + "/Roles", {"FriendlyName": "x", "Type": kind, "Permission": may})["sid"]
            for kind, may in (("conversation", "sendMessage"), ("service", "joinConversation"))
            for other in ("", "other_")
        }
        names = {"service": service, "base": base, "room": room, "message": message, "person": person}
        return names | roles

    def others(self):
        """Answers that nothing writable leads to, each with a value in every field."""
        for scene in self.scene.values():
            base, room = scene["base"], scene["room"]
            # The one that the provider refused, with its error, and one that it took, with its id.
            taken = self.ask("POST", f"{base}/Conversations/{room}/Messages", {"Body": "Again"})["sid"]
            for message in (scene["message"], taken):
                receipts = f"{base}/Conversations/{room}/Messages/{message}/Receipts"
                receipt = eventually("receipts with a status", lambda path=receipts: self.told(path))
                self.ask("GET", receipts)
                self.ask("GET", f"{receipts}/{receipt}")
            self.ask("POST", f"{base}/Conversations/{room}", {"Timers.Closed": "P1D"})
            user = self.ask("GET", base + "/Users/walker")["sid"]
            rooms = f"{base}/Users/{user}/Conversations"
            self.ask("POST", f"{rooms}/{room}", {"LastReadMessageIndex": 0})
            self.ask("GET", rooms + "?PageSize=1")
            self.ask("GET", f"{rooms}/{room}")
            for query in ("Identity=walker", "Address=" + quote(scene["person"])):
                self.ask("GET", f"{base}/ParticipantConversations?{query}&PageSize=1")
            made = self.ask("POST", base + "/Conversations", {})["sid"]
            self.ask("POST", f"{base}/Conversations/{made}/Participants", {"Identity": "leaver"})
            self.ask("DELETE", f"{base}/Users/leaver/Conversations/{made}")
            for path, form in (
                (f"{base}/Conversations/{made}/Messages", {"Body": "x"}),
                (f"{base}/Conversations/{made}/Participants", {"Identity": "leaver"}),
                (f"{base}/Roles", {"FriendlyName": "x", "Type": "service", "Permission": "joinConversation"}),
                (f"{base}/Users", {"Identity": "gone"}),
                ("/v1/Credentials", {"Type": "gcm"}),
                ("/v1/Services", {"FriendlyName": "Gone"}),
                ("/v1/Configuration/Addresses", {"Type": "email", "Address": "gone@a.example"}),
            ):
                self.ask("DELETE", f"{path}/{self.ask('POST', path, form)['sid']}")
            hook = f"{base}/Conversations/{made}/Webhooks"
            self.ask("DELETE", f"{hook}/{self.ask('POST', hook, LEAST['ScopedWebhooks'])['sid']}")
            self.ask("DELETE", f"{base}/Conversations/{made}")
            self.devices(scene)

    def devices(self, scene):
        """Somebody is there with a device that gets pushes."""
        service, base = scene["service"], f"/v1/Services/{scene['service']}"
        self.ask("POST", f"{base}/Configuration", {"ReachabilityEnabled": "true"})
        credential = self.ask("POST", "/v1/Credentials", {"Type": "fcm"})["sid"]
        with Device(self.daemon.url, "walker", service, credential) as device:
            registered = device.register("the phone in the pocket")
            user = self.ask("GET", scene["base"] + "/Users/walker")
            self.assertEqual((user["is_online"], user["is_notifiable"]), (True, True))
        (binding,) = self.ask("GET", f"{base}/Bindings")["bindings"]
        self.assertEqual((binding["sid"], binding["identity"]), (registered, "walker"))
        self.assertEqual(self.ask("GET", f"{base}/Bindings/{registered}"), binding)
        self.ask("DELETE", f"{base}/Bindings/{registered}")
        self.assertEqual(self.ask("GET", f"{base}/Bindings")["bindings"], [])

    def told(self, path):
        """One of a message's receipts, once all of them have a status."""
        receipts = self.daemon.rest("GET", path)[2]["delivery_receipts"]
        return all(each["status"] for each in receipts) and receipts[0]["sid"]

    # --- properties ---------------------------------------------------------------------------------------------------

    def writable(self, name, path):
        """The properties of an operation's form that must come back."""
        content = specs.document(specs.CONVERSATIONS)["paths"][path]["post"]["requestBody"]["content"]
        resource = kind(path)
        for each in content[specs.FORM]["schema"]["properties"]:
            short = name.replace("Service", "", 1) if path.startswith("/v1/Services/{ChatServiceSid}") else name
            if f"{resource} {each}" in DO_NOT_COME_BACK or f"{short} {each}" in DO_NOT_COME_BACK:
                continue
            self.assertIn(each, PROPERTIES.get(resource, {}), f"{resource} has no line for it")
            yield each

    def filled(self, value, scene):
        if isinstance(value, dict):
            return {name: self.filled(each, scene) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each, scene) for each in value]
        if not isinstance(value, str):
            return value
        value = re.sub(r"\{n(:\d+)?\}", lambda found: format(self.count, found[1][1:] if found[1] else ""), value)
        if value == "$media":
            status, record = self.daemon.upload(scene["service"], b"\x89PNG\r\n\x1a\n")
            self.assertEqual(status, 201)
            return record["sid"]
        return re.sub(r"\$([a-z_]+)", lambda found: {**self.names, **scene}[found[1]], value)

    def write(self, name, path, written):
        """Sets one property, sees that it was not so before, that it is so now, and remembers to look again."""
        resource = kind(path)
        scene = self.scene["explicit" if path.startswith("/v1/Services/{ChatServiceSid}") else "plain"]
        lines, update = PROPERTIES[resource], path.endswith("}")
        line = lines[written] if not update else lines.get(written + " on update", lines[written])
        least = LEAST.get(resource, {}) if line.least is None else line.least
        # A conversation has five webhooks at most.
        room = self.room(scene) if resource == "ScopedWebhooks" else scene["room"]
        known = {"{ChatServiceSid}": scene["service"], "{ConversationSid}": room, "{UserSid}": "walker"}
        at = path.rsplit("/", 1)[0] if update else path
        for each, value in known.items():
            at = at.replace(each, value)
        before, item = self.before(resource, at, scene, least)
        self.count += 1
        form = {**self.filled(line.beside, scene), written: self.filled(line.value, scene)}
        expected = self.filled(line.comes_back_as(), scene)
        if update or resource not in LEAST:
            after = self.ask("POST", item, form)
        else:
            after = self.ask("POST", at, form if line.alone else {**self.filled(least, scene), **form})
            # What comes with its participants is a conversation like any other.
            at = at.replace("/ConversationWithParticipants", "/Conversations")
            item = f"{at}/{after['sid']}"
        had, has = member(before, line.shows), member(after, line.shows)
        if expected is ANY:
            self.assertIsNotNone(has)
            expected = has
        self.assertNotEqual(had, expected, "the value is the default")
        self.assertEqual(has, expected)
        # A setting is the only one of its kind, and in no list.
        self.lasting.append((item, at if at != item else None, line.shows, expected))
        self.compare(*self.lasting[-1])

    def before(self, resource, at, scene, least):
        """Something as it is when nothing was said about it, and its path."""
        self.count += 1
        if resource == "UserConversations":
            room = self.room(scene)
            own = f"{scene['base']}/Conversations/{room}"
            self.ask("POST", own + "/Participants", {"Identity": "walker"})
            self.ask("POST", own + "/Messages", {"Body": "Hello"})
            return self.ask("GET", f"{at}/{room}"), f"{at}/{room}"
        if resource not in LEAST:
            return self.ask("GET", at), at
        made = self.ask("POST", at, self.filled(least, scene))
        return made, f"{at}/{made['sid']}"

    def room(self, scene):
        return self.ask("POST", scene["base"] + "/Conversations", {"FriendlyName": "Another"})["sid"]

    def compare(self, item, collection, shows, expected):
        """What is fetched, and what the list shows of it."""
        fetched = self.ask("GET", item)
        self.assertEqual(member(fetched, shows), expected)
        if collection is None:
            return
        url, found = collection + ("?PageSize=5" if collection.endswith("/Webhooks") else "?PageSize=50"), []
        while url and not found:
            page = self.ask("GET", url)
            found = [each for each in page[page["meta"]["key"]] if each["url"] == fetched["url"]]
            url = (page["meta"]["next_page_url"] or "").replace(self.daemon.url, "")
        (only,) = found
        self.assertEqual(member(only, shows), expected)
