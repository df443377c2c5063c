// Where the scenario begins: the daemon, Ada and Bob with the SDK, and a conversation of theirs. Bob's line can be cut.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { House, Line, eventually } from './house.mjs';
import { Client, VERSION, connect, enter, everywhere, has, leave, leaveAll, next, refusal } from './people.mjs';

export let house;
export let line;
export let ada;
export let bob;
// The conversation as Ada sees it, and as Bob does.
export let room;
export let bobs;

export const uri = () => `${house.url.replace('http', 'ws')}/v3/wsconnect`;
const denied = (token) => refusal(token, uri());

before(async () => {
  house = await House.open();
  line = await Line.to(house.port);
  // What costs money, or is about people, is in no role by itself.
  const service = house.rest().services(await house.service());
  for (const role of await service.roles.list()) {
    if (role.type !== 'conversation') continue;
    const permission = [...role.permissions, 'editOwnParticipantAttributes', 'addNonChatParticipant'];
    await service.roles(role.sid).update({ permission });
  }
});

after(async () => {
  await leaveAll();
  line.close();
  await house.close();
  // Timers of clients that were let down on purpose.
  setTimeout(() => process.exit(), 1000).unref();
});

test('a client connects', async () => {
  const token = await house.token('ada');
  ada = await enter(token, uri());
  assert.equal(ada.connectionState, 'connected');
  assert.equal(ada.user.identity, 'ada');
  assert.deepEqual([ada.token, ada.version, ada.reachabilityEnabled], [token, VERSION, false]);
  // What was said before is said again to whoever asks for that.
  let connected = 0;
  ada.addListenerWithReplay('connectionStateChanged', (state) => { connected += state === 'connected' ? 1 : 0; });
  assert.equal(connected, 1);
  if (Client.initialized) await new Promise((resolve) => { ada.onWithReplay('initialized', resolve); });
  // As applications did it before 2.0.
  const old = await Client.create(await house.token('ada'), { Twilsock: { uri: uri() }, logLevel: 'silent' });
  assert.equal(old.user.identity, 'ada');
  await old.getSubscribedConversations();
  await leave(old);
  // A token of our own command, and a name that needs every kind of quoting. Bob's line can be cut.
  bob = await enter(house.command('--identity', 'bob', '--ttl', '2h'), line.uri);
  const strange = await enter(await house.token('zoë @/?&=+% 😀'), uri());
  assert.equal(strange.user.identity, 'zoë @/?&=+% 😀');
  assert.equal(await house.metric('trunkline_sdk_sessions'), 3);
  await leave(strange);
  await eventually('a session less', async () => (await house.metric('trunkline_sdk_sessions')) === 2);
});

test('a token that is wrong is refused with its code', async () => {
  assert.deepEqual(await denied('no token'), ['failed', true, 401, 20101]);
  assert.deepEqual(await denied(await house.token('ada', { secret: 'another secret of 32 letters ....' })), ['failed', true, 401, 20107]);
  assert.deepEqual(await denied(await house.token('ada', { key: `SK${'9'.repeat(32)}` })), ['failed', true, 401, 20103]);
  assert.deepEqual(await denied(await house.token('ada', { ttl: -10 })), ['failed', true, 401, 20104]);
  assert.deepEqual(await denied(await house.token('ada', { ttl: 90_000 })), ['failed', true, 401, 20104]);
  assert.deepEqual(await denied(await house.token('ada', { service: `IS${'9'.repeat(32)}` })), ['failed', true, 403, 50050]);
  const expired = connect(await house.token('ada', { ttl: -10 }), uri());
  await next(expired, 'tokenExpired');
  await leave(expired);
});

test('a conversation is made, joined and shared', async () => {
  const added = next(ada, 'conversationAdded');
  const created = next(ada, 'conversationJoined');
  room = await ada.createConversation({ friendlyName: 'Room', uniqueName: 'room/ü 1', attributes: { topic: ['a', 1] } });
  assert.match(room.sid, /^CH[0-9a-f]{32}$/);
  assert.equal((await added).sid, room.sid);
  assert.deepEqual([room.friendlyName, room.uniqueName, room.status], ['Room', 'room/ü 1', 'notParticipating']);
  assert.deepEqual([room.attributes, room.createdBy], [{ topic: ['a', 1] }, 'ada']);
  assert.ok(Math.abs(Date.now() - room.dateCreated) < 60_000);
  assert.ok(room.dateUpdated >= room.dateCreated);
  assert.deepEqual(await room.getAttributes(), { topic: ['a', 1] });
  await room.join();
  assert.equal((await created).sid, room.sid);
  assert.equal(room.status, 'joined');
  // What is loaded is followed; what happens before may be loaded instead of told.
  await room.getParticipants();
  assert.deepEqual((await room.getMessages()).items, []);
  const seen = everywhere([room, ada], 'participantJoined', (joined) => joined.identity === 'bob');
  const invited = next(bob, 'conversationJoined', (joined) => joined.sid === room.sid);
  await room.add('bob', { badge: 7 });
  for (const joined of await seen) assert.deepEqual(joined.attributes, { badge: 7 });
  bobs = await invited;
  assert.deepEqual([bobs.friendlyName, bobs.uniqueName], ['Room', 'room/ü 1']);
  assert.deepEqual((await bobs.getParticipants()).map((each) => each.identity).sort(), ['ada', 'bob']);
  assert.equal(await room.getParticipantsCount(), 2);
  const me = await bobs.getParticipantByIdentity('bob');
  assert.equal((await bobs.getParticipantBySid(me.sid)).identity, 'bob');
  assert.equal(me.type, 'chat');
  assert.match(me.roleSid, /^RL/);
  assert.ok(me.dateUpdated >= me.dateCreated && me.dateCreated instanceof Date);
  assert.deepEqual([me.bindings ?? {}, bobs.bindings ?? {}], [{}, {}]);
  assert.equal((await ada.getConversationByUniqueName('room/ü 1')).sid, room.sid);
  assert.equal((await ada.getConversationBySid(room.sid)).sid, room.sid);
  if (has(ada, 'peekConversationBySid')) {
    assert.equal((await ada.peekConversationBySid(room.sid)).sid, room.sid);
  }
  await assert.rejects(room.add('bob'));
});
