"""The providers, played on loopback: they judge every request by the published descriptions, and keep it."""

import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode

from twilio.request_validator import RequestValidator

import daemon
import specs

TWILIO_PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
GRAPH_PATH = "/{Version}/{Phone-Number-ID}/messages"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Sent:
    """One request of the daemon, and how we answered."""

    channel: str
    path: str
    headers: dict
    raw: bytes
    to: str
    text: str
    correlation: str
    form: dict = field(default_factory=dict)
    status: int = 0
    id: str = ""


class Provider:
    """Twilio and Graph, until the end of the `with` block."""

    def __init__(self):
        self.changed = threading.Condition()
        self.sent = []
        self.problems = []
        self.refusals = []
        self.twilio_server = self._server(self._twilio)
        self.graph_server = self._server(self._graph)
        self.twilio_url = f"http://127.0.0.1:{self.twilio_server.server_port}"
        self.graph_url = f"http://127.0.0.1:{self.graph_server.server_port}"

    def _server(self, answer):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path, _, query = self.path.partition("?")
                try:
                    status, body = answer(path, query, {name.title(): value for name, value in self.headers.items()}, raw)
                except Exception as error:  # a request that we cannot even read
                    with provider.changed:
                        provider.problems.append(f"{self.path}: {error!r} at {raw[:400]!r}")
                    status, body = 400, {"message": repr(error)}
                said = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def do_GET(self):
                with provider.changed:
                    provider.problems.append(f"a GET that nobody expected: {self.path}")
                self.send_error(404)

            def log_message(self, *_):
                pass

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        for server in (self.twilio_server, self.graph_server):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in (self.twilio_server, self.graph_server):
            server.shutdown()
            server.server_close()

    def refuse(self, to, status, body, times=1):
        """Answers the next sends to a person with an error."""
        with self.changed:
            self.refusals += [(to, status, body)] * times

    def _keep(self, sent, problem, accepted):
        with self.changed:
            if problem:
                self.problems.append(f"{sent.path}: {problem}")
            refusal = next((each for each in self.refusals if each[0] == sent.to), None)
            if refusal:
                self.refusals.remove(refusal)
                sent.status, answer = refusal[1], refusal[2]
            else:
                sent.id = self._id(sent.channel, len(self.sent))
                sent.status, answer = accepted(sent)
            self.sent.append(sent)
            self.changed.notify_all()
            return sent.status, answer

    @staticmethod
    def _id(channel, serial):
        if channel == "twilio":
            return f"SM{serial:032x}"
        return f"wamid.FOREIGN{serial:08}" if channel == "whatsapp" else f"m_foreign_{serial}"

    def _twilio(self, path, query, headers, raw):
        request = specs.Request("https://api.twilio.com", "POST", path, query, headers, raw)
        problem = specs.request_problem(specs.TWILIO, TWILIO_PATH, request)
        form = parse_qs(raw.decode(), keep_blank_values=True, strict_parsing=True)
        callback = form.get("StatusCallback", [""])[0]
        to, text = form["To"][0], form["Body"][0]
        sent = Sent("twilio", path, headers, raw, to, text, callback, form)

        def accepted(sent):
            now = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
            uri = f"/2010-04-01/Accounts/{daemon.TWILIO_SID}/Messages/{sent.id}"
            body = dict.fromkeys(("error_code", "error_message", "price", "price_unit", "date_sent"))
            body |= {"sid": sent.id, "account_sid": daemon.TWILIO_SID, "status": "queued", "body": text}
            body |= {"to": to, "from": form["From"][0], "direction": "outbound-api", "num_segments": "1"}
            body |= {"num_media": "0", "date_created": now, "date_updated": now, "api_version": "2010-04-01"}
            body |= {"messaging_service_sid": None, "uri": uri + ".json"}
            body |= {"subresource_uris": {"media": uri + "/Media.json"}}
            return 201, body

        return self._keep(sent, problem, accepted)

    def _graph(self, path, query, headers, raw):
        body = json.loads(raw)
        if path.split("/")[2] == daemon.PHONE_NUMBER_ID:
            request = specs.Request("https://graph.facebook.com", "POST", path, query, headers, raw)
            problem = specs.request_problem(specs.META, GRAPH_PATH, request)
            sent = Sent(
                "whatsapp", path, headers, raw, body["to"], body["text"]["body"], body["biz_opaque_callback_data"]
            )

            def accepted(sent):
                contact = {"input": sent.to, "wa_id": sent.to}
                message = {"id": sent.id, "message_status": "accepted"}
                return 200, {"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]}

        else:
            # Nobody publishes a description of the Messenger Platform: the documented members by hand.
            message, known = body["message"], {"recipient", "messaging_type", "message"}
            problem = None
            if set(body) - known or set(message) - {"text", "metadata"} or body["messaging_type"] != "RESPONSE":
                problem = f"not as the Send API documents it: {body}"
            if headers.get("Authorization") != f"Bearer {daemon.PAGE_TOKEN}" or daemon.PAGE not in path:
                problem = f"not this page or not its token: {path}"
            sent = Sent(
                "messenger", path, headers, raw, body["recipient"]["id"], message["text"], message["metadata"]
            )

            def accepted(sent):
                return 200, {"recipient_id": sent.to, "message_id": sent.id}

        return self._keep(sent, problem, accepted)

    def wait(self, to, text, count=1, seconds=20):
        """The sends of a text to a person, once there are so many."""

        def found():
            return [each for each in self.sent if each.to == to and each.text == text]

        with self.changed:
            if not self.changed.wait_for(lambda: len(found()) >= count, seconds):
                seen = [(each.to, each.text) for each in self.sent[-5:]]
                raise AssertionError(f"{count} x {text!r} to {to} did not come in {seconds} s; last came {seen}")
            return found()

    def report(self, sent, status, error=None, user=None):
        """Tells the daemon how a send went, as the provider would. Gives the answer's status."""
        if sent.channel == "twilio":
            params = {"MessageSid": sent.id, "SmsSid": sent.id, "AccountSid": daemon.TWILIO_SID}
            params |= {"MessageStatus": status, "SmsStatus": status, "ApiVersion": "2010-04-01"}
            params |= {"To": sent.to, "From": sent.form["From"][0]}
            if error:
                params["ErrorCode"] = str(error)
            return post_form(sent.correlation, params)[0]
        if sent.channel == "whatsapp":
            state = {"id": sent.id, "status": status, "timestamp": str(int(time.time())), "recipient_id": sent.to}
            state["biz_opaque_callback_data"] = sent.correlation
            if error:
                state["errors"] = [{"code": error, "title": "An error", "message": "An error"}]
            return self.whatsapp_webhook(user, {"statuses": [state]})[0]
        raise AssertionError("Messenger tells only watermarks")

    def whatsapp_webhook(self, url, value):
        """A delivery of the Cloud API with one change, signed."""
        metadata = {"display_phone_number": "15550002222", "phone_number_id": daemon.PHONE_NUMBER_ID}
        value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
        change = {"field": "messages", "value": value}
        body = {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]}
        return post_meta(url, body)

    def messenger_webhook(self, url, events):
        """A delivery of the Messenger Platform, signed."""
        entry = {"id": daemon.PAGE, "time": int(time.time() * 1000), "messaging": events}
        return post_meta(url, {"object": "page", "entry": [entry]})


def post_form(url, params, signed_url=None, token=daemon.TWILIO_TOKEN, method="POST"):
    """A form webhook, signed by Twilio's own library. `params` may be a MultiDict."""
    multi = hasattr(params, "getlist")
    pairs = list(params.items(multi=True)) if multi else list(params.items())
    signature = RequestValidator(token).compute_signature(signed_url or url, params)
    headers = {"Content-Type": FORM + "; charset=UTF-8", "X-Twilio-Signature": signature}
    return daemon.http(method, url, urlencode(pairs).encode(), headers)


def post_meta(url, body, secret=daemon.APP_SECRET):
    """A JSON webhook with everything beyond ASCII escaped and the bytes signed, as Meta does it."""
    raw = json.dumps(body, ensure_ascii=True).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return daemon.http("POST", url, raw, {"Content-Type": "application/json", "X-Hub-Signature-256": signature})
