// Every resource, as `shared/resources.json` describes it, created, read, changed, listed in pages and deleted by the
// official library, by both shapes of its path; and every served operation of the description is called that way.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readFileSync } from 'node:fs';

import twilio from 'twilio';

import { Calls, camel, read } from './calls.mjs';

const house = JSON.parse(process.env.TRUNKLINE_HOUSE);
const data = read(house, 'resources.json');
// So many of each thing, read two at a time.
const MANY = 5;

// What has fewer names in it is the more particular one.
const operations = Object.entries(JSON.parse(readFileSync(house.description, 'utf8')).paths)
  .flatMap(([path, item]) => ['get', 'post', 'delete'].filter((method) => item[method]).map((method) => ({
    id: item[method].operationId,
    method,
    names: path.split('{').length,
    pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}/?$`),
  })))
  .sort((one, other) => one.names - other.names);

// The library's own HTTP client, which notes what it was asked for.
class Noting extends twilio.RequestClient {
  asked = new Set();

  request(options) {
    const path = options.uri.slice(house.url.length).split('?')[0];
    this.asked.add(operations.find(({ method, pattern }) => method === options.method && pattern.test(path))?.id);
    return super.request(options);
  }
}

const httpClient = new Noting();
const client = twilio(house.account, house.auth_token, { accountSid: house.account, httpClient });
client.conversations.baseUrl = house.url;
const calls = new Calls(client, { sms: house.sms });
await calls.states(data.states);
after(() => calls.at(['services', '$shop']).remove());

const reaches = (resource, explicit) => [undefined, explicit ? 'service' : 'account'].includes(resource.reach);
const sids = (records) => records.map((record) => record.sid);

async function refused(status, code, promise) {
  const error = await promise.then(() => assert.fail(`expected ${status} with ${code}`), (thrown) => thrown);
  assert.deepEqual([error.status, error.code], [status, code], error.message);
}

function shows(record, members) {
  for (const [name, expected] of Object.entries(members)) {
    assert.deepEqual(record[camel(name)], calls.filled(expected), name);
  }
}

async function item(way, resource) {
  const lists = calls.at(way);
  const made = [];
  for (let n = 0; n < MANY; n += 1) made.push(await calls.make({ at: way, do: 'create', with: resource.create }, { n }));
  const first = [...way, made[0].sid];
  shows(made[0], resource.made);
  shows(await calls.at(first).fetch(), resource.made);
  if (resource.update) {
    shows(await calls.make({ at: first, do: 'update', with: resource.update }), resource.updated);
    shows(await calls.at(first).fetch(), resource.updated);
  }
  const listed = await lists.list({ pageSize: 2 });
  assert.equal(new Set(sids(listed)).size, listed.length);
  for (const { sid } of made) assert.ok(sids(listed).includes(sid));
  assert.deepEqual(sids(await lists.list({ pageSize: 3 })), sids(listed));
  assert.deepEqual(sids(await lists.list({ limit: 3 })), sids(listed).slice(0, 3));
  shows(listed.find(({ sid }) => sid === made[0].sid), resource.updated ?? resource.made);
  for (const { sid } of made) {
    assert.equal(await calls.at([...way, sid]).remove(), true);
    await refused(404, 20404, calls.at([...way, sid]).fetch());
    await refused(404, 20404, calls.at([...way, sid]).remove());
  }
  const left = new Set(sids(await lists.list()));
  assert.ok(made.every(({ sid }) => !left.has(sid)));
}

async function setting(way, resource) {
  shows(await calls.make({ at: way, do: 'update', with: resource.update }), resource.updated);
  shows(await calls.at(way).fetch(), resource.updated);
  if (resource.back) await calls.make({ at: way, do: 'update', with: resource.back });
}

async function found(way, resource) {
  const listed = await calls.make({ at: way, do: 'list', with: resource.with });
  assert.equal(listed.length, 1);
  shows(listed[0], resource.shows);
  if (!resource.id) return;
  const one = [...way, listed[0][camel(resource.id)]];
  shows(await calls.at(one).fetch(), resource.shows);
  if (resource.update) {
    shows(await calls.make({ at: one, do: 'update', with: resource.update }), resource.updated);
    shows(await calls.at(one).fetch(), resource.updated);
  }
  if (resource.delete) {
    assert.equal(await calls.at(one).remove(), true);
    await refused(404, 20404, calls.at(one).fetch());
  }
}

for (const root of [[], ['services', '$shop']]) {
  const explicit = root.length > 0;
  const name = explicit ? 'explicit' : 'plain';
  test(`the scene, ${name}`, async () => {
    calls.known.person = `+1555050000${root.length}`;
    await calls.states(data.scene.map((call) => ({ ...call, at: [...root, ...call.at] })));
  });
  for (const [kind, walk] of Object.entries({ items: item, settings: setting, found })) {
    for (const resource of data[kind].filter((each) => reaches(each, explicit))) {
      test(`${resource.at.join(' ')}, ${name}`, () => walk([...root, ...resource.at], resource));
    }
  }
  test(`what is not kept, ${name}`, async () => {
    for (const call of data.extra) {
      const made = await calls.make({ ...call, at: [...root, ...call.at] });
      await calls.at([...root, 'conversations', made.sid]).remove();
    }
    for (const call of data.absent.filter((each) => reaches(each, explicit))) {
      const asked = calls.make({ ...call, at: [...root, ...call.at] });
      if (call.refused) await refused(...call.refused, asked);
      else assert.deepEqual(await asked, []);
    }
    await calls.at([...root, 'conversations', '$room']).remove();
  });
}

test('every served operation was called', (t) => {
  const left = new Set(data.not_served);
  assert.deepEqual([...left].filter((id) => httpClient.asked.has(id)), [], 'served, and named as not served');
  assert.deepEqual(operations.map(({ id }) => id).filter((id) => !left.has(id) && !httpClient.asked.has(id)), []);
  t.diagnostic(`counted: ${operations.length - left.size} of ${operations.length} operations by the library`);
});
