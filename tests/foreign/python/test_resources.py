"""Every resource, as `shared/resources.json` describes it, created, read, changed, listed in pages and deleted by the
official library, by both shapes of its path; and every served operation of the description is called that way."""

import daemon
import suite
from calls import Calls, read
from operations import all_operations, operation
from suite import Case
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

# So many of each thing, read two at a time.
MANY = 5


class Noting(TwilioHttpClient):
    """The library's own HTTP client, which notes what it was asked for."""

    def __init__(self):
        super().__init__(timeout=30)
        self.asked = set()

    def request(self, method, url, *rest, **more):
        self.asked.add(operation(method, url))
        return super().request(method, url, *rest, **more)


def reaches(resource, explicit):
    """Whether a resource is there at an account's own paths, at a service's, or at both."""
    return resource.get("reach") in (None, "service" if explicit else "account")


class Resources(Case):
    def test_every_resource(self):
        transport, data = Noting(), read("resources.json")
        client = Client(daemon.ACCOUNT, daemon.AUTH_TOKEN, http_client=transport)
        client.conversations.base_url = self.daemon.url
        self.calls = Calls(client, {"sms": daemon.SMS})
        self.calls.states(data["states"])
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{self.calls.known['shop']}")
        for root in ([], ["services", "$shop"]):
            self.root, explicit = root, bool(root)
            self.calls.known["person"] = "+1555040000" + str(len(root))
            scene = [{**call, "at": root + call["at"]} for call in data["scene"]]
            self.calls.states(scene)
            for kind, walk in (("items", self.item), ("settings", self.setting), ("found", self.found)):
                for resource in data[kind]:
                    if reaches(resource, explicit):
                        with self.subTest(at=root + resource["at"]):
                            walk(resource)
            for call in data["extra"]:
                made = self.calls.make({**call, "at": root + call["at"]})
                self.calls.at(root + ["conversations", made.sid]).delete()
            for call in data["absent"]:
                if reaches(call, explicit):
                    asked = {**call, "at": root + call["at"]}
                    if "refused" in call:
                        self.refused(*call["refused"], self.calls.make, asked)
                    else:
                        self.assertEqual(self.calls.make(asked), [])
            self.calls.at(root + ["conversations", "$room"]).delete()
        every, left = set(all_operations()), set(data["not_served"])
        self.assertEqual(transport.asked & left, set(), "served, and named as not served")
        self.assertEqual(every - left - transport.asked, set(), "not asked for")
        suite.counted.append(f"{len(transport.asked & every)} of {len(every)} operations by the library")

    def shows(self, record, members):
        for name, expected in members.items():
            self.assertEqual(getattr(record, name), self.calls.filled(expected), name)

    def item(self, resource):
        way = self.root + resource["at"]
        lists = self.calls.at(way)
        made = [self.calls.make({"at": way, "do": "create", "with": resource["create"]}, n=n) for n in range(MANY)]
        first = self.calls.at([*way, made[0].sid])
        members = resource["made"]
        self.shows(made[0], members)
        self.shows(first.fetch(), members)
        if "update" in resource:
            self.shows(self.calls.make({"at": [*way, made[0].sid], "do": "update", "with": resource["update"]}), resource["updated"])
            members = resource["updated"]
            self.shows(first.fetch(), members)
        listed = lists.list(page_size=2)
        sids = [each.sid for each in listed]
        self.assertEqual(len(sids), len(set(sids)))
        self.assertLessEqual({each.sid for each in made}, set(sids))
        self.assertEqual([each.sid for each in lists.stream(page_size=3)], sids)
        self.assertEqual([each.sid for each in lists.list(limit=3)], sids[:3])
        self.shows(next(each for each in listed if each.sid == made[0].sid), members)
        for each in made:
            one = self.calls.at([*way, each.sid])
            self.assertTrue(one.delete())
            self.refused(404, 20404, one.fetch)
            self.refused(404, 20404, one.delete)
        left = {each.sid for each in lists.list()}
        self.assertEqual(left & {each.sid for each in made}, set())

    def setting(self, resource):
        way = self.root + resource["at"]
        self.shows(self.calls.make({"at": way, "do": "update", "with": resource["update"]}), resource["updated"])
        self.shows(self.calls.at(way).fetch(), resource["updated"])
        if "back" in resource:
            self.calls.make({"at": way, "do": "update", "with": resource["back"]})

    def found(self, resource):
        way = self.root + resource["at"]
        (only,) = self.calls.make({"at": way, "do": "list", "with": resource.get("with", {})})
        self.shows(only, resource["shows"])
        if "id" not in resource:
            return
        one = [*way, getattr(only, resource["id"])]
        self.shows(self.calls.at(one).fetch(), resource["shows"])
        if "update" in resource:
            self.shows(self.calls.make({"at": one, "do": "update", "with": resource["update"]}), resource["updated"])
            self.shows(self.calls.at(one).fetch(), resource["updated"])
        if resource.get("delete"):
            self.assertTrue(self.calls.at(one).delete())
            self.refused(404, 20404, self.calls.at(one).fetch)
