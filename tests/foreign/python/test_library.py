"""The official Python library, unmodified, doing what its users do with it."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

import daemon
from daemon import MESSENGER, SMS, WHATSAPP, eventually
from suite import Case, OtherOrigin


class Library(Case):
    def test_three_people_on_three_channels(self):
        conversation = self.conversation(friendly_name="Three channels", attributes='{"ticket": 7}')
        self.assertEqual((conversation.state, conversation.attributes), ("active", '{"ticket": 7}'))
        self.assertEqual(conversation.date_created.tzinfo, timezone.utc)
        self.assertLess(abs((datetime.now(timezone.utc) - conversation.date_created).total_seconds()), 120)
        people = {"+15550100001": SMS, "whatsapp:+15550100002": WHATSAPP, "messenger:900100003": MESSENGER}
        made = {}
        for address, proxy in people.items():
            made[address] = conversation.participants.create(
                messaging_binding_address=address, messaging_binding_proxy_address=proxy
            )
            self.assertEqual(made[address].messaging_binding["address"], address)
            self.assertEqual(made[address].messaging_binding["proxy_address"], proxy)
        kinds = [each.messaging_binding["type"] for each in conversation.participants.list()]
        self.assertEqual(kinds, ["sms", "whatsapp", "messenger"])

        text = "Grüße aus dem Norden & 50 % = +1 👋"
        message = conversation.messages.create(author="system", body=text)
        self.assertEqual((message.index, message.body, message.author), (0, text, "system"))
        self.assertEqual(message.delivery["total"], 3)
        (sms,) = self.provider.wait("+15550100001", text)
        (whatsapp,) = self.provider.wait("15550100002", text)
        (messenger,) = self.provider.wait("900100003", text)

        # Each receipt joins us to the provider by the provider's id.
        ids = {sms.id, whatsapp.id, messenger.id}

        def sent():
            receipts = message.delivery_receipts.list()
            return receipts if all(each.status == "sent" for each in receipts) else None

        receipts = eventually("three receipts with the status sent", sent)
        self.assertEqual({each.channel_message_sid for each in receipts}, ids)
        self.assertEqual({each.participant_sid for each in receipts}, {each.sid for each in made.values()})
        self.assertTrue(all(each.message_sid == message.sid for each in receipts))
        delivery = message.fetch().delivery
        self.assertEqual((delivery["sent"], delivery["delivered"], delivery["read"]), ("all", "none", "none"))

        self.assertEqual(self.provider.report(sms, "delivered"), 200)
        self.assertEqual(self.provider.report(whatsapp, "read", user=self.daemon.webhook("wa")), 200)
        delivery = message.fetch().delivery
        self.assertEqual((delivery["sent"], delivery["delivered"], delivery["read"]), ("all", "some", "some"))
        by_id = {each.channel_message_sid: each for each in message.delivery_receipts.list()}
        self.assertEqual((by_id[sms.id].status, by_id[whatsapp.id].status), ("delivered", "read"))
        # A late word never takes a status back.
        self.assertEqual(self.provider.report(whatsapp, "delivered", user=self.daemon.webhook("wa")), 200)
        one = message.delivery_receipts(by_id[whatsapp.id].sid).fetch()
        self.assertEqual((one.status, one.error_code or 0), ("read", 0))

    def test_a_refused_send_becomes_a_failed_receipt(self):
        conversation = self.conversation()
        person = "+15550100011"
        conversation.participants.create(
            messaging_binding_address=person, messaging_binding_proxy_address=SMS
        )
        error = {"code": 21614, "message": "'To' number is not a valid mobile number", "status": 400}
        self.provider.refuse(person, 400, {**error, "more_info": "https://www.twilio.com/docs/errors/21614"})
        message = conversation.messages.create(body="To a landline")

        def failed():
            (receipt,) = message.delivery_receipts.list()
            return receipt if receipt.status else None

        receipt = eventually("a failed receipt", failed)
        self.assertEqual((receipt.status, receipt.error_code), ("failed", 21614))
        self.assertEqual(message.fetch().delivery["failed"], "all")

    def test_lists_in_pages(self):
        client = self.client()
        wanted = [self.conversation(client, friendly_name=f"Page {number}").sid for number in range(115)]
        listed = [each.sid for each in client.conversations.v1.conversations.list(page_size=10)]
        self.assertEqual(len(listed), len(set(listed)), "a conversation came twice")
        self.assertLessEqual(set(wanted), set(listed))
        streamed = [each.sid for each in client.conversations.v1.conversations.stream(page_size=37)]
        self.assertEqual(streamed, listed)
        # An oversized page is cut to the maximum, never refused.
        self.assertEqual([each.sid for each in client.conversations.v1.conversations.list(limit=500)], listed)
        self.assertEqual(len(client.conversations.v1.conversations.list(limit=7)), 7)

        page = client.conversations.v1.conversations.page(page_size=50)
        self.assertEqual(len(list(page)), 50)
        self.assertIsNone(page.previous_page_url)
        self.assertTrue(page.next_page_url.startswith(self.daemon.url + "/v1/Conversations?"))
        second = page.next_page()
        self.assertEqual([each.sid for each in second], listed[50:100])
        # The address of a page alone is enough, as after a restart of the caller.
        again = client.conversations.v1.conversations.get_page(page.next_page_url)
        self.assertEqual([each.sid for each in again], listed[50:100])

    def test_messages_in_pages_and_both_orders(self):
        conversation = self.conversation()
        for number in range(107):
            self.assertEqual(conversation.messages.create(body=f"Message {number}").index, number)
        indexes = [each.index for each in conversation.messages.list(page_size=9)]
        self.assertEqual(indexes, list(range(107)))
        indexes = [each.index for each in conversation.messages.list(order="desc", page_size=50)]
        self.assertEqual(indexes, list(reversed(range(107))))
        self.assertEqual([each.body for each in conversation.messages.list(order="desc", limit=1)], ["Message 106"])

    def test_a_message_is_changed_and_deleted(self):
        conversation = self.conversation()
        message = conversation.messages.create(body="First", author="alice", attributes='{"a": 1}')
        changed = message.update(body="Second", attributes='{"a": 2}')
        self.assertEqual((changed.body, changed.author, changed.attributes), ("Second", "alice", '{"a": 2}'))
        self.assertEqual(message.fetch().body, "Second")
        self.assertTrue(message.delete())
        self.refused(404, 20404, message.fetch)
        self.assertEqual(conversation.messages.create(body="Third").index, 1, "an index was used again")

    def test_a_conversation_is_changed_and_deleted(self):
        client = self.client()
        conversation = self.conversation(client, unique_name="an odd name/with a slash")
        found = client.conversations.v1.conversations("an%20odd%20name%2Fwith%20a%20slash").fetch()
        self.assertEqual(found.sid, conversation.sid)
        changed = conversation.update(friendly_name="New", state="inactive")
        self.assertEqual((changed.friendly_name, changed.state), ("New", "inactive"))
        self.assertEqual(changed.unique_name, "an odd name/with a slash")
        conversation.update(state="closed")
        self.refused(409, 50377, conversation.update, friendly_name="Too late")
        self.assertEqual(conversation.fetch().state, "closed")
        self.assertTrue(conversation.delete())
        self.refused(404, 20404, conversation.fetch)

    def test_how_far_a_participant_has_read(self):
        conversation = self.conversation()
        alice = conversation.participants.create(identity="alice")
        self.assertIsNone(alice.messaging_binding)
        for number in range(3):
            conversation.messages.create(body=str(number))
        read = alice.update(last_read_message_index=1, attributes='{"vip": true}')
        self.assertEqual((read.last_read_message_index, read.attributes), (1, '{"vip": true}'))
        self.assertEqual(conversation.participants("alice").fetch().sid, alice.sid)
        self.assertTrue(alice.delete())
        self.assertEqual(conversation.participants.list(), [])

    def test_a_pair_in_use_names_the_conversation_that_has_it(self):
        first, second = self.conversation(), self.conversation()
        pair = {"messaging_binding_address": "+15550100021", "messaging_binding_proxy_address": SMS}
        holder = first.participants.create(**pair)
        refusal = self.refused(409, 50416, second.participants.create, **pair)
        # What applications do to find the conversation.
        named = re.search(r"Conversation (CH[a-f0-9]+)", refusal.msg, re.IGNORECASE)
        self.assertIsNotNone(named, refusal.msg)
        self.assertEqual(named.group(1), first.sid)
        # Another number of ours is another pair.
        second.participants.create(
            messaging_binding_address="+15550100021", messaging_binding_proxy_address=daemon.SMS_SECOND
        )
        holder.delete()
        second.participants.create(**pair)

    def test_a_pair_wanted_by_many_at_once_goes_to_one(self):
        rooms = [self.conversation() for _ in range(8)]
        pair = {"messaging_binding_address": "+15550100022", "messaging_binding_proxy_address": SMS}

        def claim(room):
            # A client of its own each: connections are not shared between threads.
            try:
                self.client().conversations.v1.conversations(room.sid).participants.create(**pair)
            except TwilioRestException as refusal:
                return refusal
            return room.sid

        with ThreadPoolExecutor(len(rooms)) as threads:
            outcomes = list(threads.map(claim, rooms))
        (winner,) = [each for each in outcomes if isinstance(each, str)]
        for refusal in outcomes:
            if refusal != winner:
                self.assertEqual((refusal.status, refusal.code), (409, 50416))
                self.assertIn(f"Conversation {winner}", refusal.msg)

    def test_errors_that_users_branch_on(self):
        client = self.client()
        conversation = self.conversation(client, unique_name="taken")
        conversation.participants.create(identity="alice")
        self.assertIn("Participant already exists", self.refused(409, 50433, conversation.participants.create, identity="alice").msg)
        message = self.refused(409, 50353, client.conversations.v1.conversations.create, unique_name="taken").msg
        self.assertIn("Conversation with provided unique name already exists", message)

        v1 = client.conversations.v1
        nowhere = v1.conversations("CH" + "0" * 32)
        self.assertIn("Conversation not found", self.no_page(404, 50350, nowhere.messages.list))
        self.assertIn(f"/Conversations/CH{'0' * 32} was not found", self.refused(404, 20404, nowhere.fetch).msg)
        self.refused(404, 50350, nowhere.messages.create, body="Hello")
        self.refused(404, 50350, nowhere.participants.create, identity="bob")
        nobody = conversation.participants("MB" + "0" * 32)
        self.assertIn(self.code_of(nobody.fetch), (20404, 50432))
        self.assertIn(self.code_of(nobody.delete), (20404, 50432))
        nothing = conversation.messages("IM" + "0" * 32)
        self.assertIn(self.code_of(nothing.fetch), (20404, 50500))
        self.no_page(404, 50500, nothing.delivery_receipts.list)
        self.refused(400, 50503, conversation.messages.create)
        self.refused(400, 50204, conversation.participants.create)
        self.refused(400, 50304, conversation.update, attributes="{not json")
        self.refused(
            403,
            50413,
            conversation.participants.create,
            messaging_binding_address="+15550100031",
            messaging_binding_proxy_address="+15559999999",
        )
        self.refused(
            400,
            50414,
            conversation.participants.create,
            messaging_binding_address="+15550100031",
            messaging_binding_proxy_address=WHATSAPP,
        )
        self.refused(
            400,
            50407,
            conversation.participants.create,
            messaging_binding_address="not a number",
            messaging_binding_proxy_address=SMS,
        )

    def code_of(self, call):
        with self.assertRaises(TwilioRestException) as caught:
            call()
        self.assertEqual(caught.exception.status, 404)
        return caught.exception.code

    def test_credentials(self):
        wrong = [
            (daemon.ACCOUNT, "wrong"),
            ("AC" + "9" * 32, daemon.AUTH_TOKEN),
            (daemon.API_KEY, daemon.AUTH_TOKEN),
            (daemon.ACCOUNT, daemon.API_SECRET),
        ]
        for username, password in wrong:
            with self.subTest(username=username, password=password):
                client = self.client(username, password)
                self.no_page(401, 20003, client.conversations.v1.conversations.list)
                self.refused(401, 20003, client.conversations.v1.conversations.create, friendly_name="No")
        with_key = self.client(daemon.API_KEY, daemon.API_SECRET)
        made = self.conversation(with_key, friendly_name="By key")
        self.assertEqual(made.account_sid, daemon.ACCOUNT)
        self.assertEqual(self.client().conversations.v1.conversations(made.sid).fetch().friendly_name, "By key")

    def test_an_http_client_of_ones_own(self):
        transport = OtherOrigin(self.daemon.url)
        client = Client(daemon.ACCOUNT, daemon.AUTH_TOKEN, http_client=transport)
        made = self.conversation(client, friendly_name="Rewritten")
        self.assertEqual(client.conversations.v1.conversations(made.sid).fetch().friendly_name, "Rewritten")
        self.assertIn(made.sid, [each.sid for each in client.conversations.v1.conversations.list(page_size=5)])
        self.assertTrue(transport.asked[0].startswith("https://conversations.twilio.com/v1/"))

    def test_services_are_silos(self):
        client = self.client()
        v1 = client.conversations.v1
        default = v1.configuration().fetch().default_chat_service_sid
        service = v1.services.create(friendly_name="A silo")
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{service.sid}")
        self.assertIn(service.sid, [each.sid for each in v1.services.list()])
        self.assertEqual(v1.services(service.sid).fetch().friendly_name, "A silo")
        inside = service.conversations.create(unique_name="same name")
        outside = self.conversation(client, unique_name="same name")
        self.assertEqual((inside.chat_service_sid, outside.chat_service_sid), (service.sid, default))
        self.assertIn(f"/v1/Services/{service.sid}/Conversations/", inside.url)
        self.assertNotIn("/Services/", outside.url)
        # Both shapes of a path lead to what is in the default service, and only one to what is not.
        self.assertEqual(v1.services(default).conversations("same%20name").fetch().sid, outside.sid)
        self.refused(404, 20404, v1.conversations(inside.sid).fetch)
        self.assertEqual([each.sid for each in service.conversations.list()], [inside.sid])
        message = inside.messages.create(body="Inside")
        self.assertEqual(message.chat_service_sid, service.sid)
        self.assertEqual([each.body for each in inside.messages.list()], ["Inside"])
        # A pair is one for the whole account, whatever the service.
        pair = {"messaging_binding_address": "+15550100041", "messaging_binding_proxy_address": SMS}
        inside.participants.create(**pair)
        self.refused(409, 50416, outside.participants.create, **pair)
        self.assertTrue(service.delete())
        self.refused(404, 20404, v1.services(service.sid).fetch)
        self.no_page(404, 50050, v1.services(service.sid).conversations.list)
