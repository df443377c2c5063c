// Clients of one house, in the version of the SDK that TRUNKLINE_SDK names; what is not shut down by a test is at its end.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import { eventually } from './house.mjs';

// From the newest on.
export const VERSIONS = ['3.0.1', '2.6.5', '2.0.1'];
export const VERSION = process.env.TRUNKLINE_SDK ?? VERSIONS[0];
export const sdk = createRequire(import.meta.url)(`sdk-${VERSION}`);
export const { Client } = sdk;

// Whether this version has a method that came later.
export const has = (what, method) => typeof what[method] === 'function';

const open = new Set();

export function connect(token, uri) {
  const client = new Client(token, { Twilsock: { uri }, logLevel: 'silent' });
  open.add(client);
  return client;
}

export async function enter(token, uri) {
  const client = connect(token, uri);
  const state = await next(client, 'stateChanged');
  if (state !== 'initialized') throw new Error(`${state} instead of initialized`);
  // What the SDK still asks for then would be rejected with nobody to hear it when its client is let down on purpose.
  await client.getSubscribedConversations();
  return client;
}

// How a client is refused that comes with this token: what it says of the connection.
export async function refusal(token, uri) {
  const client = connect(token, uri);
  const said = next(client, 'connectionError');
  const failed = Client.initFailed && next(client, 'initFailed');
  const state = await next(client, 'stateChanged');
  const { terminal, httpStatusCode, errorCode } = await said;
  if (failed) assert.equal((await failed).error.terminal, true);
  await leave(client);
  return [state, terminal, httpStatusCode, errorCode];
}

export async function leave(client) {
  open.delete(client);
  client.removeAllListeners();
  await client.shutdown();
}

export async function leaveAll() {
  for (const client of [...open]) await leave(client);
}

// The next event of this name for which `fits` holds; asked for before what causes it.
export function next(who, event, fits = () => true, seconds = 15) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      who.off(event, heard);
      reject(new Error(`${event} did not come within ${seconds} s`));
    }, seconds * 1000);
    function heard(what) {
      if (!fits(what)) return;
      clearTimeout(late);
      who.off(event, heard);
      resolve(what);
    }
    who.on(event, heard);
  });
}

// The same event at everybody who is told of it.
export const everywhere = (those, event, fits) => Promise.all(those.map((who) => next(who, event, fits)));

// The next update of something for this reason.
export const updated = (who, event, reason, fits = () => true) =>
  next(who, event, (told) => told.updateReasons.includes(reason) && fits(told));

// A conversation with everything of it loaded: from then on all is told. Of one that goes away before, the SDK leaves
// rejected promises behind.
export async function loaded(conversation) {
  await conversation.getParticipants();
  await conversation.getMessages();
  return conversation;
}

// The message with an index, once the client has it: another's event says nothing of one's own cache.
export const found = (conversation, index) => eventually(`message ${index}`, async () => {
  const { items } = await conversation.getMessages(5, index);
  return items.find((message) => message.index === index);
});

// Every item of a paginator, from where it stands.
export async function all(page, turn = 'nextPage', more = 'hasNextPage') {
  const items = [...page.items];
  while (page[more]) {
    page = await page[turn]();
    if (turn === 'nextPage') items.push(...page.items);
    else items.unshift(...page.items);
  }
  return items;
}
