"""Our REST answers, member by member, against the published description; and the descriptions against themselves."""

import json
import unittest

import specs
from daemon import MESSENGER, SMS, WHATSAPP, eventually
from described import OPERATIONS, Described
from operations import operation
from provider import GRAPH_PATH, TWILIO_PATH

# What is described, as resource: the collection's path below /v1, and its operations.
IN_A_SERVICE = "/Services/{ChatServiceSid}"


class Answers(Described):
    def ask(self, method, path, template, body=None):
        """One call whose answer must be as described. `template` is the path in the description."""
        self.assertEqual(OPERATIONS[operation(method, path)][1], template)
        return super().ask(method, path, body)

    def resources(self, prefix, described):
        """Every operation of the resources inside a service, by one of the two shapes of their paths."""
        at, template = f"/v1{prefix}/Conversations", f"/v1{described}/Conversations"
        made = self.ask("POST", at, template, {"FriendlyName": "Shapes", "UniqueName": "shapes" + prefix[-4:]})
        conversation, sid = f"{at}/{made['sid']}", f"{template}/{{Sid}}"
        inner = f"{template}/{{ConversationSid}}"
        self.addCleanup(self.daemon.rest, "DELETE", conversation)
        self.assertEqual(made["url"], self.daemon.url + conversation)
        self.ask("GET", at + "?PageSize=1", template)
        self.ask("GET", at + "?State=active&PageSize=1", template)
        self.ask("GET", conversation, sid)
        self.ask("POST", conversation, sid, {"Attributes": '{"a": 1}'})

        pairs = {"+15550100051": SMS, "whatsapp:+15550100052": WHATSAPP, "messenger:900100053": MESSENGER}
        for address, proxy in pairs.items():
            pair = {"MessagingBinding.Address": address, "MessagingBinding.ProxyAddress": proxy}
            self.ask("POST", conversation + "/Participants", inner + "/Participants", pair)
        chat = self.ask("POST", conversation + "/Participants", inner + "/Participants", {"Identity": "alice"})
        participant, one = f"{conversation}/Participants/{chat['sid']}", inner + "/Participants/{Sid}"
        self.ask("GET", participant, one)
        self.ask("GET", conversation + "/Participants?PageSize=2", inner + "/Participants")

        message = self.ask("POST", conversation + "/Messages", inner + "/Messages", {"Body": "Shapes " + prefix})
        self.assertEqual(message["delivery"], {"total": 3} | {**message["delivery"], "total": 3})
        self.ask("POST", participant, one, {"LastReadMessageIndex": message["index"]})
        self.ask("GET", conversation + "/Messages?Order=desc&PageSize=1", inner + "/Messages")
        at_message, one_message = f"{conversation}/Messages/{message['sid']}", inner + "/Messages/{Sid}"
        self.ask("GET", at_message, one_message)
        receipts = inner + "/Messages/{MessageSid}/Receipts"

        def sent():
            # Until a message is handed over, the status is null: the description says so in words and not in its list.
            found = self.daemon.rest("GET", at_message + "/Receipts")[2]["delivery_receipts"]
            return len(found) == 3 and all(each["status"] for each in found)

        eventually("three receipts with a status", sent)
        for receipt in self.ask("GET", at_message + "/Receipts", receipts)["delivery_receipts"]:
            self.ask("GET", f"{at_message}/Receipts/{receipt['sid']}", receipts + "/{Sid}")
        self.ask("GET", at_message + "/Receipts?PageSize=1", receipts)
        self.ask("POST", at_message, one_message, {"Body": "Changed"})
        self.ask("DELETE", at_message, one_message)
        self.people(f"/v1{prefix}", f"/v1{described}", made["sid"])
        self.ask("DELETE", participant, one)
        self.ask("DELETE", conversation, sid)

    def people(self, at, template, conversation):
        """Roles, users, and which conversations they are in, with "alice" in this conversation."""
        role = {"FriendlyName": "guest", "Type": "conversation", "Permission": ["sendMessage", "leaveConversation"]}
        role = self.ask("POST", at + "/Roles", template + "/Roles", role)
        one, described = f"{at}/Roles/{role['sid']}", template + "/Roles/{Sid}"
        self.ask("GET", one, described)
        self.ask("POST", one, described, {"Permission": ["editOwnMessage"]})
        self.ask("GET", at + "/Roles?PageSize=2", template + "/Roles")
        self.ask("DELETE", one, described)
        user = self.ask("POST", at + "/Users", template + "/Users", {"Identity": "described", "FriendlyName": "D"})
        one, described = f"{at}/Users/{user['sid']}", template + "/Users/{Sid}"
        self.ask("GET", one, described)
        self.ask("POST", one, described, {"Attributes": '{"a": 1}'})
        self.ask("GET", at + "/Users?PageSize=1", template + "/Users")
        self.ask("DELETE", one, described)
        alice = self.ask("GET", at + "/Users/alice", described)["sid"]
        rooms = f"{at}/Users/{alice}/Conversations", template + "/Users/{UserSid}/Conversations"
        self.assertEqual(len(self.ask("GET", rooms[0] + "?PageSize=1", rooms[1])["conversations"]), 1)
        one, described = f"{rooms[0]}/{conversation}", rooms[1] + "/{ConversationSid}"
        self.ask("GET", one, described)
        self.ask("POST", one, described, {"NotificationLevel": "muted", "LastReadMessageIndex": 0})
        for query in ("Identity=alice", "Address=%2B15550100051"):
            path = "/ParticipantConversations"
            found = self.ask("GET", f"{at}{path}?{query}&PageSize=1", template + path)["conversations"]
            self.assertEqual(len(found), 1, query)

    def settings(self, service):
        """What an account and a service set for themselves, and what pushes need."""
        own = f"/v1{service}/Configuration", f"/v1{IN_A_SERVICE}/Configuration"
        self.ask("GET", *own)
        self.ask("POST", *own, {"ReachabilityEnabled": "true"})
        own = own[0] + "/Notifications", own[1] + "/Notifications"
        self.ask("GET", *own)
        self.ask("POST", *own, {"NewMessage.Enabled": "true", "NewMessage.Template": "${MESSAGE}", "LogEnabled": "false"})
        self.ask("POST", "/v1/Configuration", "/v1/Configuration", {"DefaultClosedTimer": "PT1H"})
        self.ask("POST", "/v1/Configuration", "/v1/Configuration", {"DefaultClosedTimer": ""})
        self.ask("GET", f"/v1{service}/Bindings?PageSize=1", f"/v1{IN_A_SERVICE}/Bindings")
        credential = {"Type": "fcm", "Secret": "hush", "FriendlyName": "Phones"}
        credential = self.ask("POST", "/v1/Credentials", "/v1/Credentials", credential)
        one, described = f"/v1/Credentials/{credential['sid']}", "/v1/Credentials/{Sid}"
        self.ask("GET", one, described)
        self.ask("POST", one, described, {"FriendlyName": "More"})
        self.ask("GET", "/v1/Credentials?PageSize=1", "/v1/Credentials")
        self.ask("DELETE", one, described)

    def test_every_operation_in_both_shapes(self):
        made = self.ask("POST", "/v1/Services", "/v1/Services", {"FriendlyName": "Shapes"})
        service = f"/Services/{made['sid']}"
        self.addCleanup(self.daemon.rest, "DELETE", "/v1" + service)
        self.ask("GET", "/v1/Services?PageSize=1", "/v1/Services")
        self.ask("GET", "/v1" + service, "/v1/Services/{Sid}")
        self.ask("GET", "/v1/Configuration", "/v1/Configuration")
        self.resources("", "")
        self.resources(service, IN_A_SERVICE)
        self.settings(service)
        self.ask("DELETE", "/v1" + service, "/v1/Services/{Sid}")
        self.assertEqual(len(self.asked), 16 + 2 * 31, sorted(self.asked))

    def test_errors_have_the_four_members_and_no_others(self):
        unknown = "/v1/Conversations/CH" + "0" * 32
        for method, path, body in [
            ("GET", unknown, None),
            ("GET", unknown + "/Messages", None),
            ("GET", "/v1/Nonsense", None),
            ("DELETE", "/v1/Conversations", None),
            ("POST", "/v1/Conversations", {"State": "nonsense"}),
        ]:
            status, headers, answer = self.daemon.rest(method, path, body)
            self.assertEqual(set(answer), {"code", "message", "more_info", "status"}, answer)
            self.assertEqual((answer["status"], headers.get_content_type()), (status, "application/json"))
            self.assertRegex(answer["more_info"], r"^https?://")


