"""Lists read by the official library while somebody else adds and deletes: nothing twice, nothing missed that was there."""

import threading

import daemon
from calls import Calls, read
from suite import Case
from test_resources import reaches

# So many are there throughout, so many come and go, so often the whole list is read at least.
STAYING, PASSING, READINGS = 9, 12, 3


class Lists(Case):
    def test_while_things_come_and_go(self):
        data = read("resources.json")
        calls = Calls(self.client(), {"sms": daemon.SMS, "person": "+15550410001"})
        calls.states(data["states"])
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{calls.known['shop']}")
        root = ["services", "$shop"]
        calls.states([{**call, "at": root + call["at"]} for call in data["scene"]])
        for resource in data["items"]:
            explicit = reaches(resource, True)
            with self.subTest(at=resource["at"]):
                self.read_and_write(calls, (root if explicit else []) + resource["at"], resource)

    def read_and_write(self, calls, way, resource):
        create = {"at": way, "do": "create", "with": resource["create"]}
        staying = min(STAYING, resource.get("most", STAYING + 1) - 1)
        stay = {calls.make(create, n=n).sid for n in range(staying)}
        done, failures = threading.Event(), []

        def coming_and_going():
            # A client of its own: connections are not shared between threads.
            other = Calls(self.client(), calls.known)
            try:
                for n in range(STAYING, STAYING + PASSING):
                    other.at([*way, other.make(create, n=n).sid]).delete()
            except Exception as error:
                failures.append(error)
            finally:
                done.set()

        writer = threading.Thread(target=coming_and_going)
        writer.start()
        readings = 0
        while readings < READINGS or not done.is_set():
            listed = [each.sid for each in calls.at(way).list(page_size=2)]
            self.assertEqual(len(listed), len(set(listed)), "somebody came twice")
            self.assertLessEqual(stay, set(listed), "somebody was missed")
            readings += 1
        writer.join()
        self.assertEqual(failures, [])
        for sid in stay:
            calls.at([*way, sid]).delete()
