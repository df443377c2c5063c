"""What the test files share: one daemon and one pair of providers for all of them, since starting is the dear part."""

import json
import unittest
from functools import cache

from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

import daemon
from provider import Provider

_open = []
# What the suite counted besides tests; said in its closing line.
counted = []


@cache
def house():
    """The provider and the running daemon."""
    provider = Provider().__enter__()
    _open.append(provider)
    running = daemon.Daemon(provider).__enter__()
    _open.append(running)
    return provider, running


def said():
    """The end of the running daemon's log, if one runs."""
    return next((each.said() for each in _open if isinstance(each, daemon.Daemon)), "")


def close():
    """Ends what `house` began, and gives what the provider had to complain about in the end."""
    problems = house()[0].problems if _open else []
    while _open:
        _open.pop().__exit__(None, None, None)
    house.cache_clear()
    return problems


class Case(unittest.TestCase):
    """A test with the house at hand. It fails when the provider saw a request that its description forbids."""

    maxDiff = None

    def setUp(self):
        self.provider, self.daemon = house()
        self.seen = len(self.provider.problems)

    def tearDown(self):
        self.assertEqual(self.provider.problems[self.seen :], [], "requests that the provider would not have taken")

    def client(self, username=daemon.ACCOUNT, password=daemon.AUTH_TOKEN):
        """The official client, told another base URL and nothing else."""
        client = Client(username, password, account_sid=daemon.ACCOUNT, region=None, edge=None)
        client.conversations.base_url = self.daemon.url
        return client

    def conversation(self, client=None, **about):
        """A conversation that is gone when the test ends."""
        made = (client or self.client()).conversations.v1.conversations.create(**about)
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Conversations/{made.sid}")
        return made

    def refused(self, status, code, call, *arguments, **named):
        with self.assertRaises(TwilioRestException) as caught:
            call(*arguments, **named)
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code), caught.exception.msg)
        return caught.exception

    def no_page(self, status, code, call):
        """For lists the library raises its general exception, with the whole answer in it."""
        with self.assertRaises(TwilioException) as caught:
            call()
        answer = caught.exception.args[1]
        said = json.loads(answer.text)
        self.assertEqual((answer.status_code, said["status"], said["code"]), (status, status, code))
        return said["message"]


class OtherOrigin(TwilioHttpClient):
    """The documented extension point: an HTTP client of one's own, here one that goes elsewhere."""

    def __init__(self, origin):
        super().__init__(timeout=30)
        self.origin = origin
        self.asked = []

    def request(self, method, url, *rest, **more):
        self.asked.append(url)
        return super().request(method, url.replace("https://conversations.twilio.com", self.origin), *rest, **more)