class Judges(unittest.TestCase):
    """A judge that lets everything through is worth nothing."""

    def test_the_judge_of_twilio_refuses_what_is_wrong(self):
        path = f"/2010-04-01/Accounts/AC{'a' * 32}/Messages.json"
        basic = {"Authorization": "Basic eA==", "Content-Type": specs.FORM}
        good = b"To=%2B15550100001&From=%2B15550001111&Body=Hi"

        def problem(body, headers=basic, path=path):
            request = specs.Request("https://api.twilio.com", "POST", path, "", headers, body)
            return specs.request_problem(specs.TWILIO, TWILIO_PATH, request)

        self.assertIsNone(problem(good))
        self.assertIn("required", problem(b"From=%2B15550001111&Body=Hi"))
        self.assertIn("Bogus", problem(good + b"&Bogus=1"))
        self.assertIn("Security", problem(good, {"Content-Type": specs.FORM}))
        self.assertIn("not one of", problem(good + b"&ContentRetention=sometimes"))
        self.assertIsNotNone(problem(good, path="/2010-04-01/Accounts/x/Messages.json"))
        self.assertIsNotNone(problem(good, {**basic, "Content-Type": "application/json"}))

    def test_the_judge_of_meta_refuses_what_is_wrong(self):
        bearer = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        good = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "15550199", "type": "text"}
        good |= {"text": {"body": "Hi", "preview_url": False}, "biz_opaque_callback_data": "ours"}

        def problem(body, headers=bearer):
            raw = json.dumps(body).encode()
            request = specs.Request("https://graph.facebook.com", "POST", "/v23.0/1/messages", "", headers, raw)
            return specs.request_problem(specs.META, GRAPH_PATH, request)

        self.assertIsNone(problem(good))
        self.assertIsNotNone(problem({**good, "biz_opaque_callback_data": "x" * 513}))
        self.assertIsNotNone(problem({**good, "bogus": 1}))
        self.assertIsNotNone(problem({**good, "recipient_type": "everybody"}))
        self.assertIsNotNone(problem({**good, "text": {"body": "Hi", "bogus": 1}}))
        self.assertIsNotNone(problem({key: value for key, value in good.items() if key != "to"}))
        self.assertIsNotNone(problem(good, {"Content-Type": "application/json"}))

    def test_metas_own_examples_pass_the_judge_as_we_read_the_description(self):
        content = specs.document(specs.META)["paths"][GRAPH_PATH]["post"]["requestBody"]["content"]
        bearer = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        texts = 0
        for name, example in content["application/json"]["examples"].items():
            value = example["value"]
            if value.get("type") != "text" or "to" not in value:
                continue
            raw = json.dumps(value).encode()
            request = specs.Request("https://graph.facebook.com", "POST", "/v23.0/1/messages", "", bearer, raw)
            with self.subTest(name):
                self.assertIsNone(specs.request_problem(specs.META, GRAPH_PATH, request))
                texts += 1
        self.assertGreater(texts, 0)
