// What our simulators sign, as Node libraries that nobody here wrote judge it.
// TRUNKLINE_SIGNED names the file that the Rust test `signed` wrote.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import twilio from 'twilio';
import { WhatsAppAPI } from 'whatsapp-api-js';

const signed = JSON.parse(readFileSync(process.env.TRUNKLINE_SIGNED, 'utf8'));
const header = (request, name) => request.headers.find(([key]) => key.toLowerCase() === name)?.[1];
const of = (adapter) => {
  const found = signed.requests.filter((each) => each.adapter === adapter);
  assert.ok(found.length > 3, `too few requests of ${adapter}`);
  return found;
};

const about = { token: 'token', appSecret: signed.app_secret, webhookVerifyToken: 'verify', v: 'v23.0' };

test('twilio validates what the Twilio simulator signs', () => {
  for (const request of of('twilio')) {
    const params = Object.fromEntries(new URLSearchParams(request.body));
    const signature = header(request, 'x-twilio-signature');
    assert.ok(twilio.validateRequest(signed.twilio_token, signature, request.url, params), request.what);
    assert.ok(!twilio.validateRequest('0'.repeat(32), signature, request.url, params), request.what);
  }
});

test('twilio validates the event webhooks that we sign', () => {
  assert.equal(signed.events.length, 4 * 11);
  for (const { kind, what, url, params = [], body, signature } of signed.events) {
    if (kind === 'json') {
      assert.ok(twilio.validateRequestWithBody(signed.twilio_token, signature, url, body), url);
      assert.ok(!twilio.validateRequestWithBody(signed.twilio_token, signature, url, `${body} `), url);
      assert.ok(!twilio.validateRequestWithBody('0'.repeat(32), signature, url, body), url);
      continue;
    }
    const fields = {};
    for (const [name, value] of params) {
      fields[name] = name in fields ? [fields[name], value].flat() : value;
    }
    assert.ok(twilio.validateRequest(signed.twilio_token, signature, url, fields), `${kind} ${what} ${url}`);
    assert.ok(!twilio.validateRequest('0'.repeat(32), signature, url, fields), `${kind} ${what} ${url}`);
  }
});

test('whatsapp-api-js verifies what the WhatsApp and Messenger simulators sign', async () => {
  const api = new WhatsAppAPI(about);
  const other = new WhatsAppAPI({ ...about, appSecret: 'another' });
  for (const request of [...of('whatsapp'), ...of('messenger')]) {
    const signature = header(request, 'x-hub-signature-256');
    assert.ok(await api.verifyRequestSignature(request.body, signature), request.what);
    assert.ok(!(await api.verifyRequestSignature(`${request.body} `, signature)), request.what);
    assert.ok(!(await other.verifyRequestSignature(request.body, signature)), request.what);
  }
});

test('whatsapp-api-js reads the messages and statuses of the WhatsApp simulator', async () => {
  const api = new WhatsAppAPI(about);
  const heard = [];
  api.on.message = ({ phoneID, from, message, name }) => {
    heard.push({ what: 'message', phoneID, from, id: message.id, text: message.text.body, name });
  };
  api.on.status = ({ phoneID, phone, status, id }) => {
    heard.push({ what: 'status', phoneID, phone, status, id });
  };
  for (const request of of('whatsapp').filter((each) => each.plain)) {
    heard.length = 0;
    await api.post(JSON.parse(request.body), request.body, header(request, 'x-hub-signature-256'));
    assert.equal(heard.length, 1, request.what);
    const [said] = heard;
    assert.equal(said.phoneID, signed.phone_number_id);
    if (said.what === 'message') {
      assert.deepEqual([said.text, said.id, `whatsapp:+${said.from}`], [request.text, request.id, request.person]);
    } else {
      assert.deepEqual([said.status, said.id, `whatsapp:+${said.phone}`], [request.status, request.id, request.person]);
    }
  }
});
