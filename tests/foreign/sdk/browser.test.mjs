// The SDK's browser build in Chromium, on a page of another origin than the daemon's, across a reload of the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { House, PROXY } from './house.mjs';
import { enter, leave, leaveAll, next } from './people.mjs';

const require = createRequire(import.meta.url);
const built = readFileSync(join(dirname(require.resolve('sdk-3.0.1')), 'twilio-conversations.min.js'));
const PAGE = '<!doctype html><meta charset="utf-8"><title>Chat</title><script src="/sdk.js"></script>';
let house;
let pages;
let browser;
let page;
let origin;
const complaints = [];

before(async () => {
  house = await House.open();
  pages = createServer((request, response) => {
    const script = request.url === '/sdk.js';
    response.writeHead(request.url === '/favicon.ico' ? 204 : 200, { 'Content-Type': script ? 'text/javascript' : 'text/html' });
    response.end(script ? built : request.url === '/favicon.ico' ? '' : PAGE);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  origin = `http://localhost:${pages.address().port}`;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'],
  });
  page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(30_000);
  page.on('console', (line) => { if (line.type() === 'error') complaints.push(line.text()); });
  page.on('pageerror', (error) => complaints.push(String(error)));
});

after(async () => {
  await browser?.close();
  await leaveAll();
  pages.close();
  await house.close();
  setTimeout(() => process.exit(), 1000).unref();
});

// Connects in the page; the client stays there as `client`.
const come = async (identity) => page.evaluate(([token, uri]) => new Promise((resolve, reject) => {
  window.client = new Twilio.Conversations.Client(token, { Twilsock: { uri } });
  window.client.on('connectionError', (error) => reject(new Error(JSON.stringify(error))));
  window.client.on('initialized', () => resolve(window.client.user.identity));
}), [await house.token(identity), `${house.url.replace('http', 'ws')}/v3/wsconnect`]);

test('a page of another origin chats, is loaded again, and finds everything', async () => {
  const ada = await enter(await house.token('ada'), `${house.url.replace('http', 'ws')}/v3/wsconnect`);
  const room = await ada.createConversation({ friendlyName: 'Room' });
  await room.join();
  await room.getParticipants();
  await room.getMessages();
  await room.add('bob');
  await page.goto(origin);
  assert.equal(await come('bob'), 'bob');
  const heard = next(room, 'messageAdded', (message) => message.author === 'bob');
  await page.evaluate(async (sid) => {
    window.room = await window.client.getConversationBySid(sid);
    await window.room.getMessages();
    window.seen = [];
    window.room.on('messageAdded', (message) => window.seen.push(message.body));
    await window.room.sendMessage('from the page ü 😀', { page: 1 });
  }, room.sid);
  assert.deepEqual([(await heard).body, (await heard).attributes], ['from the page ü 😀', { page: 1 }]);
  await room.sendMessage('to the page');
  await page.waitForFunction(() => window.seen.includes('to the page'));

  await page.reload();
  await room.sendMessage('while the page was gone');
  assert.equal(await come('bob'), 'bob');
  const history = await page.evaluate(async (sid) => {
    window.room = await window.client.getConversationBySid(sid);
    return (await window.room.getMessages()).items.map((message) => [message.author, message.body]);
  }, room.sid);
  assert.deepEqual(history, [['bob', 'from the page ü 😀'], ['ada', 'to the page'], ['ada', 'while the page was gone']]);
  assert.deepEqual(complaints, []);
});

