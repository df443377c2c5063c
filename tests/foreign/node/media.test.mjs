// Files beside the official Node library: uploaded over HTTP, which it cannot do, and carried by messages, which it can.
// `tests/foreign/python/serve.py` runs this with a daemon and its providers around it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import twilio from 'twilio';

const house = JSON.parse(process.env.TRUNKLINE_HOUSE);
const client = twilio(house.account, house.auth_token, { accountSid: house.account });
client.conversations.baseUrl = house.url;
const v1 = client.conversations.v1;
const made = [];
after(() => Promise.all(made.map((room) => v1.conversations(room.sid).remove().catch(() => {}))));

const authorization = `Basic ${Buffer.from(`${house.account}:${house.auth_token}`).toString('base64')}`;
const asked = (method, path, more = {}) =>
  fetch(house.url + path, { method, ...more, headers: { authorization, ...more.headers } });
// The daemon is known to the world by another name than where it listens here.
const linked = (url, more) => fetch(house.url + new URL(url).pathname, more);
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGMAAQAABQABDQottAAAAABJRU5ErkJggg==', 'base64');

async function room() {
  const created = await v1.conversations.create({ friendlyName: 'Files' });
  made.push(created);
  return v1.conversations(created.sid);
}

test('a file is uploaded, carried, fetched and deleted', async () => {
  const service = (await v1.configuration().fetch()).defaultChatServiceSid;
  const path = `/v1/Services/${service}/Media`;
  const upload = await asked('POST', `${path}?Filename=cat.png`, { body: PNG, headers: { 'content-type': 'image/png' } });
  assert.equal(upload.status, 201);
  const record = await upload.json();
  assert.deepEqual([record.size, record.content_type, record.filename], [PNG.length, 'image/png', 'cat.png']);

  const here = await room();
  const said = await here.messages.create({ body: 'look', mediaSid: record.sid });
  const shown = [{ sid: record.sid, size: PNG.length, content_type: 'image/png', filename: 'cat.png', category: 'media' }];
  const [listed] = await here.messages.list();
  for (const message of [said, await here.messages(said.sid).fetch(), listed]) {
    assert.deepEqual([message.media, message.body], [shown, 'look']);
  }
  await assert.rejects(here.messages.create({ mediaSid: record.sid }), { status: 409, code: 50508 });
  await assert.rejects(here.messages.create({ mediaSid: `ME${'0'.repeat(32)}` }), { status: 404, code: 50507 });

  const content = await asked('GET', `${path}/${record.sid}/Content`);
  assert.deepEqual(Buffer.from(await content.arrayBuffer()), PNG);
  const link = record.links.content_direct_temporary;
  const fetched = await linked(link);
  assert.equal(fetched.headers.get('content-type'), 'image/png');
  assert.deepEqual(Buffer.from(await fetched.arrayBuffer()), PNG);
  const part = await linked(link, { headers: { range: 'bytes=1-3' } });
  assert.deepEqual([part.status, await part.text()], [206, 'PNG']);

  assert.equal((await asked('DELETE', `${path}/${record.sid}`)).status, 204);
  assert.equal((await asked('GET', `${path}/${record.sid}`)).status, 404);
  assert.equal((await linked(link)).status, 404);
  // The message says what it carried all the same.
  assert.deepEqual((await here.messages(said.sid).fetch()).media, shown);
});

test('a form is an upload too', async () => {
  const service = (await v1.configuration().fetch()).defaultChatServiceSid;
  const form = new FormData();
  form.append('Category', 'media');
  form.append('file', new Blob([PNG], { type: 'image/png' }), 'caf\u00e9 "1".png');
  const upload = await asked('POST', `/v1/Services/${service}/Media`, { body: form });
  const record = await upload.json();
  assert.deepEqual([upload.status, record.filename, record.size], [201, 'caf\u00e9 "1".png', PNG.length]);
  const said = await (await room()).messages.create({ mediaSid: record.sid });
  assert.deepEqual([said.body, said.media[0].sid], [null, record.sid]);
});
