// Many clients chat while the daemon is killed, and while its store becomes an older one: all come back by themselves, at
// different moments, and end with the same ordered history as the store.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { House, eventually } from './house.mjs';
import { enter, leaveAll, loaded, next } from './people.mjs';

const CLIENTS = Number(process.env.TRUNKLINE_SDK_CLIENTS ?? 200);
const IN_A_ROOM = 10;
const ROOMS = Math.ceil(CLIENTS / IN_A_ROOM);
// Seconds in which everybody has to be back.
const LATEST = 10;
let house;
let rooms;
let people;

// Somebody in a room: what their client holds of it, as events made it, and what they were told was taken.
class Person {
  held = new Map();

  // What was told that cannot be: a message twice, one that is not there changed.
  wrong = [];

  acknowledged = [];

  constructor(identity, room) {
    Object.assign(this, { identity, room, line: 0 });
  }

  async enter() {
    this.client = await enter(await house.token(this.identity), `${house.url.replace('http', 'ws')}/v3/wsconnect`);
    this.conversation = await this.client.getConversationBySid(this.room);
    assert.deepEqual((await this.conversation.getMessages()).items, []);
    this.conversation.on('messageAdded', (message) => {
      if (this.held.has(message.index)) this.wrong.push(`${message.index} twice`);
      this.held.set(message.index, message);
    });
    this.conversation.on('messageRemoved', (message) => {
      if (!this.held.delete(message.index)) this.wrong.push(`${message.index} removed without being there`);
    });
    return this;
  }

  // In the order in which it came, which must be that of the store.
  get history() {
    return [...this.held.values()].map((message) => `${message.index} ${message.sid} ${message.body}`);
  }

  async say() {
    const text = `${this.identity} ${this.line}`;
    this.line += 1;
    // Unanswered ones are not sent again: nobody knows whether they were taken.
    await this.conversation.sendMessage(text).then(() => this.acknowledged.push(text), () => {});
  }
}

const stored = async (room) => (await house.rest().conversations(room).messages.list())
  .map((message) => `${message.index} ${message.sid} ${message.body}`);
const text = (line) => line.split(' ').slice(2).join(' ');

before(async () => {
  house = await House.open();
  const v1 = house.rest();
  rooms = await Promise.all(Array.from({ length: ROOMS }, (_, room) => v1.conversations.create({ friendlyName: `Room ${room}` })));
  people = Array.from({ length: CLIENTS }, (_, place) => new Person(`p${place}`, rooms[place % ROOMS].sid));
  for (let from = 0; from < CLIENTS; from += 20) {
    await Promise.all(people.slice(from, from + 20).map(async (person) => {
      await v1.conversations(person.room).participants.create({ identity: person.identity });
      await person.enter();
    }));
  }
});

after(async () => {
  await leaveAll();
  await house.close();
  setTimeout(() => process.exit(), 1000).unref();
});

// Everybody's way back, from the moment at which the daemon is there again; to be begun before it goes.
function returns() {
  const backs = people.map(({ client }) => next(client, 'connectionStateChanged', (state) => state !== 'connected', 60)
    .then(() => next(client, 'connectionStateChanged', (state) => state === 'connected', 60))
    .then(() => Date.now()));
  return async (up, context) => {
    const moments = (await Promise.all(backs)).map((moment) => moment - up).sort((one, other) => one - other);
    const at = (share) => moments[Math.floor(share * (moments.length - 1))];
    context.diagnostic(`counted: ${CLIENTS} clients were back ${at(0)} to ${at(1)} ms after the daemon, half of them within ${at(0.5)} ms`);
    assert.ok(at(1) < LATEST * 1000, `the last came back after ${at(1)} ms`);
    // Nine of ten take turns over some time: a herd would all be there in a moment.
    assert.ok(at(0.95) - at(0.05) > 100, `nine of ten came within ${at(0.95) - at(0.05)} ms`);
  };
}

// Everybody's client holds what the store does, in its order, and nothing that was acknowledged is lost.
async function agree(allowed = () => false) {
  for (const { sid } of rooms) {
    const there = await stored(sid);
    const texts = there.map(text);
    assert.equal(new Set(texts).size, texts.length, 'a message twice');
    for (const person of people.filter(({ room }) => room === sid)) {
      await eventually(`all of it at ${person.identity}`, () => person.history.length === there.length);
      assert.deepEqual(person.history, there, person.identity);
      assert.deepEqual(person.wrong, [], person.identity);
      const lost = person.acknowledged.filter((said) => !texts.includes(said) && !allowed(said));
      assert.deepEqual(lost, [], 'acknowledged and lost');
    }
  }
}

test(`${CLIENTS} clients lose nothing and see nothing twice when the daemon is killed`, async (context) => {
  let talking = true;
  // A hundred messages a second in all, however many talk.
  const breath = CLIENTS * 10;
  const talks = people.map(async (person) => {
    while (talking) {
      await pause(breath * (0.5 + Math.random()));
      await person.say();
    }
  });
  const spoke = (least) => people.every((person, place) => person.acknowledged.length >= least(place));
  await eventually('some talk', () => spoke(() => 3), 60);
  const back = returns();
  await house.kill();
  await house.start();
  await back(Date.now(), context);
  const before = people.map((person) => person.acknowledged.length);
  await eventually('talk again', () => spoke((place) => before[place] + 2), 60);
  talking = false;
  await Promise.all(talks);
  await agree();
  context.diagnostic(`counted: ${people.reduce((sum, person) => sum + person.acknowledged.length, 0)} messages at ${IN_A_ROOM} clients each, in order`);
});

test(`${CLIENTS} clients end with what a store has that was restored to a point before they came`, async (context) => {
  const joined = await house.rest().conversations.create({ friendlyName: 'Joined, and lost' });
  const saved = house.dump();
  // What happens from here on is lost with the store, and its clients hold it.
  const lost = new Set();
  await Promise.all(people.map(async (person) => {
    lost.add(`${person.identity} ${person.line}`);
    await person.say();
  }));
  await agree();
  const [person] = people;
  const first = [...person.held.values()].find(({ author }) => author === person.identity);
  const { body } = first;
  await first.updateBody('changed, and lost');
  await house.rest().conversations(person.room).update({ friendlyName: 'Renamed, and lost' });
  const made = await house.rest().conversations.create({ friendlyName: 'Made, and lost' });
  for (const { sid } of [made, joined]) {
    const met = next(person.client, 'conversationJoined', (one) => one.sid === sid);
    await house.rest().conversations(sid).participants.create({ identity: person.identity });
    await loaded(await met);
  }
  await eventually('the change', () => first.body === 'changed, and lost' && person.conversation.friendlyName === 'Renamed, and lost');

  const back = returns();
  const gone = [
    next(person.client, 'conversationRemoved', ({ sid }) => sid === made.sid, 60),
    next(person.client, 'conversationLeft', ({ sid }) => sid === joined.sid, 60),
  ];
  await house.kill();
  house.restore(saved);
  await house.start();
  // Indexes that lost messages had are given to others at once, before anybody is back.
  for (const { sid } of rooms) await house.rest().conversations(sid).messages.create({ author: 'desk', body: 'in their place' });
  await back(Date.now(), context);
  await Promise.all(gone);
  await Promise.all(people.map((each) => each.say()));
  await agree((said) => lost.has(said));
  assert.deepEqual([first.body, person.conversation.friendlyName], [body, 'Room 0']);
  for (const { held } of people) {
    assert.ok([...held.values()].some((message) => message.body === 'in their place'));
  }
});
