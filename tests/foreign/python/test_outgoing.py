"""What leaves the daemon. Every request of every suite is judged by the published descriptions in `provider.py`;
here are the texts that could break one, and the members that the descriptions leave open."""

import json

import daemon
from daemon import MESSENGER, SMS, TWILIO_WHATSAPP, WHATSAPP
from suite import Case
from test_inbound import ODD


class Outgoing(Case):
    def test_odd_texts_arrive_as_they_are(self):
        conversation = self.conversation()
        for address, proxy in [("+15550100061", SMS), ("whatsapp:+15550100062", WHATSAPP), ("messenger:900100063", MESSENGER)]:
            conversation.participants.create(messaging_binding_address=address, messaging_binding_proxy_address=proxy)
        texts = [*ODD, "long " * 250]
        for text in texts:
            conversation.messages.create(body=text)
        for to in ("+15550100061", "15550100062", "900100063"):
            self.provider.wait(to, texts[-1])
            came = [each.text for each in self.provider.sent if each.to == to]
            self.assertEqual(came, texts, f"to {to}")

    def test_each_send_carries_what_finds_it_again(self):
        conversation = self.conversation()
        for address, proxy in [("+15550100071", SMS), ("whatsapp:+15550100072", WHATSAPP), ("messenger:900100073", MESSENGER)]:
            conversation.participants.create(messaging_binding_address=address, messaging_binding_proxy_address=proxy)
        conversation.messages.create(body="traceable")
        sent = [self.provider.wait(to, "traceable")[0] for to in ("+15550100071", "15550100072", "900100073")]
        sms, whatsapp, messenger = sent
        self.assertTrue(sms.correlation.startswith(self.daemon.webhook("us") + "?"), sms.correlation)
        self.assertTrue(whatsapp.correlation and messenger.correlation)
        self.assertEqual(len({each.correlation for each in sent}), 3)
        self.assertEqual(sms.path, f"/2010-04-01/Accounts/{daemon.TWILIO_SID}/Messages.json")
        self.assertEqual((sms.form["From"], sms.form["To"]), ([SMS], ["+15550100071"]))
        self.assertEqual(whatsapp.path, f"/v23.0/{daemon.PHONE_NUMBER_ID}/messages")
        self.assertEqual(messenger.path, f"/v23.0/{daemon.PAGE}/messages")
        # Secrets travel in headers, where proxies do not log them.
        for each in sent:
            self.assertNotIn("access_token", each.path)
        self.assertEqual(json.loads(whatsapp.raw)["to"], "15550100072")

    def test_a_whatsapp_sender_that_lives_at_twilio(self):
        conversation = self.conversation()
        conversation.participants.create(
            messaging_binding_address="whatsapp:+15550100081", messaging_binding_proxy_address=TWILIO_WHATSAPP
        )
        conversation.messages.create(body="by another road")
        (sent,) = self.provider.wait("whatsapp:+15550100081", "by another road")
        self.assertEqual((sent.channel, sent.form["From"]), ("twilio", [TWILIO_WHATSAPP]))
