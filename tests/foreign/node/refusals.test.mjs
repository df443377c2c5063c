// Every refusal that has a code, each from a real state, by the official Node library: what is refused changes nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import twilio from 'twilio';

import { Calls, read } from './calls.mjs';

const house = JSON.parse(process.env.TRUNKLINE_HOUSE);
const LEAST = 60;

function client(password) {
  const made = twilio(house.account, password, { accountSid: house.account });
  made.conversations.baseUrl = house.url;
  return made;
}

const dump = () => execFileSync(process.env.TRUNKLINE_BIN, ['dump', '--config', house.config], { maxBuffer: 1 << 28 });

// A store in which nothing moves any more: the files that ran before may have left something to be cleaned up.
async function still() {
  for (let before = dump(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const now = dump();
    if (now.equals(before)) return now;
    before = now;
  }
}

test('every code', async (t) => {
  const data = read(house, 'refusals.json');
  const owner = client(house.auth_token);
  const { defaultChatServiceSid } = await owner.conversations.v1.configuration().fetch();
  const known = { default: defaultChatServiceSid, sms: house.sms, second: house.sms_second, whatsapp: house.whatsapp, template: house.template };
  const calls = { owner: new Calls(owner, known), stranger: new Calls(client('wrong'), known) };
  await calls.owner.states(data.states);
  const before = await still();
  const codes = new Set();
  for (const refusal of data.refusals) {
    const by = calls[refusal.as ?? 'owner'];
    let seen;
    if (refusal.raw) {
      const { status, said } = await by.raw(refusal);
      seen = { status, code: said.code, message: said.message };
    } else {
      seen = await (async () => by.make(refusal))().then(() => assert.fail(`taken: ${JSON.stringify(refusal)}`), (error) => error);
    }
    const shown = JSON.stringify(refusal).slice(0, 300);
    assert.deepEqual([seen.status, seen.code], [refusal.status, refusal.code], `${shown}: ${seen.message}`);
    assert.match(seen.message, new RegExp(by.filled(refusal.says ?? '.')), shown);
    assert.ok(dump().equals(before), `the refusal changed something: ${shown}`);
    codes.add(seen.code);
  }
  t.diagnostic(`counted: ${codes.size} distinct error codes`);
  assert.ok(codes.size >= LEAST, `${codes.size}`);
});
