// Sessions that break or end: what happened meanwhile, tokens, keys, and a door that is shut.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KEY, SECOND_KEY, SECRET, eventually } from './house.mjs';
import { enter, leave, loaded, next, refusal } from './people.mjs';
import { ada, bob, bobs, house, line, room, uri } from './scene.mjs';

const denied = (token) => refusal(token, uri());

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

test('a key that is taken away ends what came in with it, and a door that is closed lets nobody in', async () => {
  const fay = await enter(await house.token('fay', { key: SECOND_KEY }), uri());
  const off = next(fay, 'connectionStateChanged', (state) => state === 'disconnected');
  house.configure({ keys: [[KEY, SECRET]] });
  house.reload();
  await off;
  assert.equal(ada.connectionState, 'connected');
  await leave(fay);
  assert.deepEqual(await denied(await house.token('fay', { key: SECOND_KEY })), ['failed', true, 401, 20103]);
  house.configure({ socket: false });
  house.reload();
  await eventually('nobody there', async () => (await house.metric('trunkline_sdk_sessions')) === 0);
  assert.equal((await fetch(`${house.url}/v3/wsconnect`)).status, 404);
  const back = [ada, bob].map((client) => next(client, 'connectionStateChanged', (state) => state === 'connected', 30));
  house.configure();
  house.reload();
  await Promise.all(back);
  assert.equal((await fetch(`${house.url}/v3/wsconnect`)).status, 426);
});
