// The SDK's browser build in Chromium, on a page of another origin than the daemon's, across a reload of the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { House } from './house.mjs';
import { enter, leaveAll, next } from './people.mjs';

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
