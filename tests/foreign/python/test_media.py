"""Files as the official library sees them on messages, and kept in somebody else's S3 server."""

import hashlib
import os
import subprocess
import sys
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

import daemon
from provider import Provider
from suite import Case

BUCKET, PREFIX = "trunkline-media", "some/where"
SECRETS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "eu-central-1"}
# Several parts of an upload.
LARGE = os.urandom(12 << 20)


class OnMessages(Case):
    def test_the_library_sees_the_files_of_a_message(self):
        conversations = self.client().conversations.v1
        service = conversations.configuration().fetch().default_chat_service_sid
        status, record = self.daemon.upload(service, b"\x89PNG\r\n\x1a\n", name="a%20cat.png")
        self.assertEqual(status, 201, record)
        talk = conversations.conversations.create(friendly_name="Files")
        self.addCleanup(talk.delete)
        said = talk.messages.create(body="look", media_sid=record["sid"])
        shown = {
            "sid": record["sid"], "size": 8, "content_type": "image/png", "filename": "a cat.png", "category": "media"
        }  # fmt: skip
        for message in (said, talk.messages(said.sid).fetch(), talk.messages.list()[0]):
            self.assertEqual((message.media, message.body), ([shown], "look"))
        self.assertIsNone(talk.messages.create(body="nothing").media)


class Bucket:
    """A real server of the protocol, for the length of a `with` block."""

    def __enter__(self):
        (self.port,) = daemon.free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        daemon.eventually("the bucket's server", self.ready, 60)
        config = Config(s3={"addressing_style": "path"}, proxies={})
        self.client = boto3.client("s3", endpoint_url=self.url, config=config, **SECRETS)
        self.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        return self

    def ready(self):
        try:
            return daemon.http("GET", self.url + "/moto-api/")[0] == 200
        except OSError:
            return False

    def keys(self):
        return {each["Key"] for each in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def end(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.end()

    def environment(self):
        return {
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip


def key(content):
    digest = hashlib.sha256(content).hexdigest()
    return f"{PREFIX}/{digest[:2]}/{digest[2:]}"


class InABucket(Case):
    def setUp(self):
        self.bucket = self.enterContext(Bucket())
        provider = self.enterContext(Provider())
        more = f'\n[media]\nurl = "s3://{BUCKET}/{PREFIX}"\n'
        self.daemon = self.enterContext(daemon.Daemon(provider, more, self.bucket.environment()))

    def tearDown(self):
        pass

    def fetched(self, record, headers=None):
        link = urlsplit(record["links"]["content_direct_temporary"])
        status, _, content = daemon.http("GET", self.daemon.url + link.path, headers=headers)
        return status, content

    def test_files_are_kept_shared_served_and_removed(self):
        service = self.daemon.rest("GET", "/v1/Configuration")[2]["default_chat_service_sid"]
        records = {}
        for name, content in (("small", b"hello"), ("again", b"hello"), ("large", LARGE)):
            status, records[name] = self.daemon.upload(service, content, "application/octet-stream", name)
            self.assertEqual(status, 201, records[name])
        self.assertEqual(self.bucket.keys(), {key(b"hello"), key(LARGE)})
        self.daemon.restart()
        self.assertEqual(self.fetched(records["small"]), (200, b"hello"))
        self.assertEqual(self.fetched(records["large"]), (200, LARGE))
        part = self.fetched(records["large"], {"Range": "bytes=6000000-6999999"})
        self.assertEqual(part, (206, LARGE[6000000:7000000]))
        for name in ("small", "large"):
            self.assertEqual(self.daemon.rest("DELETE", f"/v1/Services/{service}/Media/{records[name]['sid']}")[0], 204)
        # What somebody else has put there is left alone.
        self.bucket.client.put_object(Bucket=BUCKET, Key=PREFIX + "/ab/stranger", Body=b"x")
        self.daemon.restart()
        left = {key(b"hello"), PREFIX + "/ab/stranger"}
        daemon.eventually("the sweep", lambda: self.bucket.keys() == left)
        self.assertEqual(self.fetched(records["again"]), (200, b"hello"))

    def test_a_bucket_that_is_away_refuses_files_and_nothing_else(self):
        service = self.daemon.rest("GET", "/v1/Configuration")[2]["default_chat_service_sid"]
        status, record = self.daemon.upload(service, b"hello")
        self.assertEqual(status, 201)
        self.bucket.client.delete_object(Bucket=BUCKET, Key=key(b"hello"))
        self.assertEqual(self.fetched(record)[0], 404)
        self.bucket.client.delete_bucket(Bucket=BUCKET)
        status, answer = self.daemon.upload(service, b"other")
        self.assertEqual((status, answer["code"]), (503, 20503))
        self.assertEqual(self.daemon.rest("POST", "/v1/Conversations", {"FriendlyName": "x"})[0], 201)
