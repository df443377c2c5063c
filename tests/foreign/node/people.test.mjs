// Roles, users, memberships, configurations and push resources, by the official Node library.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import twilio from 'twilio';

const house = JSON.parse(process.env.TRUNKLINE_HOUSE);
const made = twilio(house.account, house.auth_token, { accountSid: house.account });
made.conversations.baseUrl = house.url;
const { v1 } = made.conversations;

const service = await v1.services.create({ friendlyName: 'People' });
after(() => v1.services(service.sid).remove());
// Every resource is there on both paths.
const paths = { plain: v1, explicit: v1.services(service.sid) };

async function refused(status, code, promise) {
  const error = await promise.then(() => assert.fail(`expected ${status} with ${code}`), (thrown) => thrown);
  assert.deepEqual([error.status, error.code], [status, code], error.message);
}

for (const [name, at] of Object.entries(paths)) {
  test(`roles, ${name}`, async () => {
    const born = await at.roles.list({ pageSize: 2 });
    const user = born.find((role) => role.friendlyName === 'channel user');
    assert.ok(user.permissions.includes('sendMessage'));
    const role = await at.roles.create({ friendlyName: 'guest', type: 'conversation', permission: ['sendMessage', 'leaveConversation'] });
    assert.deepEqual((await at.roles(role.sid).fetch()).permissions, ['sendMessage', 'leaveConversation']);
    assert.deepEqual((await at.roles(role.sid).update({ permission: ['editOwnMessage'] })).permissions, ['editOwnMessage']);
    assert.equal(await at.roles(role.sid).remove(), true);
    await refused(404, 20404, at.roles(role.sid).fetch());
    await refused(400, 50104, at.roles.create({ friendlyName: 'x', type: 'service', permission: ['fly'] }));
    await refused(409, 20409, at.roles(user.sid).remove());
  });

  test(`users and their conversations, ${name}`, async () => {
    const identity = `node-${name}`;
    const user = await at.users.create({ identity, friendlyName: 'A user', attributes: '{"a": 1}' });
    assert.ok(user.dateCreated instanceof Date);
    assert.equal((await at.users(identity).fetch()).sid, user.sid);
    assert.equal((await at.users(identity).update({ friendlyName: 'Renamed' })).friendlyName, 'Renamed');
    await refused(409, 50201, at.users.create({ identity }));
    assert.ok((await at.users.list({ pageSize: 1 })).some((each) => each.sid === user.sid));

    const rooms = [];
    for (let number = 0; number < 3; number += 1) {
      const room = await at.conversations.create({});
      await at.conversations(room.sid).participants.create({ identity });
      rooms.push(room);
    }
    after(() => Promise.all(rooms.map((room) => at.conversations(room.sid).remove().catch(() => {}))));
    const sids = rooms.map((room) => room.sid).toSorted();
    const listed = await at.users(identity).userConversations.list({ pageSize: 2 });
    assert.deepEqual(listed.map((each) => each.conversationSid), sids);
    const found = await at.participantConversations.list({ identity, pageSize: 2 });
    assert.deepEqual(found.map((each) => each.conversationSid), sids);
    assert.ok(found.every((each) => each.participantUserSid === user.sid));
    for (let number = 0; number < 3; number += 1) await at.conversations(sids[0]).messages.create({ body: 'x' });
    const one = at.users(identity).userConversations(sids[0]);
    assert.equal((await one.fetch()).unreadMessagesCount, null);
    const read = await one.update({ lastReadMessageIndex: 0, notificationLevel: 'muted' });
    assert.deepEqual([read.unreadMessagesCount, read.notificationLevel], [2, 'muted']);
    assert.equal(await one.remove(), true);
    await refused(404, 20404, one.fetch());
    assert.equal(await at.users(user.sid).remove(), true);
    await refused(404, 20404, at.users(user.sid).fetch());
    const deadline = Date.now() + 20_000;
    while ((await at.conversations(sids[1]).participants.list()).length > 0) {
      assert.ok(Date.now() < deadline, 'a removed user leaves');
      await pause(20);
    }
  });
}

test('configurations', async () => {
  const here = v1.services(service.sid).configuration;
  const before = await here().fetch();
  const changed = await here().update({
    defaultConversationRoleSid: before.defaultConversationCreatorRoleSid, reachabilityEnabled: true,
  });
  assert.equal(changed.defaultConversationRoleSid, before.defaultConversationCreatorRoleSid);
  assert.equal(changed.reachabilityEnabled, true);
  const pushes = await here.notifications().update({ 'newMessage.withMedia.enabled': true, 'addedToConversation.sound': 'ring' });
  assert.deepEqual([pushes.newMessage.with_media.enabled, pushes.addedToConversation.sound], [true, 'ring']);
  const account = await v1.configuration().update({ defaultClosedTimer: 'PT1H' });
  assert.equal(account.defaultClosedTimer, 'PT1H');
  assert.equal((await v1.configuration().update({ defaultClosedTimer: '' })).defaultClosedTimer, null);
  await refused(400, 50376, v1.configuration().update({ defaultClosedTimer: 'PT9M' }));
});

test('push resources', async () => {
  const credential = await v1.credentials.create({ type: 'gcm', apiKey: 'hush', friendlyName: 'Phones' });
  assert.deepEqual([credential.type, credential.friendlyName], ['gcm', 'Phones']);
  assert.equal((await v1.credentials(credential.sid).update({ friendlyName: 'More' })).friendlyName, 'More');
  assert.ok((await v1.credentials.list()).some((each) => each.sid === credential.sid));
  assert.equal(await v1.credentials(credential.sid).remove(), true);
  await refused(404, 20404, v1.credentials(credential.sid).fetch());
  assert.deepEqual(await v1.services(service.sid).bindings.list({ bindingType: ['fcm'] }), []);
});
