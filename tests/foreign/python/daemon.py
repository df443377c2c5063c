"""The real program, with a store of its own, on ports of its own, talking to the provider that we play."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

ACCOUNT = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "the-first-auth-token-of-the-account"
API_KEY = "SK" + "0" * 31 + "1"
API_SECRET = "the-secret-of-the-api-key-in-32-bytes"
# Somebody else on the same daemon.
STRANGER = "AC" + "0" * 31 + "2"
STRANGER_TOKEN = "the-first-auth-token-of-the-stranger"

TWILIO_SID = "AC" + "a" * 32
TWILIO_TOKEN = "12345678901234567890123456789012"
APP_SECRET = "app-secret-0001"
VERIFY_TOKEN = "verify-token-0001"
ACCESS_TOKEN = "access-token-0001"
PAGE_TOKEN = "page-token-0001"

SMS = "+15550001111"
SMS_SECOND = "+15550001112"
WHATSAPP = "whatsapp:+15550002222"
PHONE_NUMBER_ID = "106540352242922"
PAGE = "1029384756"
MESSENGER = "messenger:" + PAGE
# A WhatsApp sender that lives at Twilio.
TWILIO_WHATSAPP = "whatsapp:+15550003333"
MESSAGING_SERVICE = "MG" + "c" * 32
MESSAGING_SERVICE_SECOND = "MG" + "d" * 32
TEMPLATE = "HX" + "e" * 32

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin_port}"
admin_socket = "{folder}/admin.sock"
public_url = "http://127.0.0.1:{port}"
watch = false

[limits]
participants = 100
conversations_per_user = 60

[[template]]
sid = "{template}"
body = "Hi {{{{1}}}}, your order is ready."

[store]
path = "{folder}/store"
keep_free = "1MiB"

[[account]]
sid = "{account}"
auth_token = "{auth_token}"
[[account.api_key]]
sid = "{api_key}"
secret = "{api_secret}"
[[account]]
sid = "{stranger}"
auth_token = "{stranger_token}"

[[messaging_service]]
sid = "{messaging_service}"
proxies = ["{twilio_whatsapp}"]
[[messaging_service]]
sid = "{messaging_service_second}"
proxies = ["{sms_second}"]

[[adapter]]
name = "us"
kind = "twilio"
rate = {{ per_second = 500, burst = 50 }}
[adapter.settings]
account_sid = "{twilio_sid}"
auth_token = "{twilio_token}"
base_url = "{twilio_url}"
[[adapter.proxy]]
address = "{sms}"
[[adapter.proxy]]
address = "{sms_second}"
[[adapter.proxy]]
address = "{twilio_whatsapp}"

[[adapter]]
name = "wa"
kind = "whatsapp"
rate = {{ per_second = 500, burst = 50 }}
[adapter.settings]
app_secret = "{app_secret}"
verify_token = "{verify_token}"
access_token = "{access_token}"
base_url = "{graph_url}"
[[adapter.proxy]]
address = "{whatsapp}"
phone_number_id = "{phone_number_id}"
pair_rate = {{ per_minute = 30000, burst = 500 }}

[[adapter]]
name = "pages"
kind = "messenger"
rate = {{ per_second = 500, burst = 50 }}
[adapter.settings]
app_secret = "{app_secret}"
verify_token = "{verify_token}"
base_url = "{graph_url}"
[[adapter.proxy]]
address = "{messenger}"
access_token = "{page_token}"

[[adapter]]
name = "web"
kind = "sdk"
"""


def program():
    """The binary under test; `tests/run` says which."""
    path = os.environ.get("TRUNKLINE_BIN")
    if not path or not os.access(path, os.X_OK):
        raise RuntimeError(f"TRUNKLINE_BIN must name the trunkline program, and is {path!r}")
    return path


def free_ports(count):
    """Ports that nobody listens on; all are held until all are known, so that no two are equal."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def http(method, url, body=None, headers=None):
    """One request with the standard library, whatever the status: (status, headers, body)."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, refusal.read()


def eventually(what, check, seconds=20):
    """Asks again until `check` gives something true; what is asked sits in another process."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


class Daemon:
    """`trunkline serve`, from readiness to the end of the `with` block."""

    def __init__(self, provider, more="", environment=None):
        """`more` is added to the configuration, and `environment` to the process'."""
        self.provider, self.more, self.environment = provider, more, environment or {}
        self.port, self.admin_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.folder = Path(tempfile.mkdtemp(prefix="trunkline-"))
        self.log = self.folder / "log"
        self.process = None

    def __enter__(self):
        config = self.folder / "trunkline.toml"
        config.write_text(
            CONFIG.format(
                port=self.port,
                admin_port=self.admin_port,
                folder=self.folder,
                account=ACCOUNT,
                auth_token=AUTH_TOKEN,
                api_key=API_KEY,
                api_secret=API_SECRET,
                stranger=STRANGER,
                stranger_token=STRANGER_TOKEN,
                twilio_sid=TWILIO_SID,
                twilio_token=TWILIO_TOKEN,
                twilio_url=self.provider.twilio_url,
                graph_url=self.provider.graph_url,
                app_secret=APP_SECRET,
                verify_token=VERIFY_TOKEN,
                access_token=ACCESS_TOKEN,
                page_token=PAGE_TOKEN,
                template=TEMPLATE,
                messaging_service=MESSAGING_SERVICE,
                messaging_service_second=MESSAGING_SERVICE_SECOND,
                sms=SMS,
                sms_second=SMS_SECOND,
                twilio_whatsapp=TWILIO_WHATSAPP,
                whatsapp=WHATSAPP,
                phone_number_id=PHONE_NUMBER_ID,
                messenger=MESSENGER,
            )
            + self.more
        )
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "serve", "--config", str(self.folder / "trunkline.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        eventually("readiness", self.ready, 60)

    def restart(self):
        """Ends it as the kernel would, and starts it again on what it left."""
        self.process.kill()
        self.process.wait()
        self.start()

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon left with {self.process.returncode}:\n{self.said()}")
        try:
            return http("GET", self.admin_url + "/readyz")[0] == 200
        except OSError:
            return False

    def said(self):
        return self.log.read_text(errors="replace")[-8000:]

    def dump(self):
        """The whole store of the running daemon, as `trunkline dump` writes it."""
        command = [program(), "dump", "--config", str(self.folder / "trunkline.toml")]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    def metrics(self):
        return http("GET", self.admin_url + "/metrics")[2].decode()

    def webhook(self, adapter):
        return f"{self.url}/webhooks/{adapter}"

    def rest(self, method, path, body=None, account=(ACCOUNT, AUTH_TOKEN)):
        """A plain REST call, for looking at raw answers: (status, headers, JSON or None)."""
        import base64
        from urllib.parse import urlencode

        pair = base64.b64encode(":".join(account).encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        data = None
        if method == "POST":
            data = urlencode(body or {}, doseq=True).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = path if path.startswith("http") else self.url + path
        status, head, raw = http(method, url, data, headers)
        return status, head, json.loads(raw) if raw else None

    def upload(self, service, content, content_type="image/png", name="cat.png"):
        """A file of a service, which no library can upload: (status, record)."""
        import base64

        pair = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": content_type}
        url = f"{self.url}/v1/Services/{service}/Media?Filename={name}"
        status, _, raw = http("POST", url, content, headers)
        return status, json.loads(raw)

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
