// The real program with a store of its own, and Twilio played for it, for as long as a test file runs.
import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import { connect, createServer as listen } from 'node:net';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import twilio from 'twilio';

const PROGRAM = process.env.TRUNKLINE_BIN;
export const ACCOUNT = `AC${'1'.padStart(32, '0')}`;
const AUTH_TOKEN = 'the-first-auth-token-of-the-account';
export const KEY = `SK${'1'.padStart(32, '0')}`;
export const SECRET = 'the-secret-of-the-api-key-of-32-letters';
// A key that tests take away, and one that the daemon never had.
export const SECOND_KEY = `SK${'2'.padStart(32, '0')}`;
const SECOND_SECRET = 'the-secret-of-the-second-api-key-here';
export const PROXY = '+15550001111';
export const SECOND_PROXY = '+15550001112';
export const TEMPLATE = `HX${'e'.repeat(32)}`;
const TWILIO_SID = `AC${'a'.repeat(32)}`;
const TWILIO_TOKEN = '12345678901234567890123456789012';

export async function eventually(what, check, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${seconds} s`);
    await pause(20);
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = listen().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export class House {
  sent = [];

  files = [];

  static async open() {
    const house = new House();
    await house.begin();
    return house;
  }

  async begin() {
    this.folder = mkdtempSync(join(tmpdir(), 'trunkline-sdk-'));
    this.port = await freePort();
    this.adminPort = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    this.provider = createServer((request, response) => this.#twilio(request, response));
    await new Promise((resolve) => this.provider.listen(0, '127.0.0.1', resolve));
    this.configure();
    await this.start();
  }

  // Writes the configuration; a running daemon takes it with `reload`.
  configure({ keys = [[KEY, SECRET], [SECOND_KEY, SECOND_SECRET]], socket = true, origins = ['*'] } = {}) {
    const { port: provider } = this.provider.address();
    writeFileSync(join(this.folder, 'trunkline.toml'), `
[server]
listen = "127.0.0.1:${this.port}"
admin_listen = "127.0.0.1:${this.adminPort}"
admin_socket = "${this.folder}/admin.sock"
public_url = "${this.url}"
watch = false
[store]
path = "${this.folder}/store"
keep_free = "1MiB"
[[account]]
sid = "${ACCOUNT}"
auth_token = "${AUTH_TOKEN}"
${keys.map(([sid, secret]) => `[[account.api_key]]\nsid = "${sid}"\nsecret = "${secret}"`).join('\n')}
[[template]]
sid = "${TEMPLATE}"
body = "Hi {{1}}, your order is ready."
[[adapter]]
name = "us"
kind = "twilio"
rate = { per_second = 500, burst = 50 }
[adapter.settings]
account_sid = "${TWILIO_SID}"
auth_token = "${TWILIO_TOKEN}"
base_url = "http://127.0.0.1:${provider}"
[[adapter.proxy]]
address = "${PROXY}"
[[adapter.proxy]]
address = "${SECOND_PROXY}"
${socket ? `[[adapter]]\nname = "web"\nkind = "sdk"\n[adapter.settings]\nallowed_origins = ${JSON.stringify(origins)}` : ''}
`);
  }

  async start() {
    const log = openSync(join(this.folder, 'log'), 'a');
    this.daemon = spawn(PROGRAM, ['serve', '--config', join(this.folder, 'trunkline.toml')], { stdio: ['ignore', log, log] });
    this.ended = new Promise((resolve) => this.daemon.once('exit', resolve));
    await eventually('readiness', async () => {
      if (this.daemon.exitCode !== null) throw new Error(`the daemon left:\n${this.said()}`);
      return fetch(`http://127.0.0.1:${this.adminPort}/readyz`).then((answer) => answer.ok, () => false);
    }, 60);
  }

  // Ends it as the kernel would.
  async kill() {
    this.daemon.kill('SIGKILL');
    await this.ended;
  }

  reload() {
    this.#run(['reload', '--socket', join(this.folder, 'admin.sock')]);
  }

  // The whole ledger, while the daemon runs.
  dump() {
    return this.#run(['dump', '--config', join(this.folder, 'trunkline.toml')]);
  }

  // Puts a dump in the place of the store; the daemon must not be running.
  restore(saved) {
    rmSync(join(this.folder, 'store'), { recursive: true });
    this.#run(['restore', '--config', join(this.folder, 'trunkline.toml')], saved);
  }

  #run(args, input) {
    const done = spawnSync(PROGRAM, args, { encoding: 'utf8', input, maxBuffer: 1 << 30 });
    if (done.status !== 0) throw new Error(`${args[0]} left with ${done.status}: ${done.stderr}`);
    return done.stdout;
  }

  said() {
    return readFileSync(join(this.folder, 'log'), 'utf8').slice(-8000);
  }

  async close() {
    this.daemon.kill('SIGTERM');
    await this.ended;
    this.provider.closeAllConnections();
    this.provider.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  rest() {
    const client = twilio(ACCOUNT, AUTH_TOKEN, { accountSid: ACCOUNT });
    client.conversations.baseUrl = this.url;
    return client.conversations.v1;
  }

  async service() {
    this.known ??= (await this.rest().configuration().fetch()).defaultChatServiceSid;
    return this.known;
  }

  // A token as the official library makes them.
  async token(identity, { ttl = 3600, key = KEY, secret = key === KEY ? SECRET : SECOND_SECRET, service } = {}) {
    const made = new twilio.jwt.AccessToken(ACCOUNT, key, secret, { identity, ttl });
    made.addGrant(new twilio.jwt.AccessToken.ChatGrant({ serviceSid: service ?? (await this.service()) }));
    return made.toJwt();
  }

  async removeFile(sid) {
    const credentials = Buffer.from(`${ACCOUNT}:${AUTH_TOKEN}`).toString('base64');
    const headers = { Authorization: `Basic ${credentials}` };
    const answer = await fetch(`${this.url}/v1/Services/${await this.service()}/Media/${sid}`, { method: 'DELETE', headers });
    if (answer.status !== 204) throw new Error(`a file's removal was answered with ${answer.status}`);
  }

  // One as the command makes them.
  command(...args) {
    return this.#run(['token', '--config', join(this.folder, 'trunkline.toml'), ...args]).trim();
  }

  async metric(name) {
    const text = await fetch(`http://127.0.0.1:${this.adminPort}/metrics`).then((answer) => answer.text());
    return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.split(' ')[1]);
  }

  #twilio(request, response) {
    if (request.method === 'GET') {
      // What came with a text of somebody's, by its number.
      const [type, bytes] = this.files[Number(request.url.split('/').at(-1))] ?? [];
      response.writeHead(bytes ? 200 : 404, { 'Content-Type': type ?? 'text/plain' });
      response.end(bytes);
      return;
    }
    let body = '';
    request.on('data', (part) => { body += part; });
    request.on('end', () => {
      const form = new URLSearchParams(body);
      const sid = `SM${this.sent.length.toString(16).padStart(32, '0')}`;
      const media = form.getAll('MediaUrl');
      this.sent.push({ sid, to: form.get('To'), from: form.get('From'), body: form.get('Body'), media, callback: form.get('StatusCallback') });
      response.writeHead(201, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ sid, status: 'queued', body: form.get('Body'), num_segments: '1' }));
    });
  }

  // The send of a text to somebody, once it came.
  sentTo(to, body) {
    return eventually(`${body} to ${to}`, () => this.sent.find((sent) => sent.to === to && sent.body === body));
  }

  async #webhook(url, form) {
    const signature = twilio.getExpectedTwilioSignature(TWILIO_TOKEN, url, form);
    const headers = { 'X-Twilio-Signature': signature };
    const answer = await fetch(url, { method: 'POST', headers, body: new URLSearchParams(form) });
    if (!answer.ok) throw new Error(`a webhook was answered with ${answer.status}`);
  }

  // Somebody writes a text, with files, each with its type.
  writes(from, body, files = [], to = PROXY) {
    this.received = (this.received ?? 0) + 1;
    const sid = `SM${(0xf0000 + this.received).toString(16).padStart(32, '0')}`;
    const form = { MessageSid: sid, SmsSid: sid, AccountSid: TWILIO_SID, From: from, To: to, Body: body, NumMedia: `${files.length}`, NumSegments: '1', ApiVersion: '2010-04-01', SmsStatus: 'received' };
    for (const [number, [type, bytes]] of files.entries()) {
      form[`MediaUrl${number}`] = `http://127.0.0.1:${this.provider.address().port}/files/${this.files.push([type, bytes]) - 1}`;
      form[`MediaContentType${number}`] = type;
    }
    return this.#webhook(`${this.url}/webhooks/us`, form);
  }

  // The provider says how a send went.
  tells(sent, status, error) {
    const form = { MessageSid: sent.sid, SmsSid: sent.sid, AccountSid: TWILIO_SID, MessageStatus: status, SmsStatus: status, From: sent.from, To: sent.to, ApiVersion: '2010-04-01' };
    if (error) form.ErrorCode = `${error}`;
    return this.#webhook(sent.callback, form);
  }
}

// A line between client and daemon that can be cut.
export class Line {
  static async to(port) {
    const line = new Line();
    line.ends = new Set();
    line.open = true;
    line.server = listen((near) => {
      near.on('error', () => {});
      if (!line.open) return near.destroy();
      const far = connect(port, '127.0.0.1');
      far.on('error', () => {});
      near.pipe(far).pipe(near);
      for (const [one, other] of [[near, far], [far, near]]) {
        line.ends.add(one);
        one.on('close', () => { line.ends.delete(one); other.destroy(); });
      }
      return undefined;
    });
    await new Promise((resolve) => line.server.listen(0, '127.0.0.1', resolve));
    line.uri = `ws://127.0.0.1:${line.server.address().port}/v3/wsconnect`;
    return line;
  }

  // Cuts what is open; nothing new comes through before `mend`.
  cut() {
    this.open = false;
    for (const end of this.ends) end.destroy();
  }

  mend() {
    this.open = true;
  }

  close() {
    this.cut();
    this.server.close();
  }
}
