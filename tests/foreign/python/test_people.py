"""Roles, users, memberships, configurations and push resources, by the official Python library."""

import json

from twilio.base.exceptions import TwilioException

import daemon
from daemon import SMS, eventually
from suite import Case

PERMISSIONS = {
    "service": ["addParticipant", "createConversation", "joinConversation", "editAnyUserInfo"],
    "conversation": ["sendMessage", "sendMediaMessage", "leaveConversation", "editOwnMessage"],
}


class People(Case):
    def rooms(self):
        """The default service and one of its own: every resource is there on both paths."""
        v1 = self.client().conversations.v1
        service = v1.services.create(friendly_name="People")
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{service.sid}")
        return [("plain", v1), ("explicit", v1.services(service.sid))]

    def test_roles(self):
        for name, at in self.rooms():
            with self.subTest(path=name):
                born = {each.friendly_name: each for each in at.roles.list()}
                self.assertLessEqual({"service admin", "service user", "channel admin", "channel user"}, set(born))
                self.assertIn("sendMessage", born["channel user"].permissions)
                for kind, permissions in PERMISSIONS.items():
                    role = at.roles.create(friendly_name=f"my {kind}", type=kind, permission=permissions)
                    self.assertEqual((role.type, role.permissions), (kind, permissions))
                    self.assertEqual(role.fetch().friendly_name, f"my {kind}")
                    self.assertEqual(role.update(permission=permissions[:1]).permissions, permissions[:1])
                    self.assertEqual(at.roles(role.sid).fetch().permissions, permissions[:1])
                    self.assertTrue(role.delete())
                    self.refused(404, 20404, role.fetch)
                self.assertEqual(len({each.sid for each in at.roles.list(page_size=1)}), len(at.roles.list()))
                self.refused(400, 50104, at.roles.create, friendly_name="x", type="service", permission=["fly"])
                self.refused(400, 50105, at.roles.create, friendly_name="x", type="pilot", permission=["sendMessage"])
                self.refused(409, 20409, born["channel user"].delete)

    def test_users(self):
        for name, at in self.rooms():
            with self.subTest(path=name):
                identity = f"user/{name}+1@example.com"
                user = at.users.create(identity=identity, friendly_name="A user", attributes='{"a": 1}')
                self.addCleanup(self.quietly, user.delete)
                self.assertEqual((user.identity, user.friendly_name, user.attributes), (identity, "A user", '{"a": 1}'))
                self.assertIsNone(user.is_online)
                self.assertEqual(at.users(user.sid).fetch().role_sid, user.role_sid)
                by_name = at.users(identity.replace("/", "%2F").replace("+", "%2B").replace("@", "%40"))
                self.assertEqual(by_name.fetch().sid, user.sid)
                role = at.roles.create(friendly_name="guest", type="service", permission=["joinConversation"])
                changed = user.update(friendly_name="Renamed", role_sid=role.sid)
                self.assertEqual((changed.friendly_name, changed.role_sid), ("Renamed", role.sid))
                self.refused(409, 50201, at.users.create, identity=identity)
                self.refused(400, 50203, at.users.create, identity="system")
                self.refused(400, 50206, at.users.create, identity="US" + "0" * 32)
                self.refused(400, 50207, at.users.create, identity="x" * 257)
                self.refused(404, 50102, user.update, role_sid="RL" + "0" * 32)
                self.assertIn(user.sid, [each.sid for each in at.users.list(page_size=2)])
                self.assertTrue(user.delete())
                self.refused(404, 20404, user.fetch)
                self.no_page(404, 50200, at.users(user.sid).user_conversations.list)

    def quietly(self, call):
        try:
            call()
        except TwilioException:
            pass

    def test_whom_a_conversation_brings_and_what_they_read(self):
        for name, at in self.rooms():
            with self.subTest(path=name):
                identity = f"reader-{name}"
                rooms = [at.conversations.create(friendly_name=f"Room {number}") for number in range(5)]
                for room in rooms:
                    self.addCleanup(self.quietly, room.delete)
                    room.participants.create(identity=identity)
                user = at.users(identity).fetch()
                self.addCleanup(self.quietly, user.delete)
                listed = [each.conversation_sid for each in user.user_conversations.list(page_size=2)]
                self.assertEqual(listed, sorted(room.sid for room in rooms))
                one = at.users(user.sid).user_conversations(rooms[0].sid)
                self.assertIsNone(one.fetch().unread_messages_count)
                sent = [rooms[0].messages.create(body=str(number)) for number in range(4)]
                read = one.update(last_read_message_index=0, notification_level="muted")
                self.assertEqual((read.unread_messages_count, read.notification_level), (3, "muted"))
                sent[2].delete()
                self.assertEqual(one.fetch().unread_messages_count, 2)
                self.refused(400, 50210, one.update, notification_level="loud")
                self.assertTrue(one.delete())
                self.refused(404, 20404, one.fetch)
                self.assertEqual([each.sid for each in rooms[0].participants.list()], [])
                # Whoever is removed is out of every conversation soon.
                self.assertTrue(user.delete())
                eventually("nobody in the rooms", lambda: not any(room.participants.list() for room in rooms))

    def test_where_somebody_is(self):
        for name, at in self.rooms():
            with self.subTest(path=name):
                person = "+15550100061"
                rooms = []
                for proxy in (SMS, daemon.SMS_SECOND):
                    room = at.conversations.create()
                    self.addCleanup(self.quietly, room.delete)
                    room.participants.create(
                        messaging_binding_address=person, messaging_binding_proxy_address=proxy
                    )
                    room.participants.create(identity=f"agent-{name}")
                    rooms.append(room)
                rooms[0].update(state="closed")
                found = at.participant_conversations.list(address=person, page_size=1)
                self.assertEqual([each.conversation_sid for each in found], sorted(room.sid for room in rooms))
                self.assertEqual({each.conversation_state for each in found}, {"active", "closed"})
                self.assertEqual(found[0].participant_messaging_binding["address"], person)
                found = at.participant_conversations.list(identity=f"agent-{name}")
                self.assertEqual({each.conversation_sid for each in found}, {room.sid for room in rooms})
                self.assertEqual({each.participant_user_sid for each in found}, {at.users(f"agent-{name}").fetch().sid})
                both = lambda: at.participant_conversations.list(address=person, identity="x")  # noqa: E731
                self.no_page(400, 50451, both)
                for room in rooms:
                    room.delete()

    def test_conversation_with_participants(self):
        for number, (name, at) in enumerate(self.rooms()):
            with self.subTest(path=name):
                address = f"+1555777080{number}"
                person = json.dumps({"messaging_binding": {"address": address, "proxy_address": SMS}})
                chat = json.dumps({"identity": f"with-{name}", "attributes": '{"a": 1}'})
                made = at.conversation_with_participants.create(
                    friendly_name="Together", attributes='{"b": 2}', participant=[chat, person], x_twilio_webhook_enabled="true"
                )
                self.addCleanup(self.quietly, at.conversations(made.sid).delete)
                self.assertEqual((made.friendly_name, made.attributes, made.state), ("Together", '{"b": 2}', "active"))
                self.assertEqual(set(made.links), {"participants", "messages", "webhooks"})
                first, second = at.conversations(made.sid).participants.list()
                self.assertEqual((first.identity, first.attributes), (f"with-{name}", '{"a": 1}'))
                self.assertEqual(second.messaging_binding["address"], address)
                self.assertEqual(at.users(f"with-{name}").fetch().identity, f"with-{name}")
                rooms = len(at.conversations.list())
                create = at.conversation_with_participants.create
                self.refused(409, 50416, create, participant=[json.dumps({"identity": "nobody"}), person])
                self.refused(409, 50433, create, participant=[chat, chat])
                self.refused(400, 50426, create, participant=[chat] * 11)
                self.refused(400, 50204, create, participant=[chat, "{}"])
                self.refused(400, 20001, create, participant=[chat, "nobody"])
                self.assertEqual(len(at.conversations.list()), rooms)
                self.refused(404, 20404, at.users("nobody").fetch)

    def test_configurations(self):
        v1 = self.client().conversations.v1
        before = v1.configuration().fetch()
        service = v1.services.create(friendly_name="Configured")
        self.addCleanup(self.daemon.rest, "DELETE", f"/v1/Services/{service.sid}")
        here = v1.services(service.sid)
        roles = {each.friendly_name: each.sid for each in here.roles.list()}
        own = here.configuration().fetch()
        self.assertEqual(own.default_chat_service_role_sid, roles["service user"])
        changed = here.configuration().update(
            default_conversation_role_sid=roles["channel admin"], reachability_enabled=True
        )
        self.assertEqual((changed.default_conversation_role_sid, changed.reachability_enabled), (roles["channel admin"], True))
        self.refused(404, 50102, here.configuration().update, default_chat_service_role_sid=roles["channel user"])
        pushes = here.configuration.notifications().update(
            log_enabled=True, new_message_enabled=True, new_message_template="${MESSAGE}", added_to_conversation_sound="ring"
        )
        self.assertTrue(pushes.log_enabled)
        fetched = here.configuration.notifications().fetch()
        self.assertEqual((fetched.new_message["template"], fetched.added_to_conversation["sound"]), ("${MESSAGE}", "ring"))

        messaging = daemon.MESSAGING_SERVICE
        self.addCleanup(
            self.daemon.rest, "POST", "/v1/Configuration",
            {"DefaultChatServiceSid": before.default_chat_service_sid, "DefaultMessagingServiceSid": "", "DefaultInactiveTimer": "", "DefaultClosedTimer": ""},
        )
        after = v1.configuration().update(
            default_chat_service_sid=service.sid,
            default_messaging_service_sid=messaging,
            default_inactive_timer="PT5M",
            default_closed_timer="PT1H",
        )
        self.assertEqual(
            (after.default_chat_service_sid, after.default_inactive_timer, after.default_closed_timer),
            (service.sid, "PT5M", "PT1H"),
        )
        made = v1.conversations.create()
        self.assertEqual((made.chat_service_sid, made.messaging_service_sid), (service.sid, messaging))
        self.refused(409, 20409, service.delete)
        self.refused(400, 50375, v1.configuration().update, default_inactive_timer="PT59S")
        self.refused(400, 50380, v1.configuration().update, default_closed_timer="an hour")
        v1.configuration().update(default_chat_service_sid=before.default_chat_service_sid)
        self.assertTrue(service.delete())
        self.refused(404, 50050, v1.configuration().update, default_chat_service_sid=service.sid)

    def test_push_resources(self):
        v1 = self.client().conversations.v1
        made = v1.credentials.create(type="apn", friendly_name="Phones", certificate="hush", private_key="hush", sandbox=True)
        self.assertEqual((made.type, made.friendly_name, made.sandbox), ("apn", "Phones", "True"))
        self.assertEqual(v1.credentials(made.sid).update(type="fcm", secret="hush").type, "fcm")
        self.assertIn(made.sid, [each.sid for each in v1.credentials.list()])
        self.assertNotIn("hush", str(self.daemon.rest("GET", "/v1/Credentials")))
        self.assertTrue(made.delete())
        self.refused(404, 20404, made.fetch)
        service = v1.configuration().fetch().default_chat_service_sid
        self.assertEqual(v1.services(service).bindings.list(binding_type=["fcm", "apn"], identity=["a", "b"]), [])
        self.refused(404, 20404, v1.services(service).bindings("BS" + "0" * 32).fetch)
