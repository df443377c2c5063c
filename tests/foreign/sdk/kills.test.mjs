// The daemon is killed while many clients chat: all come back by themselves, at different moments, and end with the same
// ordered history as the store.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { House, eventually } from './house.mjs';
import { enter, leaveAll, next } from './people.mjs';

const CLIENTS = Number(process.env.TRUNKLINE_SDK_CLIENTS ?? 50);
const ROOMS = 5;
let house;

before(async () => { house = await House.open(); });

after(async () => {
  await leaveAll();
  await house.close();
  setTimeout(() => process.exit(), 1000).unref();
});

test(`${CLIENTS} clients lose nothing and see nothing twice when the daemon is killed`, async (context) => {
  const uri = `${house.url.replace('http', 'ws')}/v3/wsconnect`;
  const v1 = house.rest();
  const rooms = [];
  for (let room = 0; room < ROOMS; room += 1) rooms.push(await v1.conversations.create({ friendlyName: `Room ${room}` }));
  const people = [];
  for (let place = 0; place < CLIENTS; place += 1) {
    const identity = `p${place}`;
    const room = rooms[place % ROOMS].sid;
    await v1.conversations(room).participants.create({ identity });
    const client = await enter(await house.token(identity), uri);
    const conversation = await client.getConversationBySid(room);
    await conversation.getMessages();
    const seen = [];
    conversation.on('messageAdded', (message) => seen.push(message));
    people.push({ identity, client, conversation, room, seen, acknowledged: [] });
  }

  let talking = true;
  const talks = people.map(async (person) => {
    for (let line = 0; talking; line += 1) {
      // Unanswered ones are not sent again: nobody knows whether they were taken.
      const text = `${person.identity} ${line}`;
      await person.conversation.sendMessage(text).then(() => person.acknowledged.push(text), () => {});
      await pause(50 + Math.random() * 100);
    }
  });
  await eventually('some talk', () => people.every((person) => person.acknowledged.length >= 3), 60);
  const backs = people.map((person) => next(person.client, 'connectionStateChanged', (state) => state !== 'connected', 30)
    .then(() => next(person.client, 'connectionStateChanged', (state) => state === 'connected', 60))
    .then(() => Date.now()));
  await house.kill();
  await house.start();
  const up = Date.now();
  const moments = (await Promise.all(backs)).map((moment) => moment - up);
  const before = people.map((person) => person.acknowledged.length);
  await eventually('talk again', () => people.every((person, place) => person.acknowledged.length >= before[place] + 2), 60);
  talking = false;
  await Promise.all(talks);

  const last = Math.max(...moments);
  const spread = last - Math.min(...moments);
  context.diagnostic(`counted: ${CLIENTS} clients were back ${last} ms after the daemon, within ${spread} ms of each other`);
  assert.ok(last < 10_000, `the last came back after ${last} ms`);
  assert.ok(spread > 50, 'all at one moment');

  for (const { sid } of rooms) {
    const stored = (await v1.conversations(sid).messages.list()).map((message) => `${message.index} ${message.body}`);
    const inside = people.filter((person) => person.room === sid);
    const texts = stored.map((line) => line.slice(line.indexOf(' ') + 1));
    assert.equal(new Set(texts).size, texts.length, 'a message twice');
    for (const person of inside) {
      await eventually(`all of it at ${person.identity}`, () => person.seen.length >= stored.length);
      assert.deepEqual(person.seen.map((message) => `${message.index} ${message.body}`), stored, person.identity);
      assert.deepEqual(person.acknowledged.filter((text) => !texts.includes(text)), [], 'acknowledged and lost');
    }
  }
});
