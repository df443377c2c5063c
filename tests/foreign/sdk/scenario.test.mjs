// Two people with the unmodified SDK, a phone on SMS, and the real daemon: everything that the protocol carries. Run once
// for each version of the SDK; what a version cannot do yet is not asked of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { House, Line, PROXY, SECOND_KEY, TEMPLATE, eventually } from './house.mjs';
import { VERSION, all, connect, enter, has, leave, leaveAll, loaded, next, refusal, updated } from './people.mjs';

let house;
let line;
let ada;
let bob;
let room;
// The same conversation as Bob sees it.
let bobs;

const uri = () => `${house.url.replace('http', 'ws')}/v3/wsconnect`;
const bodies = (messages) => messages.map((message) => message.body);

before(async () => {
  house = await House.open();
  line = await Line.to(house.port);
  // What costs money, or is about people, is in no role by itself.
  const roles = house.rest().services(await house.service()).roles;
  for (const role of await roles.list()) {
    if (role.type !== 'conversation') continue;
    const permission = [...role.permissions, 'editOwnParticipantAttributes', 'addNonChatParticipant'];
    await house.rest().services(await house.service()).roles(role.sid).update({ permission });
  }
});

after(async () => {
  await leaveAll();
  line.close();
  await house.close();
  // Timers of clients that were let down on purpose.
  setTimeout(() => process.exit(), 1000).unref();
});

const denied = async (token) => refusal(token, uri());

async function refused(status, code, promise) {
  const error = await promise.then(() => assert.fail(`expected ${status} with ${code}`), (error) => error);
  assert.deepEqual([error.status, error.body?.code], [status, code], error.message);
}

test(`SDK ${VERSION} connects`, async () => {
  ada = await enter(await house.token('ada'), uri());
  assert.equal(ada.connectionState, 'connected');
  assert.equal(ada.user.identity, 'ada');
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
  room = await ada.createConversation({ friendlyName: 'Room', uniqueName: 'room/ü 1', attributes: { topic: ['a', 1] } });
  assert.match(room.sid, /^CH[0-9a-f]{32}$/);
  assert.equal((await added).sid, room.sid);
  assert.deepEqual([room.friendlyName, room.uniqueName, room.status], ['Room', 'room/ü 1', 'notParticipating']);
  assert.deepEqual([room.attributes, room.createdBy], [{ topic: ['a', 1] }, 'ada']);
  assert.ok(Math.abs(Date.now() - room.dateCreated) < 60_000);
  const joined = next(ada, 'conversationJoined', (joined) => joined.sid === room.sid);
  await room.join();
  await joined;
  assert.equal(room.status, 'joined');
  // What is loaded is followed; what happens before may be loaded instead of told.
  await room.getParticipants();
  assert.deepEqual((await room.getMessages()).items, []);
  const seen = next(room, 'participantJoined', (joined) => joined.identity === 'bob');
  const invited = next(bob, 'conversationJoined', (joined) => joined.sid === room.sid);
  await room.add('bob', { badge: 7 });
  assert.deepEqual((await seen).attributes, { badge: 7 });
  bobs = await invited;
  assert.deepEqual([bobs.friendlyName, bobs.uniqueName], ['Room', 'room/ü 1']);
  assert.deepEqual((await bobs.getParticipants()).map((each) => each.identity).sort(), ['ada', 'bob']);
  assert.equal(await room.getParticipantsCount(), 2);
  const me = await bobs.getParticipantByIdentity('bob');
  assert.equal((await bobs.getParticipantBySid(me.sid)).identity, 'bob');
  assert.equal(me.type, 'chat');
  assert.equal((await ada.getConversationByUniqueName('room/ü 1')).sid, room.sid);
  assert.equal((await ada.getConversationBySid(room.sid)).sid, room.sid);
  if (has(ada, 'peekConversationBySid')) {
    assert.equal((await ada.peekConversationBySid(room.sid)).sid, room.sid);
  }
  await assert.rejects(room.add('bob'));
});

