// Somebody in the browser, on the official SDK as it is published: the one thing it is told is where the daemon is.

import { Client } from "/sdk.js";
import { addCard, bubbleOf, hideTyping, keepEnd, make, onChoice, put, seen, showTyping, tick } from "/card.js";

const CONNECTION = {
  connecting: "Connecting", connected: "Online", disconnecting: "Going", disconnected: "Offline", denied: "Not let in",
};
const STATES = {
  sending: "On its way to the bridge", sent: "In the conversation", delivered: "Delivered to everybody outside",
  read: "Read by everybody whose channel tells", failed: "Somebody could not get it",
};
const PAGE = 40;

export async function start(fetchVisitor, conversationSid, nameOf) {
  const visitor = await fetchVisitor();
  const names = new Map();
  const receipts = new Map();
  const later = new Map();
  let conversation = null;
  let photo = null;
  let horizon = -1;

  const card = addCard({
    key: "browser", kind: "browser", label: "Browser", name: visitor.name, address: "Connecting",
    title: `${visitor.identity}, on the official JavaScript SDK`, send,
  });
  const { find, field } = card;
  find(".attach").hidden = false;
  field.placeholder = "Message";
  const chooser = find("input[type=file]");
  chooser.setAttribute("aria-label", `Photo from ${visitor.name}`);
  chooser.addEventListener("change", () => attach(chooser.files[0] ?? null));
  find(".attached button").addEventListener("click", () => attach(null));
  field.addEventListener("input", () => { if (field.value.trim()) conversation?.typing().catch(() => {}); });

  const client = new Client(visitor.token, { Twilsock: { uri: visitor.socket }, logLevel: "silent" });
  const renew = async () => client.updateToken((await fetchVisitor()).token);
  client.on("tokenAboutToExpire", () => renew().catch(() => {}));
  client.on("tokenExpired", () => renew().catch(() => {}));
  client.on("connectionStateChanged", (state) => {
    find(".address").textContent = CONNECTION[state] ?? state;
    card.element.dataset.connection = state;
  });
  client.on("connectionError", (error) => { if (error.terminal) card.problem.textContent = `Not connected: ${error.message}`; });
  await new Promise((resolve, reject) => {
    client.on("initialized", resolve);
    client.on("initFailed", ({ error }) => { if (error?.terminal) reject(new Error(error.message)); });
  });

  conversation = await client.getConversationBySid(conversationSid);
  for (const one of await conversation.getParticipants()) meet(one);
  conversation.on("participantJoined", meet);
  conversation.on("participantUpdated", ({ participant }) => {
    meet(participant);
    showHorizons();
    // One more reader of some changes no sum, so no message is updated by it.
    for (const { message } of receipts.values()) refill(message);
  });
  conversation.on("messageAdded", (message) => { hideTyping(card); show(message, true); readOn(); });
  conversation.on("messageUpdated", ({ message }) => show(message, false));
  conversation.on("messageRemoved", (message) => { card.bubbles.get(message.index)?.remove(); card.bubbles.delete(message.index); });
  conversation.on("typingStarted", (who) => showTyping(card, `${names.get(who.sid)?.name ?? who.identity} is typing`, 10));
  conversation.on("typingEnded", () => hideTyping(card));
  conversation.on("removed", () => { card.problem.textContent = "The conversation is over."; });
  await earlier(conversation.getMessages(PAGE));
  document.addEventListener("visibilitychange", readOn);
  onChoice(readOn);
  readOn();

  function meet(participant) {
    const { bindings, identity, type } = participant;
    const address = bindings?.[type]?.address;
    const name = identity === visitor.identity ? visitor.name : identity ?? nameOf(address) ?? address ?? type;
    names.set(participant.sid, { name, own: identity === visitor.identity, read: participant.lastReadMessageIndex ?? -1 });
  }

  // A page of messages, and a way to the one before it.
  async function earlier(page) {
    const got = await page;
    const { log } = card;
    const below = log.scrollHeight - log.scrollTop;
    log.querySelector(".earlier")?.remove();
    for (const message of got.items) show(message, false);
    if (got.hasPrevPage) {
      const more = make("button", "quiet earlier", "Earlier messages");
      more.type = "button";
      more.addEventListener("click", () => earlier(got.prevPage()).catch((error) => { card.problem.textContent = error.message; }));
      log.prepend(more);
    }
    log.scrollTop = log.scrollHeight - below;
    showHorizons();
  }

  function show(message, isNew) {
    const own = message.author === visitor.identity;
    const known = card.bubbles.get(message.index);
    const bubble = known ?? bubbleOf(own ? "typed" : "received", message.index, message.dateCreated, isNew);
    bubble.querySelectorAll(".author, .text, .edited").forEach((part) => part.remove());
    const foot = bubble.querySelector(".foot");
    const before = bubble.querySelector(".files") ?? foot;
    if (!own) bubble.insertBefore(make("div", "author", names.get(message.participantSid)?.name ?? message.author), before);
    if (message.body) bubble.insertBefore(make("div", "text", message.body), foot);
    if (known && known.dataset.body !== (message.body ?? "")) known.dataset.changed = "";
    if (bubble.dataset.changed !== undefined) foot.prepend(make("span", "edited", "edited"));
    bubble.dataset.body = message.body ?? "";
    if (!known) {
      if (message.attachedMedia?.length) bubble.insertBefore(files(message.attachedMedia), bubble.querySelector(".text") ?? foot);
      put(card, bubble, isNew);
    }
    if (own) showState(bubble, message);
    showHorizons();
  }

  function files(media) {
    const place = make("div", "files");
    for (const one of media) {
      const picture = /^image\/(jpeg|png|gif|webp)$/.test(one.contentType);
      const element = make(picture ? "img" : "a", picture ? "picture" : "file", picture ? undefined : one.filename ?? one.contentType);
      if (picture) {
        element.alt = one.filename ?? "photo";
        keepEnd(element);
      }
      one.getContentTemporaryUrl().then((url) => {
        if (picture) element.src = url;
        else { element.href = url; element.download = ""; }
      }, (error) => { card.problem.textContent = `A file cannot be shown: ${error.message}`; });
      place.append(element);
    }
    return place;
  }

  // How far an own message has come with those outside; a tap tells it of each.
  function showState(bubble, message) {
    const sum = message.aggregatedDeliveryReceipt;
    const state = !sum ? "sent"
      : sum.failed !== "none" || sum.undelivered !== "none" ? "failed"
      : sum.read === "all" ? "read" : sum.delivered === "all" ? "delivered" : "sent";
    bubble.dataset.state = state;
    const old = bubble.querySelector(".receipts-button");
    const button = old ?? make("button", "receipts-button");
    button.type = "button";
    button.setAttribute("aria-label", `${STATES[state]}. Show receipts`);
    button.title = STATES[state];
    const picture = tick(state);
    picture.setAttribute("aria-hidden", "true");
    button.replaceChildren(picture);
    if (!old) {
      button.addEventListener("click", () => toggleReceipts(bubble, message));
      bubble.querySelector(".foot").append(button);
    }
    if (receipts.has(message.index)) refill(message);
  }

  function toggleReceipts(bubble, message) {
    if (receipts.has(message.index)) {
      receipts.get(message.index).list.remove();
      receipts.delete(message.index);
      return;
    }
    const list = make("ul", "receipts");
    receipts.set(message.index, { list, message });
    bubble.append(list);
    fillReceipts(message);
  }

  // The SDK gives an answer of half a second ago once more.
  function refill(message) {
    clearTimeout(later.get(message.index));
    later.set(message.index, setTimeout(() => fillReceipts(message), 600));
  }

  async function fillReceipts(message) {
    try {
      const all = await message.getDetailedDeliveryReceipts();
      const lines = all.map((one) => make("li", "", `${names.get(one.participantSid)?.name ?? "Somebody"}: ${one.status ?? "waiting"}`));
      receipts.get(message.index)?.list.replaceChildren(...(lines.length ? lines : [make("li", "", "Nobody outside")]));
    } catch (error) {
      card.problem.textContent = `Receipts cannot be read: ${error.message}`;
    }
  }

  // Under the last message that somebody has read: who.
  function showHorizons() {
    card.log.querySelectorAll(".seen").forEach((line) => line.remove());
    const indexes = [...card.bubbles.keys()].sort((a, b) => a - b);
    const readers = new Map();
    for (const { name, own, read } of names.values()) {
      const last = indexes.findLast((index) => index <= read);
      if (!own && last !== undefined) readers.set(last, [...readers.get(last) ?? [], name]);
    }
    for (const [index, people] of readers) card.bubbles.get(index).after(make("p", "seen", `Read by ${people.sort().join(" and ")}`));
    if (seen(card)) card.log.scrollTop = card.log.scrollHeight;
  }

  // What is on the screen has been read.
  function readOn() {
    const last = Math.max(-1, ...card.bubbles.keys());
    if (last <= horizon || !seen(card)) return;
    horizon = last;
    conversation.advanceLastReadMessageIndex(last).catch(() => { horizon = -1; });
  }

  function attach(file) {
    photo = file;
    if (!file) chooser.value = "";
    find(".attached").hidden = !file;
    find(".attached .file-name").textContent = file?.name ?? "";
    field.focus();
  }

  async function send(text) {
    if (!conversation) throw new Error("not connected yet");
    const file = photo;
    if (!text && !file) return;
    field.value = "";
    attach(null);
    const message = conversation.prepareMessage();
    if (text) message.setBody(text);
    if (file) {
      const form = new FormData();
      form.append("file", file, file.name);
      message.addMedia(form);
    }
    try {
      await message.build().send();
    } catch (error) {
      if (file) attach(file);
      throw error;
    }
  }
}
