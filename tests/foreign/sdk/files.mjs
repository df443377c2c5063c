// Files: sent in every way that the SDK has, fetched by their links, and gone when they are removed.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { PROXY, eventually } from './house.mjs';
import { enter, found, has, leave, next, sdk } from './people.mjs';
import { ada, bobs, house, room, uri } from './scene.mjs';

const text = (words) => ({ contentType: 'text/plain', media: Buffer.from(words) });
const fetched = async (url) => Buffer.from(await (await fetch(url)).arrayBuffer());
const heard = () => next(bobs, 'messageAdded', (message) => message.type === 'media');

test('a file is sent, described, and fetched by whoever has its link', async () => {
  const bytes = randomBytes(3_000_000);
  const there = heard();
  const index = await room.sendMessage({ contentType: 'application/pdf', media: bytes, filename: 'a ü 😀.pdf' }, { kind: 'file' });
  const message = await there;
  assert.deepEqual([message.index, message.attributes, message.body], [index, { kind: 'file' }, null]);
  const [media] = message.attachedMedia;
  assert.match(media.sid, /^ME[0-9a-f]{32}$/);
  assert.deepEqual([media.filename, media.contentType, media.size, media.category], ['a ü 😀.pdf', 'application/pdf', bytes.length, 'media']);
  assert.equal(message.media.sid, media.sid);
  const url = await media.getContentTemporaryUrl();
  const answer = await fetch(url);
  assert.equal(answer.headers.get('content-type'), 'application/pdf');
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
  // In pieces, as players ask for it.
  const piece = await fetch(url, { headers: { Range: 'bytes=10-19' } });
  assert.equal(piece.status, 206);
  assert.ok(Buffer.from(await piece.arrayBuffer()).equals(bytes.subarray(10, 20)));
  // Whoever sent it finds the same, read anew.
  const sender = await enter(await house.token('ada'), uri());
  const [own] = (await (await sender.getConversationBySid(room.sid)).getMessages(1)).items;
  assert.ok((await fetched(await own.media.getContentTemporaryUrl())).equals(bytes));
  await leave(sender);
});

test('a message carries several files, and all their links come at once', async () => {
  const there = heard();
  const { MessageBuilder } = sdk;
  const builder = room.prepareMessage();
  assert.ok(builder instanceof MessageBuilder);
  const unsent = builder.setBody('three').setAttributes({ three: 3 })
    .addMedia(text('one')).addMedia({ ...text('two'), filename: 'two.txt' }).addMedia(text('three')).build();
  assert.equal(unsent.mediaContent.length, 3);
  await unsent.send();
  const message = await there;
  assert.deepEqual([message.body, message.attributes], ['three', { three: 3 }]);
  const kinds = message.getMediaByCategory(['media']);
  assert.deepEqual(kinds.map((each) => each.size), [3, 3, 5]);
  assert.deepEqual(message.getMediaByCategory(['body']) ?? [], []);
  const sids = message.attachedMedia.map((each) => each.sid);
  const attached = await message.attachTemporaryUrlsFor(message.attachedMedia);
  if (has(attached[1], 'getCachedTemporaryUrl')) {
    assert.equal(String(await fetched(await attached[1].getCachedTemporaryUrl())), 'two');
  }
  assert.equal(String(await fetched(await attached[2].getContentTemporaryUrl())), 'three');
  if (has(message, 'getMediaByCategories')) {
    assert.deepEqual(message.getMediaByCategories(['media', 'history']).map((each) => each.sid), sids);
    for (const links of [
      await message.getTemporaryContentUrlsForAttachedMedia(),
      await message.getTemporaryContentUrlsForMedia(message.attachedMedia),
      await message.getTemporaryContentUrlsForMediaSids(sids),
      await ada.getTemporaryContentUrlsForMedia(message.attachedMedia),
      await ada.getTemporaryContentUrlsForMediaSids(sids),
    ]) {
      assert.deepEqual([...links.keys()].sort(), [...sids].sort());
      assert.deepEqual(await Promise.all(sids.map(async (sid) => String(await fetched(links.get(sid))))), ['one', 'two', 'three']);
    }
  }
  const { limits } = room;
  assert.deepEqual([limits.mediaAttachmentsCountLimit, limits.mediaAttachmentSizeLimitInMb], [10, 150]);
});