test('messages are sent, told, changed and removed', async () => {
  assert.deepEqual((await bobs.getMessages()).items, []);
  const texts = ['hello', 'ünïcode 😀 ‮right\u200d', 'line\nline\ttab "quoted" \\', 'x'.repeat(1600)];
  for (const [index, text] of texts.entries()) {
    const echoed = next(room, 'messageAdded', (message) => message.body === text);
    const heard = next(bobs, 'messageAdded', (message) => message.body === text);
    assert.equal(await room.sendMessage(text, { index, deep: { ü: [null, true] } }), index);
    await echoed;
    const message = await heard;
    assert.deepEqual([message.author, message.index, message.type], ['ada', index, 'text']);
    assert.deepEqual(message.attributes, { index, deep: { ü: [null, true] } });
    assert.match(message.sid, /^IM/);
    assert.equal((await message.getParticipant()).identity, 'ada');
  }
  assert.equal(await bobs.getMessagesCount(), 4);
  await eventually('the last message', () => bobs.lastMessage?.index === 3);
  const [first, second] = (await room.getMessages()).items;
  const changed = updated(bobs, 'messageUpdated', 'body', ({ message }) => message.body === 'changed');
  await first.updateBody('changed');
  const { message } = await changed;
  assert.deepEqual([message.index, message.lastUpdatedBy], [0, 'ada']);
  const marked = updated(bobs, 'messageUpdated', 'attributes', ({ message }) => message.attributes.seen);
  await first.updateAttributes({ seen: 'yes' });
  await marked;
  const removed = next(bobs, 'messageRemoved', (message) => message.sid === second.sid);
  await second.remove();
  await removed;
  assert.deepEqual((await bobs.getMessages()).items.map((message) => message.index), [0, 2, 3]);
  if (has(room, 'prepareMessage')) {
    const built = next(bobs, 'messageAdded');
    await room.prepareMessage().setBody('built').setAttributes({ built: true }).build().send();
    const { body, attributes } = await built;
    assert.deepEqual([body, attributes], ['built', { built: true }]);
  }
});

test('typing is told to the others, and ends', async () => {
  const alone = next(room, 'typingStarted', () => true, 2).then(() => true, () => false);
  const started = next(bobs, 'typingStarted', (who) => who.identity === 'ada');
  const ended = next(bobs, 'typingEnded', (who) => who.identity === 'ada');
  await room.typing();
  assert.equal((await started).isTyping, true);
  await room.sendMessage('typed');
  await ended;
  assert.equal(await alone, false, 'who types is not told so');
});

test('what was read is known to all, and what was not is counted', async () => {
  assert.equal(await bobs.getUnreadMessagesCount(), null);
  const seen = updated(room, 'participantUpdated', 'lastReadMessageIndex', ({ participant }) => participant.identity === 'bob');
  const own = updated(bobs, 'updated', 'lastReadMessageIndex');
  await bobs.updateLastReadMessageIndex(2);
  await own;
  const { participant } = await seen;
  assert.equal(participant.lastReadMessageIndex, 2);
  assert.ok(participant.lastReadTimestamp instanceof Date);
  const after = (await bobs.getMessages()).items.filter((message) => message.index > 2).length;
  // Clients keep answers for half a second.
  const unread = (count) => eventually(`${count} unread`, async () => (await bobs.getUnreadMessagesCount()) === count);
  await unread(after);
  await bobs.advanceLastReadMessageIndex(1);
  await unread(after);
  assert.equal(await bobs.setAllMessagesRead(), 0);
  await unread(0);
  await bobs.setAllMessagesUnread();
  await unread(null);
});

