// The official Node library, unmodified, doing what its users do with it.
// `tests/foreign/python/serve.py` runs this with a daemon and its providers around it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import twilio from 'twilio';

const house = JSON.parse(process.env.TRUNKLINE_HOUSE);

function client(username = house.account, password = house.auth_token, more = {}) {
  const made = twilio(username, password, { accountSid: house.account, ...more });
  made.conversations.baseUrl = house.url;
  return made;
}

const v1 = client().conversations.v1;
// What a list of this release has created knows its SID and not its path, so people go by the SID, and so do we.
const at = (room) => v1.conversations(room.sid);
const made = [];
after(() => Promise.all(made.map((room) => at(room).remove().catch(() => {}))));

async function conversation(about = {}) {
  const created = await v1.conversations.create(about);
  made.push(created);
  return created;
}

async function refused(status, code, promise) {
  const error = await promise.then(
    () => assert.fail(`expected ${status} with ${code}`),
    (error) => error,
  );
  assert.deepEqual([error.status, error.code], [status, code], error.message);
  return error;
}

async function eventually(what, check) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < deadline, `${what} did not happen`);
    await pause(20);
  }
}

const bound = (address, proxyAddress) => ({
  'messagingBinding.address': address,
  'messagingBinding.proxyAddress': proxyAddress,
});

test('three people on three channels', async () => {
  const room = await conversation({ friendlyName: 'Three channels', attributes: '{"ticket": 7}' });
  assert.equal(room.state, 'active');
  assert.ok(room.dateCreated instanceof Date && Math.abs(Date.now() - room.dateCreated) < 120_000);
  const people = [
    ['+15550200001', house.sms],
    ['whatsapp:+15550200002', house.whatsapp],
    ['messenger:900200003', house.messenger],
  ];
  for (const [address, proxy] of people) {
    const participant = await at(room).participants.create(bound(address, proxy));
    assert.equal(participant.messagingBinding.address, address);
    assert.equal(participant.messagingBinding.proxy_address, proxy);
  }
  const listed = await at(room).participants.list();
  assert.deepEqual(listed.map((each) => each.messagingBinding.type), ['sms', 'whatsapp', 'messenger']);

  const message = await at(room).messages.create({ body: 'Grüße & 50 % = +1 👋', author: 'system' });
  assert.deepEqual([message.index, message.body, message.delivery.total], [0, 'Grüße & 50 % = +1 👋', 3]);
  const receipts = await eventually('three receipts with a status', async () => {
    const found = await at(room).messages(message.sid).deliveryReceipts.list();
    return found.length === 3 && found.every((each) => each.status !== null) && found;
  });
  assert.deepEqual(new Set(receipts.map((each) => each.participantSid)), new Set(listed.map((each) => each.sid)));
  assert.equal((await at(room).messages(message.sid).fetch()).delivery.sent, 'all');
  const again = await at(room).messages(message.sid).deliveryReceipts(receipts[0].sid).fetch();
  assert.equal(again.channelMessageSid, receipts[0].channelMessageSid);
});

test('lists in pages', async () => {
  const wanted = [];
  for (let number = 0; number < 55; number += 1) {
    wanted.push((await conversation({ friendlyName: `Page ${number}` })).sid);
  }
  const listed = (await v1.conversations.list({ pageSize: 10 })).map((each) => each.sid);
  assert.equal(new Set(listed).size, listed.length);
  for (const sid of wanted) assert.ok(listed.includes(sid));
  const streamed = [];
  await new Promise((resolve, reject) => {
    v1.conversations.each(
      { pageSize: 23, done: (error) => (error ? reject(error) : resolve()) },
      (each) => streamed.push(each.sid),
    );
  });
  assert.deepEqual(streamed, listed);
  assert.deepEqual((await v1.conversations.list({ limit: 500 })).map((each) => each.sid), listed);

  const first = await v1.conversations.page({ pageSize: 20 });
  const second = await first.nextPage();
  assert.deepEqual([...first.instances, ...second.instances].map((each) => each.sid), listed.slice(0, 40));
  const back = await v1.conversations.getPage(first.nextPageUrl);
  assert.deepEqual(back.instances.map((each) => each.sid), listed.slice(20, 40));
});

test('messages in both orders, changed and deleted', async () => {
  const room = await conversation();
  for (let number = 0; number < 12; number += 1) await at(room).messages.create({ body: `Message ${number}` });
  const indexes = async (about) => (await at(room).messages.list(about)).map((each) => each.index);
  const ascending = Array.from({ length: 12 }, (_, index) => index);
  assert.deepEqual(await indexes({ pageSize: 5 }), ascending);
  assert.deepEqual(await indexes({ pageSize: 5, order: 'desc' }), ascending.toReversed());
  const [last] = await at(room).messages.list({ order: 'desc', limit: 1 });
  assert.equal((await at(room).messages(last.sid).update({ body: 'Changed' })).body, 'Changed');
  assert.equal(await at(room).messages(last.sid).remove(), true);
  await refused(404, 20404, at(room).messages(last.sid).fetch());
});

