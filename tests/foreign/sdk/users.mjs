// What is known of people besides their messages: profiles, whether they can be reached, their devices.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { TEMPLATE, eventually } from './house.mjs';
import { enter, everywhere, has, leave, next, updated } from './people.mjs';
import { ada, bob, bobs, house, room, uri } from './scene.mjs';

test('users are read and change', async () => {
  const subscribed = next(ada, 'userSubscribed', (user) => user.identity === 'bob');
  const user = await (await room.getParticipantByIdentity('bob')).getUser();
  assert.equal((await subscribed).identity, 'bob');
  let again = 0;
  user.onWithReplay('userSubscribed', () => { again += 1; });
  assert.equal(again, 1);
  if (has(user, 'onceWithReplay')) user.onceWithReplay('userSubscribed', () => { again += 1; });
  assert.deepEqual([user.identity, user.isSubscribed], ['bob', true]);
  assert.equal((await ada.getUser('bob')).identity, 'bob');
  for (const [reason, change, value] of [
    ['friendlyName', () => bob.user.updateFriendlyName('Bobby ü'), 'Bobby ü'],
    ['attributes', () => bob.user.updateAttributes({ team: ['blue', null] }), { team: ['blue', null] }],
  ]) {
    const told = [updated(user, 'updated', reason), updated(ada, 'userUpdated', reason), updated(bob, 'userUpdated', reason)];
    await change();
    for (const { user: told_of } of await Promise.all(told)) assert.deepEqual(told_of[reason], value);
  }
  assert.ok((await ada.getSubscribedUsers()).some((known) => known.identity === 'bob'));
  const over = everywhere([ada, user], 'userUnsubscribed');
  await user.unsubscribe();
  await over;
  assert.equal(user.isSubscribed, false);
  await assert.rejects(ada.getUser('nobody who ever came'));
});

test('who can be reached is told where the service says so', async () => {
  const settings = house.rest().services(await house.service()).configuration();
  assert.deepEqual([ada.reachabilityEnabled, ada.user.isOnline, ada.user.isNotifiable], [false, null, null]);
  await settings.update({ reachabilityEnabled: true });
  const gil = await enter(await house.token('gil'), uri());
  assert.equal(gil.reachabilityEnabled, true);
  const bobby = await gil.getUser('bob');
  assert.deepEqual([bobby.isOnline, bobby.isNotifiable], [true, false]);
  const hal = await enter(await house.token('hal'), uri());
  const other = await hal.getUser('gil');
  assert.deepEqual([other.isOnline, other.isNotifiable], [true, false]);
  const pushed = [updated(other, 'updated', 'reachabilityNotifiable'), updated(hal, 'userUpdated', 'reachabilityNotifiable')];
  await gil.setPushRegistrationId('apn', 'a-token-of-apn');
  await Promise.all(pushed);
  assert.equal(other.isNotifiable, true);
  const gone = [updated(other, 'updated', 'reachabilityOnline'), updated(hal, 'userUpdated', 'reachabilityOnline')];
  await leave(gil);
  await Promise.all(gone);
  assert.equal(other.isOnline, false);
  const back = updated(other, 'updated', 'reachabilityOnline');
  const again = await enter(await house.token('gil'), uri());
  await back;
  assert.equal(other.isOnline, true);
  await leave(again);
  await leave(hal);
  await settings.update({ reachabilityEnabled: false });
});

test('templates are listed and sent', async (context) => {
  if (!has(ada, 'getContentTemplates')) return context.skip('not in this version');
  const [template, ...others] = await ada.getContentTemplates();
  assert.deepEqual([template.sid, others], [TEMPLATE, []]);
  assert.equal(template.variants.get('twilio/text').body, 'Hi {{1}}, your order is ready.');
  const [blank] = template.variables;
  assert.equal(blank.name, '1');
  const heard = next(bobs, 'messageAdded');
  await room.prepareMessage().setContentTemplate(template.sid, [blank.copyWithValue('Bob')]).buildAndSend();
  const message = await heard;
  assert.deepEqual([message.contentSid, message.body], [TEMPLATE, 'Hi Bob, your order is ready.']);
  // Texts are all that templates are here: the body has all of it, and there is no rich content beside it.
  assert.equal(await message.getContentData(), null);
  return undefined;
});

test('what only e-mail and other channels have is there, and empty', async (context) => {
  const [message] = (await bobs.getMessages()).items;
  if (!has(message, 'getChannelMetadata')) return context.skip('not in this version');
  assert.equal(await message.getChannelMetadata(), null);
  assert.deepEqual(await message.getMessageRecipients(), []);
  const { items, hasNextPage } = await bobs.getMessageRecipients();
  assert.deepEqual([items, hasNextPage], [[], false]);
  return undefined;
});

test('devices are registered for pushes, and pushes are read', async () => {
  const service = house.rest().services(await house.service());
  const bound = async () => (await service.bindings.list()).filter(({ identity }) => identity === 'ada').map(({ bindingType }) => bindingType);
  await ada.setPushRegistrationId('fcm', 'a-token-of-fcm');
  await eventually('the binding', async () => (await bound()).includes('fcm'));
  await ada.unsetPushRegistrationId('fcm');
  await eventually('no binding', async () => (await bound()).length === 0);
  await ada.setPushRegistrationId('apn', 'a-token-of-apn');
  await eventually('another binding', async () => (await bound()).includes('apn'));
  await ada.removePushRegistrations('apn', 'a-token-of-apn');
  await eventually('none again', async () => (await bound()).length === 0);
  const push = {
    data: {
      twi_message_type: 'twilio.conversations.new_message', twi_title: 'Room', twi_body: 'hello', conversation_sid: room.sid, message_index: '7',
    },
  };
  const read = ada.parsePushNotification(push);
  assert.deepEqual([read.title, read.body, read.data.conversationSid, read.data.messageIndex], ['Room', 'hello', room.sid, 7]);
  const told = next(ada, 'pushNotification');
  await ada.handlePushNotification(push);
  assert.deepEqual((await told).data, read.data);
});