test('a conversation changes for everybody', async () => {
  for (const [reason, change, read, value] of [
    ['friendlyName', () => room.updateFriendlyName('Renamed ü'), () => bobs.friendlyName, 'Renamed ü'],
    ['attributes', () => room.updateAttributes({ a: null, b: [1, 2.5] }), () => bobs.attributes, { a: null, b: [1, 2.5] }],
    ['uniqueName', () => room.updateUniqueName('other name'), () => bobs.uniqueName, 'other name'],
    ['uniqueName', () => room.updateUniqueName(null), () => bobs.uniqueName ?? null, null],
  ]) {
    const told = updated(bobs, 'updated', reason);
    await change();
    await told;
    assert.deepEqual(read(), value, reason);
  }
  const muted = updated(bobs, 'updated', 'notificationLevel');
  await bobs.setUserNotificationLevel('muted');
  await muted;
  assert.equal(bobs.notificationLevel, 'muted');
  assert.equal(room.notificationLevel, 'default');
  const badge = updated(room, 'participantUpdated', 'attributes');
  await (await bobs.getParticipantByIdentity('bob')).updateAttributes({ badge: 8 });
  assert.deepEqual((await badge).participant.attributes, { badge: 8 });
});

test('users are read and change', async () => {
  const user = await ada.getUser('bob');
  assert.deepEqual([user.identity, user.isSubscribed], ['bob', true]);
  const named = updated(user, 'updated', 'friendlyName');
  await bob.user.updateFriendlyName('Bobby');
  await named;
  assert.equal(user.friendlyName, 'Bobby');
  const marked = updated(user, 'updated', 'attributes');
  await bob.user.updateAttributes({ team: 'blue' });
  await marked;
  assert.deepEqual(user.attributes, { team: 'blue' });
  assert.ok((await ada.getSubscribedUsers()).some((known) => known.identity === 'bob'));
  await user.unsubscribe();
  await assert.rejects(ada.getUser('nobody who ever came'));
});

test('pages lead both ways', async () => {
  const long = await ada.createConversation({ friendlyName: 'Long' });
  await long.join();
  await loaded(long);
  for (let index = 0; index < 45; index += 1) await long.sendMessage(`m${index}`);
  const expected = Array.from({ length: 45 }, (_, index) => `m${index}`);
  // Somebody who has seen none of it.
  const reader = await enter(await house.token('ada'), uri());
  const same = await reader.getConversationBySid(long.sid);
  const last = await same.getMessages(10);
  assert.deepEqual(bodies(last.items), expected.slice(35));
  assert.deepEqual([last.hasNextPage, last.hasPrevPage], [false, true]);
  assert.deepEqual(bodies(await all(last, 'prevPage', 'hasPrevPage')), expected);
  assert.deepEqual(bodies(await all(await same.getMessages(10, 0, 'forward'))), expected);
  const middle = await same.getMessages(4, 20, 'forward');
  assert.deepEqual(bodies(middle.items), expected.slice(20, 24));
  assert.deepEqual(bodies((await middle.prevPage()).items), expected.slice(16, 20));
  assert.deepEqual(bodies((await middle.nextPage()).items), expected.slice(24, 28));
  const mine = await all(await reader.getSubscribedConversations());
  await Promise.all(mine.map(loaded));
  assert.deepEqual(mine.map((each) => each.sid).sort(), [room.sid, long.sid].sort());
  await leave(reader);
  await long.delete();
});

test('who was away is told what happened, in order and once', async () => {
  const [first, , third] = (await room.getMessages()).items;
  const before = (await bobs.getMessages()).items.length;
  const events = [];
  bobs.on('messageAdded', (message) => events.push(`added ${message.body}`));
  bobs.on('messageUpdated', ({ message, updateReasons }) => {
    if (updateReasons.includes('body')) events.push(`changed ${message.body}`);
  });
  bobs.on('messageRemoved', (message) => events.push(`removed ${message.index}`));
  line.cut();
  await next(bob, 'connectionStateChanged', (state) => state !== 'connected');
  await first.updateBody('changed while away');
  await third.remove();
  await room.sendMessage('away 1');
  await room.sendMessage('away 2');
  await room.updateFriendlyName('Renamed while away');
  await (await room.getParticipantByIdentity('ada')).updateAttributes({ away: true });
  const other = await ada.createConversation({ friendlyName: 'Made while away' });
  await other.add('bob');
  const met = next(bob, 'conversationJoined', (joined) => joined.sid === other.sid);
  const back = next(bob, 'connectionStateChanged', (state) => state === 'connected', 30);
  line.mend();
  await back;
  await loaded(await met);
  await eventually('all of it', () => events.length >= 4 && bobs.friendlyName === 'Renamed while away');
  await room.sendMessage('live again');
  await eventually('what came after', () => events.includes('added live again'));
  const added = events.filter((event) => event.startsWith('added'));
  assert.deepEqual(added, ['added away 1', 'added away 2', 'added live again']);
  assert.deepEqual(events.filter((event) => event.startsWith('changed')), ['changed changed while away']);
  assert.deepEqual(events.filter((event) => event.startsWith('removed')), [`removed ${third.index}`]);
  assert.equal((await bobs.getMessages(100)).items.length, before + 2);
  const participant = await bobs.getParticipantByIdentity('ada');
  await eventually('the participant', () => participant.attributes.away === true);
  // And nothing that is about nobody's conversations any more.
  const gone = next(bob, 'conversationRemoved', (removed) => removed.sid === other.sid);
  await other.delete();
  await gone;
  bobs.removeAllListeners();
});

