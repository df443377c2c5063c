// Messages, who types, what was read, and pages of all that.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually } from './house.mjs';
import { all, enter, everywhere, has, leave, loaded, next, updated } from './people.mjs';
import { ada, bob, bobs, house, room, uri } from './scene.mjs';

const bodies = (messages) => messages.map((message) => message.body);

test('messages are sent, told, changed and removed', async () => {
  assert.deepEqual((await bobs.getMessages()).items, []);
  const latest = updated(bobs, 'updated', 'lastMessage');
  const texts = ['hello', 'ünïcode 😀 ‮right\u200d', 'line\nline\ttab "quoted" \\', 'x'.repeat(1600)];
  for (const [index, text] of texts.entries()) {
    const echoed = next(room, 'messageAdded', (message) => message.body === text);
    const heard = everywhere([bobs, bob], 'messageAdded', (message) => message.body === text);
    assert.equal(await room.sendMessage(text, { index, deep: { ü: [null, true] } }), index);
    await echoed;
    const [message, same] = await heard;
    assert.equal(message.sid, same.sid);
    assert.deepEqual([message.author, message.index, message.type], ['ada', index, 'text']);
    assert.deepEqual([message.media, message.aggregatedDeliveryReceipt], [null, null]);
    assert.ok(message.dateUpdated >= message.dateCreated && Date.now() - message.dateCreated < 60_000);
    assert.deepEqual(message.attributes, { index, deep: { ü: [null, true] } });
    assert.match(message.sid, /^IM/);
    assert.equal((await message.getParticipant()).identity, 'ada');
  }
  assert.equal(await bobs.getMessagesCount(), 4);
  await latest;
  await eventually('the last message', () => bobs.lastMessage?.index === 3);
  const [first, second] = (await room.getMessages()).items;
  const [theirs] = (await bobs.getMessages()).items;
  const change = ({ message }) => message.body === 'changed';
  const changed = [[theirs, 'updated'], [bobs, 'messageUpdated'], [bob, 'messageUpdated']]
    .map(([who, event]) => updated(who, event, 'body', change));
  await first.updateBody('changed');
  for (const { message } of await Promise.all(changed)) {
    assert.deepEqual([message.index, message.lastUpdatedBy], [0, 'ada']);
  }
  const marked = updated(bobs, 'messageUpdated', 'attributes', ({ message }) => message.attributes.seen);
  await first.updateAttributes({ seen: 'yes' });
  await marked;
  const removed = everywhere([bobs, bob], 'messageRemoved', (message) => message.sid === second.sid);
  await second.remove();
  await removed;
  assert.deepEqual((await bobs.getMessages()).items.map((message) => message.index), [0, 2, 3]);
  if (has(room, 'prepareMessage')) {
    const built = next(bobs, 'messageAdded');
    await room.prepareMessage().setBody('built').setSubject('about ü').setAttributes({ built: true }).build().send();
    const { body, subject, attributes } = await built;
    assert.deepEqual([body, subject, attributes], ['built', 'about ü', { built: true }]);
  }
});

test('typing is told to the others, and ends', async () => {
  const alone = next(room, 'typingStarted', () => true, 2).then(() => true, () => false);
  const writer = await bobs.getParticipantByIdentity('ada');
  const isAda = (who) => who.identity === 'ada';
  const started = everywhere([bobs, bob, writer], 'typingStarted', isAda);
  const ended = everywhere([bobs, bob, writer], 'typingEnded', isAda);
  await room.typing();
  assert.deepEqual((await started).map((who) => who.isTyping), [true, true, true]);
  await room.sendMessage('typed');
  assert.deepEqual((await ended).map((who) => who.isTyping), [false, false, false]);
  assert.equal(await alone, false, 'who types is not told so');
});

test('what was read is known to all, and what was not is counted', async () => {
  assert.equal(await bobs.getUnreadMessagesCount(), null);
  const seen = updated(room, 'participantUpdated', 'lastReadMessageIndex', ({ participant }) => participant.identity === 'bob');
  const own = updated(bobs, 'updated', 'lastReadMessageIndex');
  await bobs.updateLastReadMessageIndex(2);
  await own;
  assert.equal(bobs.lastReadMessageIndex, 2);
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
