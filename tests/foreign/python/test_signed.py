"""What our simulators sign and say, as Python libraries that nobody here wrote judge it.

TRUNKLINE_SIGNED names the file that the Rust test `signed` wrote.
"""

import json
import os
import unittest
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qsl

from pywa import WhatsApp
from pywa.handlers import MessageHandler, MessageStatusHandler
from pywa.utils import webhook_updates_validator
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

import specs


def signed():
    return json.loads(Path(os.environ["TRUNKLINE_SIGNED"]).read_text(encoding="utf-8"))


def header(request, name):
    return dict(request["headers"])[name]


class Simulators(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.signed = signed()

    def requests(self, adapter):
        found = [each for each in self.signed["requests"] if each["adapter"] == adapter]
        self.assertGreater(len(found), 3)
        return found

    def test_twilio_signs_as_twilios_validator_checks(self):
        right, wrong = RequestValidator(self.signed["twilio_token"]), RequestValidator("0" * 32)
        for request in self.requests("twilio"):
            with self.subTest(request["what"], url=request["url"]):
                params = MultiDict(parse_qsl(request["body"], keep_blank_values=True, strict_parsing=True))
                signature = header(request, "x-twilio-signature")
                self.assertTrue(right.validate(request["url"], params, signature))
                self.assertFalse(wrong.validate(request["url"], params, signature))
                self.assertFalse(right.validate(request["url"] + "&", params, signature))
                if request["kind"] == "message":
                    self.assertEqual((params["Body"], params["MessageSid"]), (request["text"], request["id"]))
                else:
                    self.assertEqual(params["MessageStatus"], request["status"])

    def test_event_webhooks_are_signed_as_twilios_validator_checks(self):
        right, wrong = RequestValidator(self.signed["twilio_token"]), RequestValidator("0" * 32)
        self.assertEqual(len(self.signed["events"]), 4 * 11)
        for event in self.signed["events"]:
            with self.subTest(event["what"], url=event["url"]):
                said = {
                    "form": lambda: MultiDict(map(tuple, event["params"])),
                    "get": dict,
                    "json": lambda: event["body"],
                }[event["kind"]]()
                signature = event["signature"]
                self.assertTrue(right.validate(event["url"], said, signature))
                self.assertFalse(wrong.validate(event["url"], said, signature))
                self.assertFalse(right.validate(event["url"] + "&", said, signature))
                if event["kind"] == "json":
                    self.assertFalse(right.validate(event["url"], event["body"] + " ", signature))

    def test_meta_signs_as_pywa_checks(self):
        for request in self.requests("whatsapp") + self.requests("messenger"):
            with self.subTest(request["what"]):
                body, signature = request["body"].encode(), header(request, "x-hub-signature-256")
                self.assertRegex(signature, "^sha256=[0-9a-f]{64}$")
                self.assertTrue(webhook_updates_validator(self.signed["app_secret"], body, signature))
                self.assertFalse(webhook_updates_validator(self.signed["app_secret"], body + b" ", signature))
                self.assertFalse(webhook_updates_validator("another", body, signature))
                self.assertTrue(request["body"].isascii(), "Meta escapes what is beyond ASCII")

    def test_pywa_reads_what_the_whatsapp_simulator_says(self):
        heard = []
        client = WhatsApp(
            phone_id=self.signed["phone_number_id"],
            token="token",
            server=None,
            verify_token="verify-token",
            app_secret=self.signed["app_secret"],
        )
        client.add_handlers(
            MessageHandler(lambda _, message: heard.append(message)),
            MessageStatusHandler(lambda _, status: heard.append(status)),
        )
        when = datetime.fromtimestamp(self.signed["at"], timezone.utc)
        # This pywa wants everybody to have a business-scoped id. People with a number alone are for the other judges.
        requests = [each for each in self.requests("whatsapp") if not each["plain"]]
        self.assertEqual(len(requests), 10)
        for request in requests:
            with self.subTest(request["what"], person=request["person"]):
                heard.clear()
                body, signature = request["body"].encode(), header(request, "x-hub-signature-256")
                self.assertIsNone(client.webhook_update_validator(body, signature))
                self.assertEqual(client.webhook_update_handler(body), ("ok", 200))
                self.assertEqual(len(heard), 1)
                (said,) = heard
                self.assertEqual((said.id, said.timestamp.astimezone(timezone.utc)), (request["id"], when))
                self.assertEqual(f"whatsapp:{said.from_user.bsuid}", request["person"])
                if request["kind"] == "message":
                    self.assertEqual((said.text, said.from_user.name), (request["text"], "Ana & Söhne"))
                    self.assertEqual(said.metadata.phone_number_id, self.signed["phone_number_id"])
                else:
                    self.assertEqual((said.status.value, said.tracker), (request["status"], "ours-1"))
                    if request["error"]:
                        self.assertEqual(said.error.code, request["error"])

    def test_the_whatsapp_simulator_speaks_like_metas_published_sample(self):
        sample = members(specs.samples()["Text Message"])
        plain = [each for each in self.requests("whatsapp") if each["plain"] and each["kind"] == "message"]
        self.assertEqual(len(plain), 6)
        for request in plain:
            self.assertEqual(members(json.loads(request["body"])), sample)


def members(value):
    """A JSON value without its leaves: which members there are, and what kind each is of."""
    if isinstance(value, dict):
        return {key: members(each) for key, each in value.items()}
    if isinstance(value, list):
        return [members(each) for each in value]
    return type(value).__name__