test('a body and a history of other kinds come as what they are', async (context) => {
  if (!has(room.prepareMessage(), 'setEmailBody')) return context.skip('not in this version');
  const there = heard();
  await room.prepareMessage().setEmailBody('text/plain', text('the body')).setEmailHistory('text/html', { contentType: 'text/html', media: Buffer.from('<p>before') })
    .buildAndSend();
  const message = await there;
  assert.deepEqual(message.attachedMedia, []);
  assert.equal(String(await fetched(await message.getEmailBody().getContentTemporaryUrl())), 'the body');
  assert.equal(message.getEmailBody('text/html'), null);
  assert.equal(String(await fetched(await message.getEmailHistory('text/html').getContentTemporaryUrl())), '<p>before');
  assert.throws(() => room.prepareMessage().setEmailBody('image/png', text('x')).build());
  return undefined;
});

test('an upload that is called off sends nothing', async (context) => {
  const before = await room.getMessagesCount();
  const sending = room.prepareMessage().addMedia({ contentType: 'application/octet-stream', media: randomBytes(8_000_000) }).build().send();
  if (!has(sending, 'cancel')) return context.skip('not in this version');
  sending.cancel();
  await assert.rejects(sending);
  await room.sendMessage('after it');
  // Clients keep answers for half a second.
  await eventually('one more message', async () => (await room.getMessagesCount()) === before + 1);
  return undefined;
});

test('a file is for those in the conversation, and gone once it is removed', async () => {
  const there = heard();
  await room.sendMessage(text('for us'));
  const message = await there;
  const [media] = message.attachedMedia;
  const service = await house.service();
  const asked = async (identity) => (await fetch(`${house.url}/v1/Services/${service}/Media/${media.sid}`, {
    headers: { 'X-Twilio-Token': await house.token(identity) },
  })).status;
  assert.deepEqual([await asked('bob'), await asked('eve')], [200, 404]);
  if (has(ada, 'getTemporaryContentUrlsForMediaSids')) {
    const eve = await enter(await house.token('eve'), uri());
    await assert.rejects(eve.getTemporaryContentUrlsForMediaSids([media.sid]));
    await leave(eve);
  }
  const url = await media.getContentTemporaryUrl();
  assert.equal(String(await fetched(url)), 'for us');
  await house.removeFile(media.sid);
  assert.equal(await asked('bob'), 404);
  assert.equal((await fetch(url)).status, 404);
  // It goes with its message just as well.
  const second = heard();
  await room.sendMessage(text('with its message'));
  const kept = await second;
  const gone = next(bobs, 'messageRemoved', ({ sid }) => sid === kept.sid);
  const link = await kept.media.getContentTemporaryUrl();
  await (await found(room, kept.index)).remove();
  await gone;
  await eventually('no file any more', async () => (await fetch(link)).status === 404);
});

test('files reach a phone, and come from one', async () => {
  const phone = '+15557770002';
  await room.addNonChatParticipant(PROXY, phone);
  const person = await eventually('the phone', async () => (await room.getParticipants()).find((each) => each.type === 'sms'));
  const picture = randomBytes(2000);
  const sent = heard();
  await room.sendMessage({ contentType: 'image/png', media: picture, filename: 'p.png' });
  const message = await sent;
  const went = await eventually('the picture', () => house.sent.find((each) => each.to === phone && each.media.length > 0));
  assert.ok((await fetched(went.media[0])).equals(picture));
  await house.tells(went, 'delivered');
  await eventually('delivered', () => message.aggregatedDeliveryReceipt?.delivered === 'all');
  const came = next(bobs, 'messageAdded', (each) => each.author === phone);
  const photo = randomBytes(3000);
  await house.writes(phone, 'look', [['image/jpeg', photo]]);
  const theirs = await came;
  assert.deepEqual([theirs.type, theirs.body, theirs.media.contentType, theirs.media.size], ['media', 'look', 'image/jpeg', 3000]);
  assert.ok((await fetched(await theirs.attachedMedia[0].getContentTemporaryUrl())).equals(photo));
  const left = next(bobs, 'participantLeft');
  await person.remove();
  await left;
});