test('a token ends, and a new one takes its place', async () => {
  const cyd = await enter(await house.token('cyd', { ttl: 8 }), uri());
  await next(cyd, 'tokenAboutToExpire');
  await cyd.updateToken(await house.token('cyd', { ttl: 3600 }));
  const late = next(cyd, 'tokenExpired', () => true, 6).then(() => true, () => false);
  // Somebody else's token is none.
  const wrong = await house.token('dan');
  await assert.rejects(cyd.updateToken(wrong).then((client) => client.connectionState === 'denied' && Promise.reject(new Error())));
  assert.equal(await late, false);
  await leave(cyd);
  const dan = await enter(await house.token('dan', { ttl: 4 }), uri());
  await next(dan, 'tokenExpired');
  await eventually('the end', () => dan.connectionState === 'disconnected');
  await leave(dan);
});

test('nobody may do what their role does not permit, or see what they are not in', async () => {
  await refused(403, 50107, bobs.delete());
  const eve = await enter(await house.token('eve'), uri());
  // Whoever may join may look at what it is, and no further.
  if (has(eve, 'peekConversationBySid')) {
    const found = await eve.peekConversationBySid(room.sid);
    assert.equal(found.status, 'notParticipating');
    await refused(403, 50430, found.sendMessage('let me in'));
  }
  await assert.rejects(eve.getConversationByUniqueName('no such name'));
  assert.deepEqual(await all(await eve.getSubscribedConversations()), []);
  await leave(eve);
});

test('a phone takes part', async () => {
  const phone = '+15557770001';
  const seen = next(bobs, 'participantJoined', (joined) => joined.type === 'sms');
  await room.addNonChatParticipant(PROXY, phone, { via: 'sms' });
  const person = await seen;
  assert.equal(person.identity, null);
  assert.deepEqual(person.attributes, { via: 'sms' });
  const outside = 'to the phone';
  const echoed = next(room, 'messageAdded', (message) => message.body === outside);
  await room.sendMessage(outside);
  const sent = await house.sentTo(phone, outside);
  assert.equal(sent.from, PROXY);
  const mine = await echoed;
  await house.tells(sent, 'sent');
  await eventually('sent', () => mine.aggregatedDeliveryReceipt?.sent === 'all');
  for (const status of ['delivered', 'read']) {
    const told = updated(room, 'messageUpdated', 'deliveryReceipt',
      ({ message }) => message.sid === mine.sid && message.aggregatedDeliveryReceipt?.[status] === 'all');
    await house.tells(sent, status);
    await told;
  }
  assert.equal(mine.aggregatedDeliveryReceipt.total, 1);
  const receipts = await mine.getDetailedDeliveryReceipts();
  assert.deepEqual(receipts.map((each) => [each.status, each.participantSid, each.messageSid]), [['read', person.sid, mine.sid]]);
  const heard = next(bobs, 'messageAdded', (message) => message.author === phone);
  await house.writes(phone, 'from the phone');
  const message = await heard;
  assert.deepEqual([message.body, message.participantSid], ['from the phone', person.sid]);
  const left = next(bobs, 'participantLeft', (gone) => gone.sid === person.sid);
  await room.removeParticipant(person.sid);
  await left;
});