test('a page sends and fetches files, as browsers do', async () => {
  const ada = await enter(await house.token('ada'), `${house.url.replace('http', 'ws')}/v3/wsconnect`);
  const room = await ada.createConversation({ friendlyName: 'Files' });
  await room.join();
  await room.getParticipants();
  await room.getMessages();
  await room.add('bob');
  await page.goto(origin);
  await come('bob');
  const heard = next(room, 'messageAdded');
  await page.evaluate(async (sid) => {
    window.room = await window.client.getConversationBySid(sid);
    await window.room.getMessages();
    const form = new FormData();
    form.append('media', new Blob([new Uint8Array(100_000).fill(7)], { type: 'image/png' }), 'a ü.png');
    await window.room.sendMessage(form, { from: 'a form' });
  }, room.sid);
  const { attributes, media } = await heard;
  assert.deepEqual(attributes, { from: 'a form' });
  assert.deepEqual([media.filename, media.contentType, media.size], ['a ü.png', 'image/png', 100_000]);
  const bytes = Buffer.from(await (await fetch(await media.getContentTemporaryUrl())).arrayBuffer());
  assert.ok(bytes.equals(Buffer.alloc(100_000, 7)));

  // Several at once, and one that is called off.
  const several = next(room, 'messageAdded');
  await page.evaluate(async () => {
    const form = new FormData();
    form.append('media', new Blob(['in a form'], { type: 'text/plain' }), 'form.txt');
    await window.room.prepareMessage().setBody('two').addMedia(form)
      .addMedia({ contentType: 'text/plain', filename: 'blob.txt', media: new Blob(['in a blob']) }).buildAndSend();
    const off = window.room.prepareMessage().addMedia({ contentType: 'video/mp4', media: new Blob([new Uint8Array(20_000_000)]) }).build().send();
    off.cancel();
    await off.then(() => { throw new Error('it was sent'); }, () => {});
  });
  const links = await (await several).getTemporaryContentUrlsForAttachedMedia();
  const texts = await Promise.all([...links.values()].map(async (link) => (await fetch(link)).text()));
  assert.deepEqual(texts.sort(), ['in a blob', 'in a form']);

  // And the other way, from another origin than the page's.
  const index = await room.sendMessage({ contentType: 'application/pdf', media: Buffer.from('a document'), filename: 'd.pdf' });
  const read = await page.evaluate(async (at) => {
    const find = async () => (await window.room.getMessages(5, at)).items.find((each) => each.index === at);
    let message = await find();
    while (!message) message = await find();
    const url = await message.media.getContentTemporaryUrl();
    const answer = await fetch(url);
    return [message.type, message.media.filename, answer.headers.get('content-type'), await answer.text()];
  }, index);
  assert.deepEqual(read, ['media', 'd.pdf', 'application/pdf', 'a document']);
  assert.equal(index, 2);
  assert.deepEqual(complaints, []);
});

test('a page is told who types, who can be reached, and what became of a text', async () => {
  const rest = house.rest();
  await rest.services(await house.service()).configuration().update({ reachabilityEnabled: true });
  const room = await rest.conversations.create({ friendlyName: 'Live' });
  for (const identity of ['cyd', 'bob']) await rest.conversations(room.sid).participants.create({ identity });
  const phone = '+15557770003';
  await rest.conversations(room.sid).participants.create({ 'messagingBinding.address': phone, 'messagingBinding.proxyAddress': PROXY });
  await page.goto(origin);
  await come('bob');
  await page.evaluate(async (sid) => {
    window.room = await window.client.getConversationBySid(sid);
    await window.room.getParticipants();
    await window.room.getMessages();
    window.told = [];
    window.room.on('typingStarted', (who) => window.told.push(`${who.identity} types`));
    window.room.on('typingEnded', (who) => window.told.push(`${who.identity} stopped`));
    window.room.on('messageUpdated', ({ message, updateReasons }) => {
      const { delivered } = message.aggregatedDeliveryReceipt ?? {};
      if (updateReasons.includes('deliveryReceipt') && delivered === 'all') window.told.push(`${message.body} delivered`);
    });
    const cyd = await window.client.getUser('cyd');
    cyd.on('updated', ({ updateReasons }) => {
      if (updateReasons.includes('reachabilityOnline')) window.told.push(`cyd ${cyd.isOnline ? 'online' : 'offline'}`);
    });
  }, room.sid);
  const told = (what) => page.waitForFunction((awaited) => window.told.includes(awaited), what);
  const cyd = await enter(await house.token('cyd'), `${house.url.replace('http', 'ws')}/v3/wsconnect`);
  await told('cyd online');
  const cyds = await cyd.getConversationBySid(room.sid);
  await cyds.getParticipants();
  await cyds.typing();
  await told('cyd types');
  await cyds.sendMessage('done');
  await told('cyd stopped');
  const typing = next(cyds, 'typingStarted', (who) => who.identity === 'bob');
  await page.evaluate(async () => {
    await window.room.typing();
    await window.room.sendMessage('to the phone');
  });
  await typing;
  await house.tells(await house.sentTo(phone, 'to the phone'), 'delivered');
  await told('to the phone delivered');
  await leave(cyd);
  await told('cyd offline');
  assert.deepEqual(complaints, []);
});

test('a page whose origin is not allowed does not connect', async () => {
  house.configure({ origins: ['https://app.example.com'] });
  house.reload();
  await page.goto(origin);
  const uri = `${house.url.replace('http', 'ws')}/v3/wsconnect`;
  const outcome = (place) => page.evaluate((to) => new Promise((resolve) => {
    const socket = new WebSocket(to);
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
  }), place);
  assert.equal(await outcome(uri), 'refused');
  house.configure({ origins: ['https://app.example.com', origin] });
  house.reload();
  assert.equal(await outcome(uri), 'open');
});
