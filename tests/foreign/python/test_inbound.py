"""Webhooks signed by the providers' own libraries, or by others that nobody here wrote, as the daemon meets them."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode

from pywa.utils import webhook_updates_validator
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

import daemon
import specs
from daemon import MESSENGER, SMS, TWILIO_SID, TWILIO_TOKEN, WHATSAPP
from provider import post_form, post_meta
from suite import Case

ODD = [
    "plain",
    "Grüße, 你好, Привет, مرحبا 👩‍👩‍👧‍👦",
    "a+b & c=d % 100 # ? / \\ \" ' < > ; , |",
    "line one\nline two\r\nline three\ttab",
    " spaces around ",
    "%41%20%zz %",
    "\u200b\u202e right to left \u0301",
]


class Signed(Case):
    def room(self):
        """A conversation of one person per channel, and where to reach them."""
        serial = f"{uuid.uuid4().int % 10**7:07}"
        people = {"sms": f"+1555{serial}", "whatsapp": f"whatsapp:+1556{serial}", "messenger": f"messenger:9{serial}"}
        conversation = self.conversation()
        for (address, proxy) in zip(people.values(), (SMS, WHATSAPP, MESSENGER)):
            conversation.participants.create(messaging_binding_address=address, messaging_binding_proxy_address=proxy)
        return conversation, people

    def sms(self, person, text, **more):
        sid = "SM" + uuid.uuid4().hex
        params = {"MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "AccountSid": TWILIO_SID}
        params |= {"From": person, "To": SMS, "Body": text, "NumMedia": "0", "NumSegments": "1"}
        return params | {"SmsStatus": "received", "ApiVersion": "2010-04-01"} | more

    def bodies(self, conversation):
        return [(each.author, each.body) for each in conversation.messages.list()]

    def test_forms_signed_by_twilios_validator(self):
        conversation, people = self.room()
        for text in ODD:
            with self.subTest(text=text):
                # Twilio leaves what it does not know empty, and adds parameters without notice.
                params = self.sms(people["sms"], text, FromCity="", ToZip="", Zukunft="ä&b", _Q="")
                status, headers, body = post_form(self.daemon.webhook("us"), params)
                self.assertEqual(status, 200)
                # Anything but TwiML or nothing would be sent to the person as an answer.
                self.assertTrue(body == b"" or headers.get_content_type() in ("text/xml", "application/xml"), body)
                self.provider.wait(people["whatsapp"].removeprefix("whatsapp:+"), text)
                self.provider.wait(people["messenger"].removeprefix("messenger:"), text)
        self.assertEqual(self.bodies(conversation), [(people["sms"], text) for text in ODD])

    def test_repeated_parameters_are_signed_once_each(self):
        conversation, people = self.room()
        params = MultiDict(self.sms(people["sms"], "repeated"))
        for value in ("2", "1", "1", ""):
            params.add("Repeated", value)
        self.assertEqual(post_form(self.daemon.webhook("us"), params)[0], 200)
        self.assertEqual(self.bodies(conversation), [(people["sms"], "repeated")])

    def test_a_get_is_signed_by_its_url_alone(self):
        conversation, people = self.room()
        for text in ODD:
            url = self.daemon.webhook("us") + "?" + urlencode(self.sms(people["sms"], text), quote_via=quote)
            signature = RequestValidator(TWILIO_TOKEN).compute_signature(url, {})
            with self.subTest(text=text):
                status, _, _ = daemon.http("GET", url, None, {"X-Twilio-Signature": signature})
                self.assertEqual(status, 200)
        self.assertEqual(self.bodies(conversation), [(people["sms"], text) for text in ODD])

    def test_a_query_on_the_webhooks_url_is_signed_too(self):
        conversation, people = self.room()
        url = self.daemon.webhook("us") + "?x=1&y=%C3%A4"
        self.assertEqual(post_form(url, self.sms(people["sms"], "with a query"))[0], 200)
        self.assertEqual(self.bodies(conversation), [(people["sms"], "with a query")])

    def test_what_twilios_validator_would_refuse_is_refused(self):
        conversation, people = self.room()
        webhook, params = self.daemon.webhook("us"), self.sms(people["sms"], "forged")
        self.assertEqual(post_form(webhook, params, token="0" * 32)[0], 403)
        self.assertEqual(post_form(webhook, params, signed_url=webhook + "?x=1")[0], 403)
        signature = RequestValidator(TWILIO_TOKEN).compute_signature(webhook, params)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for header, changed in [
            ({}, params),
            ({"X-Twilio-Signature": ""}, params),
            ({"X-Twilio-Signature": signature[:-1]}, params),
            ({"X-Twilio-Signature": signature.lower()}, params),
            ({"X-Twilio-Signature": signature}, {**params, "Body": "changed"}),
            ({"X-Twilio-Signature": signature}, {**params, "Added": ""}),
        ]:
            self.assertEqual(daemon.http("POST", webhook, urlencode(changed).encode(), {**form, **header})[0], 403)
        self.assertEqual(self.bodies(conversation), [])

    def test_a_repeat_changes_nothing(self):
        conversation, people = self.room()
        params = self.sms(people["sms"], "once")
        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda _: post_form(self.daemon.webhook("us"), params)[0], range(5)))
        self.assertEqual(answers, [200] * 5)
        self.assertEqual(post_form(self.daemon.webhook("us"), params)[0], 200)
        self.assertEqual(self.bodies(conversation), [(people["sms"], "once")])
        # A marker after it: were there a second send, it would have been before the marker's.
        self.assertEqual(post_form(self.daemon.webhook("us"), self.sms(people["sms"], "marker"))[0], 200)
        whatsapp = people["whatsapp"].removeprefix("whatsapp:+")
        self.provider.wait(whatsapp, "marker")
        self.assertEqual(len(self.provider.wait(whatsapp, "once")), 1)

    def test_a_status_signed_by_twilios_validator(self):
        conversation, people = self.room()
        message = conversation.messages.create(body="How did it go?")
        (sent,) = self.provider.wait(people["sms"], "How did it go?")
        self.assertEqual(self.provider.report(sent, "undelivered", 30006), 200)
        receipts = {each.channel_message_sid: each for each in message.delivery_receipts.list()}
        self.assertEqual((receipts[sent.id].status, receipts[sent.id].error_code), ("undelivered", 30006))
        self.assertEqual(message.fetch().delivery["undelivered"], "some")

    def test_whatsapp_as_pywa_validates_it(self):
        conversation, people = self.room()
        person = people["whatsapp"].removeprefix("whatsapp:+")
        for number, text in enumerate(ODD):
            message = {"from": person, "id": f"wamid.{uuid.uuid4().hex}", "timestamp": str(int(time.time()))}
            message |= {"type": "text", "text": {"body": text}}
            contact = {"profile": {"name": "Ana"}, "wa_id": person}
            with self.subTest(text=text):
                value = {"contacts": [contact], "messages": [message]}
                self.assertEqual(self.provider.whatsapp_webhook(self.daemon.webhook("wa"), value)[0], 200)
                self.provider.wait(people["sms"], text)
        self.assertEqual(self.bodies(conversation), [(people["whatsapp"], text) for text in ODD])

    def test_every_webhook_that_meta_publishes_is_taken(self):
        counter = 'trunkline_inbound_messages_total{adapter="wa",outcome="unreadable"}'

        def unreadable():
            (line,) = [each for each in self.daemon.metrics().splitlines() if each.startswith(counter)]
            return int(line.rsplit(" ", 1)[1])

        before = unreadable()
        conversation, person = self.conversation(), "whatsapp:+16505551234"
        conversation.participants.create(
            messaging_binding_address=person, messaging_binding_proxy_address=WHATSAPP
        )
        samples = specs.samples()
        self.assertGreater(len(samples), 10)
        for name, body in samples.items():
            with self.subTest(name):
                self.assertEqual(post_meta(self.daemon.webhook("wa"), body)[0], 200)
        # Groups are the only thing there that nothing here speaks of; those are kept and counted.
        groups = [name for name in samples if name.startswith("Group ")]
        self.assertEqual((unreadable() - before, len(groups)), (len(groups), 3))
        self.assertIn((person, "Does it come in another color?"), self.bodies(conversation))

    def test_meta_signatures_are_over_the_bytes(self):
        import hashlib
        import hmac

        value = {"object": "page", "entry": [], "text": "ä"}
        for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()):
            signature = "sha256=" + hmac.new(daemon.APP_SECRET.encode(), raw, hashlib.sha256).hexdigest()
            self.assertTrue(webhook_updates_validator(daemon.APP_SECRET, raw, signature))
            for adapter in ("pages", "wa"):
                for header, body, wanted in [
                    (signature, raw, 200),
                    (signature, raw + b" ", 403),
                    (signature.upper(), raw, 403),
                    (signature[:-2], raw, 403),
                    (signature.removeprefix("sha256="), raw, 403),
                    ("", raw, 403),
                ]:
                    head = {"Content-Type": "application/json", "X-Hub-Signature-256": header}
                    with self.subTest(adapter=adapter, header=header, body=body):
                        self.assertEqual(daemon.http("POST", self.daemon.webhook(adapter), body, head)[0], wanted)
        self.assertEqual(post_meta(self.daemon.webhook("wa"), value, "another-secret")[0], 403)

    def test_messenger_and_its_watermarks(self):
        conversation, people = self.room()
        person = people["messenger"].removeprefix("messenger:")
        event = {"sender": {"id": person}, "recipient": {"id": daemon.PAGE}, "timestamp": int(time.time() * 1000)}
        event["message"] = {"mid": "m_" + uuid.uuid4().hex, "text": "from a page"}
        self.assertEqual(self.provider.messenger_webhook(self.daemon.webhook("pages"), [event])[0], 200)
        self.provider.wait(people["sms"], "from a page")
        self.assertEqual(self.bodies(conversation), [(people["messenger"], "from a page")])

    def test_metas_challenge(self):
        for adapter in ("wa", "pages"):
            url = self.daemon.webhook(adapter)
            asked = {"hub.mode": "subscribe", "hub.verify_token": daemon.VERIFY_TOKEN, "hub.challenge": "1158201444"}
            status, headers, body = daemon.http("GET", url + "?" + urlencode(asked))
            self.assertEqual((status, body, headers.get_content_type()), (200, b"1158201444", "text/plain"))
            asked["hub.verify_token"] = "guessed"
            self.assertEqual(daemon.http("GET", url + "?" + urlencode(asked))[0], 403)
