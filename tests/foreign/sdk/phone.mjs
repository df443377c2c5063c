// Somebody on SMS in the same conversation.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PROXY, SECOND_PROXY, eventually } from './house.mjs';
import { found, next, updated } from './people.mjs';
import { bobs, house, room } from './scene.mjs';

test('a phone takes part', async () => {
  const phone = '+15557770001';
  const seen = next(bobs, 'participantJoined', (joined) => joined.type === 'sms');
  await room.addNonChatParticipant(PROXY, phone, { via: 'sms' });
  const person = await seen;
  assert.equal(person.identity, null);
  assert.deepEqual(person.attributes, { via: 'sms' });
  const bound = 'bindings' in person;
  if (bound) assert.deepEqual(person.bindings.sms, { address: phone, proxy_address: PROXY });
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
  const moved = bound && updated(person, 'updated', 'bindings');
  await house.rest().conversations(room.sid).participants(person.sid).update({ 'messagingBinding.proxyAddress': SECOND_PROXY });
  if (moved) assert.equal((await moved).participant.bindings.sms.proxy_address, SECOND_PROXY);
  // One that does not arrive.
  const lost = await room.sendMessage('nobody gets this');
  await house.tells(await house.sentTo(phone, 'nobody gets this'), 'undelivered', 30003);
  const missed = await found(room, lost);
  await eventually('undelivered', () => missed.aggregatedDeliveryReceipt?.undelivered === 'all');
  assert.deepEqual([missed.aggregatedDeliveryReceipt.failed, missed.aggregatedDeliveryReceipt.delivered], ['none', 'none']);
  const [story] = await missed.getDetailedDeliveryReceipts();
  assert.deepEqual([story.status, story.conversationSid, story.errorCode], ['undelivered', room.sid, 30003]);
  assert.ok(story.dateCreated && story.dateUpdated);
  const heard = next(bobs, 'messageAdded', (message) => message.author === phone);
  await house.writes(phone, 'from the phone', [], SECOND_PROXY);
  const message = await heard;
  assert.deepEqual([message.body, message.participantSid], ['from the phone', person.sid]);
  const left = next(bobs, 'participantLeft', (gone) => gone.sid === person.sid);
  await room.removeParticipant(person.sid);
  await left;
});
