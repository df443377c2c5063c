// Conversations and who is in them: how they change, who comes and goes, and what nobody may do.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { all, enter, everywhere, found, has, leave, loaded, next, updated } from './people.mjs';
import { ada, bob, bobs, house, room, uri } from './scene.mjs';

async function refused(status, code, promise) {
  const error = await promise.then(() => assert.fail(`expected ${status} with ${code}`), (error) => error);
  assert.deepEqual([error.status, error.body?.code], [status, code], error.message);
}

test('a conversation changes for everybody', async () => {
  for (const [reason, change, read, value] of [
    ['friendlyName', () => room.updateFriendlyName('Renamed ü'), () => bobs.friendlyName, 'Renamed ü'],
    ['attributes', () => room.updateAttributes({ a: null, b: [1, 2.5] }), () => bobs.attributes, { a: null, b: [1, 2.5] }],
    ['uniqueName', () => room.updateUniqueName('other name'), () => bobs.uniqueName, 'other name'],
    ['uniqueName', () => room.updateUniqueName(null), () => bobs.uniqueName ?? null, null],
  ]) {
    const told = [updated(bobs, 'updated', reason), updated(bob, 'conversationUpdated', reason)];
    await change();
    for (const { conversation } of await Promise.all(told)) assert.equal(conversation.sid, room.sid);
    assert.deepEqual(read(), value, reason);
  }
  const muted = updated(bobs, 'updated', 'notificationLevel');
  await bobs.setUserNotificationLevel('muted');
  await muted;
  assert.equal(bobs.notificationLevel, 'muted');
  assert.equal(room.notificationLevel, 'default');
  const badge = [[room, 'participantUpdated'], [ada, 'participantUpdated'], [await room.getParticipantByIdentity('bob'), 'updated']]
    .map(([who, event]) => updated(who, event, 'attributes'));
  await (await bobs.getParticipantByIdentity('bob')).updateAttributes({ badge: 8 });
  for (const { participant } of await Promise.all(badge)) assert.deepEqual(participant.attributes, { badge: 8 });
});

test('what the desk changes over REST is told with its reason', async () => {
  const rest = house.rest().conversations(room.sid);
  const service = house.rest().services(await house.service());
  const longAgo = new Date('2020-01-02T03:04:05Z');
  const sees = async (who, event, reason, change) => {
    const told = updated(who, event, reason);
    await change();
    return told;
  };
  await sees(bobs, 'updated', 'dateCreated', () => rest.update({ dateCreated: longAgo }));
  assert.deepEqual(bobs.dateCreated, longAgo);
  const index = await room.sendMessage('to be changed');
  const message = await found(bobs, index);
  await sees(message, 'updated', 'author', () => rest.messages(message.sid).update({ author: 'desk' }));
  assert.deepEqual([message.author, message.lastUpdatedBy], ['desk', 'system']);
  await sees(message, 'updated', 'dateCreated', () => rest.messages(message.sid).update({ dateCreated: longAgo }));
  assert.deepEqual(message.dateCreated, longAgo);
  const there = await bobs.getParticipantByIdentity('ada');
  const role = (await service.roles.list()).find((each) => each.type === 'conversation' && each.sid !== there.roleSid);
  const before = there.roleSid;
  await sees(there, 'updated', 'roleSid', () => rest.participants(there.sid).update({ roleSid: role.sid }));
  assert.equal(there.roleSid, role.sid);
  await sees(there, 'updated', 'roleSid', () => rest.participants(there.sid).update({ roleSid: before }));
  await sees(there, 'updated', 'dateCreated', () => rest.participants(there.sid).update({ dateCreated: longAgo }));
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

test('who leaves, is removed or loses the conversation is told', async () => {
  const other = await ada.createConversation({ friendlyName: 'Short' });
  await other.join();
  await loaded(other);
  const joined = next(bob, 'conversationJoined', (joined) => joined.sid === other.sid);
  const there = next(other, 'participantJoined', (joined) => joined.identity === 'bob');
  await other.add('bob');
  const bobsOther = await loaded(await joined);
  await there;
  const left = everywhere([other, ada], 'participantLeft', (gone) => gone.identity === 'bob');
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
  const lost = [next(ada, 'conversationRemoved', (removed) => removed.sid === other.sid), next(other, 'removed')];
  await other.delete();
  for (const removed of await Promise.all(lost)) assert.equal(removed.sid, other.sid);
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