test('templates and push registrations', async () => {
  if (has(ada, 'getContentTemplates')) {
    const templates = await ada.getContentTemplates();
    assert.deepEqual(templates.map((each) => each.sid), [TEMPLATE]);
    assert.deepEqual(templates[0].variables.map((each) => each.name), ['1']);
  }
  const service = house.rest().services(await house.service());
  await ada.setPushRegistrationId('fcm', 'a-token-of-fcm');
  await eventually('the binding', async () => {
    const [binding] = await service.bindings.list();
    return binding?.identity === 'ada' && binding.bindingType === 'fcm';
  });
  await ada.unsetPushRegistrationId('fcm');
  await eventually('no binding', async () => (await service.bindings.list()).length === 0);
});

test('who leaves, is removed or loses the conversation is told', async () => {
  const other = await ada.createConversation({ friendlyName: 'Short' });
  await other.join();
  await loaded(other);
  const joined = next(bob, 'conversationJoined', (joined) => joined.sid === other.sid);
  const there = next(other, 'participantJoined', (joined) => joined.identity === 'bob');
  await other.add('bob');
  const bobsOther = await loaded(await joined);
  await there;
  const left = next(other, 'participantLeft', (gone) => gone.identity === 'bob');
  const gone = next(bob, 'conversationLeft', (gone) => gone.sid === other.sid);
  await bobsOther.leave();
  await left;
  await gone;
  const again = next(bob, 'conversationJoined', (joined) => joined.sid === other.sid);
  await other.add('bob');
  await loaded(await again);
  const removed = next(bob, 'conversationLeft', (gone) => gone.sid === other.sid);
  await other.removeParticipant('bob');
  await removed;
  const lost = [ada].map((client) => next(client, 'conversationRemoved', (removed) => removed.sid === other.sid));
  await other.delete();
  await Promise.all(lost);
  // The same over REST: an SDK user is told of everybody's changes.
  const rest = await house.rest().conversations.create({ friendlyName: 'By REST' });
  const met = next(ada, 'conversationJoined', (joined) => joined.sid === rest.sid);
  await house.rest().conversations(rest.sid).participants.create({ identity: 'ada' });
  const mine = await loaded(await met);
  const told = next(mine, 'messageAdded');
  await house.rest().conversations(rest.sid).messages.create({ author: 'desk', body: 'over REST' });
  assert.deepEqual([(await told).author, (await told).body], ['desk', 'over REST']);
  const closed = updated(mine, 'updated', 'state');
  await house.rest().conversations(rest.sid).update({ state: 'closed' });
  await closed;
  assert.equal(mine.state.current, 'closed');
  const over = next(ada, 'conversationRemoved', (removed) => removed.sid === rest.sid);
  await house.rest().conversations(rest.sid).remove();
  await over;
});

test('a key that is taken away ends what came in with it, and a door that is closed lets nobody in', async () => {
  const fay = await enter(await house.token('fay', { key: SECOND_KEY }), uri());
  const off = next(fay, 'connectionStateChanged', (state) => state === 'disconnected');
  house.configure({ keys: [[(await import('./house.mjs')).KEY, 'the-secret-of-the-api-key-of-32-letters']] });
  house.reload();
  await off;
  assert.equal(ada.connectionState, 'connected');
  await leave(fay);
  assert.deepEqual(await denied(await house.token('fay', { key: SECOND_KEY })), ['failed', true, 401, 20103]);
  house.configure({ socket: false });
  house.reload();
  await eventually('nobody there', async () => (await house.metric('trunkline_sdk_sessions')) === 0);
  assert.equal((await fetch(`${house.url}/v3/wsconnect`)).status, 404);
  const back = next(ada, 'connectionStateChanged', (state) => state === 'connected', 30);
  house.configure();
  house.reload();
  await back;
  assert.equal((await fetch(`${house.url}/v3/wsconnect`)).status, 426);
});
