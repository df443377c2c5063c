"""Services and accounts are silos: every operation of the description that names something of another service's or
account's, by SID or by name, finds nothing; every list shows nothing of it; and nothing of it has changed afterwards."""

import json
import re
from urllib.parse import quote

import daemon
import specs
import suite
from calls import read
from described import OPERATIONS
from properties import DO_NOT_COME_BACK, LEAST, PROPERTIES
from suite import Case
from test_properties import kind

NOT_SERVED = set(read("resources.json")["not_served"])
STRANGER = (daemon.STRANGER, daemon.STRANGER_TOKEN)
OWNER = (daemon.ACCOUNT, daemon.AUTH_TOKEN)
IN_A_SERVICE = "/v1/Services/{ChatServiceSid}"


class Isolation(Case):
    def made(self, path, form, account=OWNER):
        status, _, answer = self.daemon.rest("POST", path, form, account)
        self.assertEqual(status, 201, answer)
        return answer

    def owned(self):
        """One of everything in a service, each with its SID and, where it has one, its name."""
        service = self.made("/v1/Services", {"FriendlyName": "Owned"})["sid"]
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{service}")
        base = f"/v1/Services/{service}"
        room = self.made(base + "/Conversations", {"UniqueName": "owned room"})["sid"]
        at = f"{base}/Conversations/{room}"
        pair = {"MessagingBinding.Address": "+15550800001", "MessagingBinding.ProxyAddress": daemon.SMS}
        self.made(at + "/Participants", pair)
        participant = self.made(at + "/Participants", {"Identity": "owned walker"})["sid"]
        message = self.made(at + "/Messages", {"Body": "Owned"})["sid"]
        receipts = self.daemon.rest("GET", f"{at}/Messages/{message}/Receipts")[2]["delivery_receipts"]
        role = {"FriendlyName": "owned", "Type": "conversation", "Permission": "sendMessage"}
        service_role = {"FriendlyName": "owned", "Type": "service", "Permission": "joinConversation"}
        self.roles = {
            "conversation_role": self.made(base + "/Roles", role)["sid"],
            "service_role": self.made(base + "/Roles", service_role)["sid"],
        }
        credential = self.made("/v1/Credentials", {"Type": "gcm"})["sid"]
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Credentials/{credential}")
        address = self.made("/v1/Configuration/Addresses", {"Type": "email", "Address": "owned@a.example"})["sid"]
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Configuration/Addresses/{address}")
        return {
            "Addresses": [address, "owned@a.example"],
            "Webhooks": [self.made(at + "/Webhooks", LEAST["ScopedWebhooks"])["sid"]],
            "Services": [service],
            "Conversations": [room, "owned room"],
            "Participants": [participant, "owned walker"],
            "Messages": [message],
            "Receipts": [receipts[0]["sid"]],
            "Users": [self.daemon.rest("GET", base + "/Users/owned%20walker")[2]["sid"], "owned walker"],
            "Roles": [self.roles["conversation_role"]],
            "Credentials": [credential],
            "Bindings": ["BS" + "0" * 32],
        }

    def ways(self, path, owned, service):
        """The path with everything that it names, once by SIDs and once by names; `service` stands in front of it."""
        for which in (0, -1):

            def name(found):
                if found[1] == "ChatServiceSid":
                    return service
                names = owned[path[: found.start()].rstrip("/").rsplit("/", 1)[1]]
                return quote(names[which], safe="")

            yield re.sub(r"\{(\w+)\}", name, path)

    def form(self, name, path):
        """What the operation would take."""
        resource = kind(path)
        if not path.endswith("}") and resource in LEAST:
            return {key: self.filled(value) for key, value in LEAST[resource].items()}
        content = specs.document(specs.CONVERSATIONS)["paths"][path]["post"]["requestBody"]["content"]
        written = set(content[specs.FORM]["schema"]["properties"])
        short = name.replace("Service", "", 1) if path.startswith(IN_A_SERVICE) else name
        written = {each for each in written if f"{short} {each}" not in DO_NOT_COME_BACK}
        choice = next(each for each in PROPERTIES[resource] if each in written and "$" not in str(PROPERTIES[resource][each].value))
        return {choice: self.filled(PROPERTIES[resource][choice].value)}

    def filled(self, value):
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return re.sub(r"\{n(:\d+)?\}", "7", value) if isinstance(value, str) else value

    def test_nothing_of_another_is_reachable(self):
        owned = self.owned()
        mine = self.made("/v1/Services", {"FriendlyName": "Mine"})["sid"]
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{mine}")
        theirs = self.made("/v1/Services", {"FriendlyName": "Theirs"}, STRANGER)["sid"]
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{theirs}", None, STRANGER)
        before = self.everything(owned)
        tried = set()
        for name, (method, path) in OPERATIONS.items():
            if name in NOT_SERVED:
                continue
            form = self.form(name, path) if method == "POST" else None
            explicit = path.startswith(IN_A_SERVICE)
            # Who asks, and which service they put in front: theirs, or the very one that they have no business in.
            asking = [(STRANGER, None)]
            if explicit:
                asking = [(STRANGER, theirs), (STRANGER, owned["Services"][0]), (OWNER, mine)]
            elif kind(path) not in ("Services", "Credentials", "Configuration", "Addresses"):
                # The default service is another one, too.
                asking.append((OWNER, None))
            named = path.count("{") - explicit
            for account, service in asking:
                for target in dict.fromkeys(self.ways(path, owned, service)):
                    with self.subTest(operation=name, target=target, account=account[0]):
                        if named or service == owned["Services"][0] and explicit:
                            status, _, answer = self.daemon.rest(method, target, form, account)
                            self.assertEqual(status, 404, answer)
                            self.assertNotIn("Owned", json.dumps(answer))
                            tried.add(name)
                        elif method == "GET":
                            self.shows_nothing(target, owned, account)
                            tried.add(name)
        self.assertEqual(self.everything(owned), before)
        # What is left makes something new of one's own.
        left = {name: OPERATIONS[name] for name in set(OPERATIONS) - NOT_SERVED - tried}
        self.assertEqual([name for name, (method, path) in left.items() if method != "POST" or path.endswith("}")], [])
        self.references(mine)
        suite.counted.append(f"{len(tried)} operations tried on another's")

    def shows_nothing(self, target, owned, account):
        hidden = [name for names in owned.values() for name in names] + [*self.roles.values()]
        queries = ["?Identity=owned%20walker", "?Address=%2B15550800001"] if target.endswith("/ParticipantConversations") else [""]
        for query in queries:
            url = target + query
            while url:
                status, _, answer = self.daemon.rest("GET", url, None, account)
                self.assertEqual(status, 200, answer)
                records = json.dumps({key: value for key, value in answer.items() if key != "meta"})
                self.assertEqual([name for name in hidden if name in records], [], url)
                url = answer.get("meta", {}).get("next_page_url")

    def references(self, mine):
        """A request's own parameters reach no further than its path."""
        room = self.made(f"/v1/Services/{mine}/Conversations", {})["sid"]
        paths = {
            "Participants": f"/v1/Services/{mine}/Conversations/{room}/Participants",
            "Users": f"/v1/Services/{mine}/Users",
            "ServiceConfiguration": f"/v1/Services/{mine}/Configuration",
        }
        tried = 0
        for resource, path in paths.items():
            for written, line in PROPERTIES[resource].items():
                if "_role" not in str(line.value):
                    continue
                value = self.roles[line.value.removeprefix("$").removeprefix("other_")]
                least = {key: self.filled(each) for key, each in LEAST.get(resource, {}).items()}
                with self.subTest(path=path, property=written):
                    status, _, answer = self.daemon.rest("POST", path, {**least, written: value})
                    self.assertEqual(status, 404, answer)
                    tried += 1
        self.assertEqual(tried, 5)
        status, _, answer = self.daemon.rest("POST", "/v1/Configuration", {"DefaultChatServiceSid": mine}, STRANGER)
        self.assertEqual((status, answer["code"]), (404, 50050))

    def everything(self, owned):
        """All that the owner sees of it."""
        seen = {}
        for name, (method, path) in OPERATIONS.items():
            if method != "GET" or name in NOT_SERVED or not path.startswith(IN_A_SERVICE):
                continue
            target = next(self.ways(path, owned, owned["Services"][0]))
            target += "?Identity=owned%20walker" if path.endswith("/ParticipantConversations") else ""
            seen[name] = self.daemon.rest("GET", target)[2]
        # These move by themselves.
        for name in ("ListServiceConversationMessageReceipt", "FetchServiceConversationMessageReceipt"):
            seen.pop(name)
        for record in [*seen["ListServiceConversationMessage"]["messages"], seen["FetchServiceConversationMessage"]]:
            record.pop("delivery")
        return seen
