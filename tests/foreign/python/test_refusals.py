"""Every refusal that has a code, each from a real state, by the official library: what is refused changes nothing."""

import unittest

import daemon
import suite
from calls import Calls, read
from provider import Provider
from suite import Case
from twilio.base.exceptions import TwilioException, TwilioRestException

LEAST = 60


def outcome(call):
    """What the library says of a refusal: status, code and text; for lists it raises its general exception."""
    try:
        done = call()
    except TwilioRestException as refusal:
        return refusal.status, refusal.code, refusal.msg
    except TwilioException as refusal:
        answer = refusal.args[1]
        said = daemon.json.loads(answer.text)
        return answer.status_code, said["code"], said["message"]
    raise AssertionError(f"taken: {done}")


class Refusals(unittest.TestCase):
    """On a daemon of its own, where nothing else moves: its whole store is compared."""

    def test_every_code(self):
        data = read("refusals.json")
        with Provider() as provider, daemon.Daemon(provider) as running:
            case = Case()
            case.daemon = running
            clients = {"owner": case.client(), "stranger": case.client(password="wrong")}
            default = clients["owner"].conversations.v1.configuration().fetch().default_chat_service_sid
            known = {"default": default, "sms": daemon.SMS, "second": daemon.SMS_SECOND, "whatsapp": daemon.WHATSAPP}
            known["template"] = daemon.TEMPLATE
            calls = {name: Calls(client, known) for name, client in clients.items()}
            calls["owner"].states(data["states"])
            calls["stranger"].known = calls["owner"].known
            before, codes = running.dump(), set()
            for refusal in data["refusals"]:
                by = calls[refusal.get("as", "owner")]
                with self.subTest(refusal=str(refusal)[:300]):
                    if "raw" in refusal:
                        status, said = by.raw(refusal)
                        code, text = said["code"], said["message"]
                    else:
                        status, code, text = outcome(lambda: by.make(refusal))
                    self.assertEqual((status, code), (refusal["status"], refusal["code"]), text)
                    self.assertRegex(text, by.filled(refusal.get("says", ".")))
                    self.assertEqual(running.dump(), before, "the refusal changed something")
                    codes.add(code)
            suite.counted.append(f"{len(codes)} distinct error codes")
            self.assertGreaterEqual(len(codes), LEAST)
