"""A device of somebody's: as much of the SDK's protocol as it takes to come in and to call."""

import json
import uuid

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import ChatGrant
from websockets.sync.client import connect

import daemon


def token(identity, service, credential):
    """Made by the official library, as an application makes it."""
    made = AccessToken(daemon.ACCOUNT, daemon.API_KEY, daemon.API_SECRET, identity=identity, ttl=3600)
    made.add_grant(ChatGrant(service_sid=service, push_credential_sid=credential))
    return made.to_jwt()


class Device:
    """Connected for as long as it is entered."""

    def __init__(self, url, identity, service, credential):
        self.url, self.token = url.replace("http", "ws", 1) + "/v3/wsconnect", token(identity, service, credential)

    def __enter__(self):
        self.held = connect(self.url, proxy=None)
        self.socket = self.held.__enter__()
        header, _ = self.exchange({"method": "init", "token": self.token, "continuation_token": None, "capabilities": ["client_update"]})
        assert header["status"]["code"] == 200, header
        return self

    def __exit__(self, *why):
        self.held.__exit__(*why)

    def exchange(self, header, payload=b""):
        """Sends a frame and waits for its reply; what else comes is of no interest here."""
        own = f"TM{uuid.uuid4()}"
        head = json.dumps({**header, "id": own, "payload_size": len(payload)}).encode()
        self.socket.send(b"TWILSOCK V3.0 %d\r\n%s\r\n%s" % (len(head), head, payload))
        while True:
            beginning, _, rest = self.socket.recv(timeout=10).partition(b"\r\n")
            length = int(beginning.split()[-1])
            answer = json.loads(rest[:length])
            if answer["method"] == "reply" and answer["id"] == own:
                return answer, rest[length + 2 :]

    def register(self, name):
        """For pushes; gives the registration's SID."""
        types = ["twilio.ipmsg.message.new", "twilio.ipmsg.channel.add"]
        form = {"endpoint_platform": "python", "channel_type": "fcm", "version": "1", "message_types": types, "data": {"registration_id": name}}
        asked = {
            "host": "ers.us1.twilio.com", "path": "/v1/registrations", "method": "POST",
            "params": {"productId": "ip_messaging"}, "headers": {"Content-Type": "application/json"},
        }  # fmt: skip
        kind = {"method": "message", "active_grant": "ip_messaging", "payload_type": "application/json"}
        header, payload = self.exchange({**kind, "http_request": asked}, json.dumps(form).encode())
        assert header["http_status"]["code"] == 201, (header, payload)
        return json.loads(payload)["id"]