test('a conversation is changed, closed and deleted', async () => {
  const room = await conversation({ uniqueName: 'node-unique' });
  assert.equal((await v1.conversations('node-unique').fetch()).sid, room.sid);
  assert.equal((await at(room).update({ friendlyName: 'New' })).friendlyName, 'New');
  assert.equal((await at(room).update({ state: 'closed' })).state, 'closed');
  await refused(409, 50377, at(room).update({ friendlyName: 'Too late' }));
  assert.equal(await at(room).remove(), true);
  await refused(404, 20404, at(room).fetch());
});

test('how far a participant has read', async () => {
  const room = await conversation();
  const alice = await at(room).participants.create({ identity: 'alice' });
  await at(room).messages.create({ body: 'one' });
  assert.equal((await at(room).participants(alice.sid).update({ lastReadMessageIndex: 0 })).lastReadMessageIndex, 0);
  assert.equal((await at(room).participants('alice').fetch()).sid, alice.sid);
  assert.equal(await at(room).participants(alice.sid).remove(), true);
});

test('errors that users branch on', async () => {
  const [first, second] = [await conversation({ uniqueName: 'node-taken' }), await conversation()];
  await at(first).participants.create(bound('+15550200021', house.sms));
  const pair = await refused(409, 50416, at(second).participants.create(bound('+15550200021', house.sms)));
  assert.equal(/Conversation (CH[a-f0-9]+)/i.exec(pair.message)?.[1], first.sid, pair.message);
  await at(first).participants.create({ identity: 'alice' });
  const twice = await refused(409, 50433, at(first).participants.create({ identity: 'alice' }));
  assert.match(twice.message, /Participant already exists/);
  assert.match(twice.moreInfo, /^https?:\/\//);
  await refused(409, 50353, v1.conversations.create({ uniqueName: 'node-taken' }));
  const nowhere = v1.conversations(`CH${'0'.repeat(32)}`);
  assert.match((await refused(404, 50350, nowhere.messages.list())).message, /Conversation not found/);
  await refused(404, 20404, nowhere.fetch());
  await refused(404, 50500, at(first).messages(`IM${'0'.repeat(32)}`).deliveryReceipts.list());
  await refused(400, 50503, at(first).messages.create({}));
});

test('credentials', async () => {
  for (const [username, password] of [
    [house.account, 'wrong'],
    [`AC${'9'.repeat(32)}`, house.auth_token],
    [house.api_key, 'wrong'],
  ]) {
    await refused(401, 20003, client(username, password).conversations.v1.conversations.list());
  }
  const room = await client(house.api_key, house.api_secret).conversations.v1.conversations.create({});
  made.push(room);
  assert.equal(room.accountSid, house.account);
});

test('an HTTP client of one\'s own', async () => {
  const own = new twilio.RequestClient();
  const asked = [];
  const httpClient = {
    request(options) {
      asked.push(options.uri);
      return own.request({ ...options, uri: options.uri.replace('https://conversations.twilio.com', house.url) });
    },
  };
  const rewritten = twilio(house.account, house.auth_token, { httpClient });
  const room = await rewritten.conversations.v1.conversations.create({ friendlyName: 'Rewritten' });
  made.push(room);
  assert.equal((await rewritten.conversations.v1.conversations(room.sid).fetch()).friendlyName, 'Rewritten');
  assert.ok(asked[0].startsWith('https://conversations.twilio.com/v1/'));
});

test('services are silos', async () => {
  const { defaultChatServiceSid } = await v1.configuration().fetch();
  const service = await v1.services.create({ friendlyName: 'A silo' });
  const inside = await v1.services(service.sid).conversations.create({ uniqueName: 'node-same' });
  const outside = await conversation({ uniqueName: 'node-same' });
  assert.deepEqual([inside.chatServiceSid, outside.chatServiceSid], [service.sid, defaultChatServiceSid]);
  assert.equal((await v1.services(defaultChatServiceSid).conversations('node-same').fetch()).sid, outside.sid);
  await refused(404, 20404, v1.conversations(inside.sid).fetch());
  assert.deepEqual((await v1.services(service.sid).conversations.list()).map((each) => each.sid), [inside.sid]);
  assert.ok((await v1.services.list()).some((each) => each.sid === service.sid));
  assert.equal(await v1.services(service.sid).remove(), true);
  await refused(404, 20404, v1.services(service.sid).fetch());
});

test('a webhook signed by the Node library is accepted', async () => {
  const room = await conversation();
  await at(room).participants.create(bound('+15550200031', house.sms));
  const sid = `SM${'0'.repeat(31)}9`;
  const params = {
    MessageSid: sid, SmsSid: sid, SmsMessageSid: sid, AccountSid: house.twilio_sid, From: '+15550200031',
    To: house.sms, Body: 'from Node & friends ✓', NumMedia: '0', SmsStatus: 'received', ApiVersion: '2010-04-01',
  };
  const url = `${house.url}/webhooks/us`;
  const post = (token) =>
    fetch(url, {
      method: 'POST',
      headers: { 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(token, url, params) },
      body: new URLSearchParams(params),
    });
  assert.equal((await post('0'.repeat(32))).status, 403);
  assert.equal((await post(house.twilio_token)).status, 200);
  assert.deepEqual((await at(room).messages.list()).map((each) => each.body), ['from Node & friends ✓']);
});
