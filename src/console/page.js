// The page of simulated phones, and of somebody in the browser beside them. Everything a person wrote is put in as text, never
// as markup.

import { TICKS, addCard, bubbleOf, byId, cards, copyButton, hideTyping, keepEnd, make, put, showTyping, tick } from "/card.js";

const CHANNELS = { sms: "SMS", whatsapp: "WhatsApp", messenger: "Messenger" };
const ORDER = Object.keys(CHANNELS);
const FAULTS = {
  "": ["None", ""],
  drop: ["Drop", "Messages are taken, but never reach the phone."],
  throttle: ["Throttle", "Two of three requests are answered with “slow down”."],
  delay: ["Delay", "Every answer comes three seconds late."],
  duplicate: ["Duplicate", "Every webhook is posted twice."],
  hang: ["Hang", "Nothing is answered until this is switched off."],
};
const STATES = {
  typed: { sending: "On its way to the bridge", sent: "The bridge has it", read: "Shown as read", failed: "The bridge did not take it" },
  received: { sending: "On the phone", sent: "Reported as sent", delivered: "Reported as delivered", read: "Reported as read" },
};
// A message only moves forward, while answers and events about it may cross.
const PROGRESS = Object.keys(TICKS);
const LEGEND = [
  ["sending", "On its way, or not reported yet"],
  ["sent", "The bridge has it on disk; reported as sent"],
  ["delivered", "Reported as delivered"],
  ["read", "Reported as read (never by SMS)"],
  ["failed", "The bridge did not take it"],
];

// Seconds for which a phone shows that somebody is writing, if nothing comes.
const TYPING = 20;
const phones = new Map();
const switches = new Map();
let person = null;

async function call(path, body) {
  const request = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, request);
  const read = await answer.json();
  if (!answer.ok) throw new Error(read.message);
  return read;
}

// Phones

function showState(bubble, message) {
  if (PROGRESS.indexOf(message.state) < PROGRESS.indexOf(bubble.dataset.state)) return;
  bubble.dataset.state = message.state;
  const picture = tick(message.state);
  const words = STATES[message.direction][message.state] ?? message.state;
  picture.setAttribute("aria-label", words);
  bubble.title = `${words} (${message.id})`;
  const old = bubble.querySelector(".tick");
  if (old) old.replaceWith(picture);
  else bubble.querySelector(".foot").append(picture);
}

function picture(file) {
  const image = make("img", "picture");
  image.src = file.url;
  image.alt = file.filename ?? "photo";
  keepEnd(image);
  return image;
}

function fileLink(file) {
  const link = make("a", "file", file.filename ?? file.content_type);
  link.href = file.url;
  link.download = "";
  return link;
}

function showMessage(message, isNew) {
  const phone = phones.get(message.phone);
  if (!phone) return false;
  const known = phone.bubbles.get(message.serial);
  if (known) {
    showState(known, message);
    return true;
  }
  const bubble = bubbleOf(message.direction, message.serial, message.at, isNew);
  const foot = bubble.querySelector(".foot");
  for (const file of message.media ?? []) {
    bubble.insertBefore(file.content_type.startsWith("image/") ? picture(file) : fileLink(file), foot);
  }
  if (message.text || !message.media?.length) bubble.insertBefore(make("div", "text", message.text), foot);
  showState(bubble, message);
  if (message.direction === "received") hideTyping(phone);
  put(phone, bubble, isNew);
  return true;
}

function addPhone(shown) {
  const label = CHANNELS[shown.channel] ?? shown.channel;
  const card = addCard({
    key: shown.address, kind: shown.channel, label, name: shown.name ?? shown.address,
    address: shown.address.replace(/^\w+:/, ""), title: shown.address,
    send: (text, form) => send(shown.address, text, form),
  });
  phones.set(shown.address, Object.assign(card, { adapter: shown.adapter, proxies: "" }));
}

function showProxies(shown) {
  const phone = phones.get(shown.address);
  const key = shown.proxies.join(" ");
  if (phone.proxies === key) return;
  phone.proxies = key;
  const select = phone.element.querySelector("select");
  const before = select.value;
  select.replaceChildren(...shown.proxies.map((proxy) => new Option(proxy, proxy)));
  if (shown.proxies.includes(before)) select.value = before;
  phone.element.querySelector(".proxy").hidden = shown.proxies.length < 2;
}

async function send(address, text, form) {
  if (!text) return;
  form.elements.text.value = "";
  const to = form.elements.to.value || undefined;
  showMessage(await call(`/simulator/phones/${encodeURIComponent(address)}/messages`, { to, text }), true);
}

// Faults

function showFault(adapter, fault) {
  const entry = switches.get(adapter);
  if (!entry) return;
  entry.select.value = fault ?? "";
  entry.row.toggleAttribute("data-on", Boolean(fault));
  for (const phone of phones.values()) {
    if (phone.adapter !== adapter) continue;
    phone.element.toggleAttribute("data-fault", Boolean(fault));
    phone.element.querySelector(".channel").textContent =
      fault ? `${phone.label}: ${FAULTS[fault][0].toLowerCase()}` : phone.label;
  }
}

function addSwitch(adapter) {
  const row = make("div", "fault");
  const select = make("select");
  select.id = `fault-${switches.size}`;
  for (const [fault, [name]] of Object.entries(FAULTS)) select.append(new Option(name, fault));
  const channel = [...phones.values()].find((phone) => phone.adapter === adapter)?.label ?? adapter;
  const label = make("label", "", channel);
  label.htmlFor = select.id;
  row.append(label, select);
  select.addEventListener("change", async () => {
    const fault = select.value;
    try {
      await call("/simulator/faults", { adapter, fault: fault || null });
      byId("effect").textContent = fault ? `${channel}: ${FAULTS[fault][1]}` : `${channel} works again.`;
    } catch (error) {
      byId("effect").textContent = `Not switched: ${error.message}`;
    }
  });
  switches.set(adapter, { row, select });
  byId("faults").append(row);
}

// REST

function showBridge(bridge) {
  const pairs = [["Base URL", bridge.url], ["Account SID", bridge.account_sid], ["Auth token", bridge.auth_token]];
  if (bridge.conversation_sid) pairs.push(["Conversation", bridge.conversation_sid]);
  byId("rest").replaceChildren(...pairs.map(([name, value]) => {
    const pair = make("div", "pair");
    const copy = make("button", "quiet", "Copy");
    copy.type = "button";
    copy.setAttribute("aria-label", `Copy ${name}`);
    copyButton(copy, () => value);
    const definition = make("dd");
    definition.append(make("code", "", value), copy);
    pair.append(make("dt", "", name), definition);
    return pair;
  }));
  byId("rest").hidden = false;
  byId("rest-waiting").hidden = true;
  byId("command").hidden = !bridge.conversation_sid;
  byId("command-text").textContent = [
    `curl -u ${bridge.account_sid}:${bridge.auth_token} \\`,
    `  --data-urlencode 'Author=support' \\`,
    `  --data-urlencode 'Body=Hello from REST' \\`,
    `  ${bridge.url}/v1/Conversations/${bridge.conversation_sid}/Messages`,
  ].join("\n");
  if (bridge.conversation_sid && !person) {
    person = join(bridge.conversation_sid).catch((error) => { setLink("lost", `The browser's person is out: ${error.message}`); });
  }
}

// The person in the browser comes with the conversation; the SDK is loaded only for them.
async function join(conversation) {
  const visitor = () => call("/simulator/visitor");
  const { socket, name } = await visitor();
  byId("sdk-text").textContent = `new Client(token, { Twilsock: { uri: "${socket}" } })`;
  byId("sdk-note").textContent = `${name} is in this page, on the official JavaScript SDK as it is published. One option is all that differs:`;
  byId("sdk").hidden = false;
  const { start } = await import("/browser.js");
  await start(visitor, conversation, (address) => cards.get(address)?.find(".name").textContent);
}

// Everything, at first and whenever something may have been missed.

async function load() {
  const { phones: list } = await call("/simulator/phones");
  list.sort((a, b) => ORDER.indexOf(a.channel) - ORDER.indexOf(b.channel) || a.address.localeCompare(b.address));
  for (const shown of list) {
    if (!phones.has(shown.address)) addPhone(shown);
    showProxies(shown);
  }
  const threads = await Promise.all(
    list.map((shown) => call(`/simulator/phones/${encodeURIComponent(shown.address)}/messages`)),
  );
  for (const message of threads.flatMap((thread) => thread.messages)) showMessage(message, false);
  const { faults } = await call("/simulator/faults");
  for (const { adapter, fault } of faults) {
    if (!switches.has(adapter)) addSwitch(adapter);
    showFault(adapter, fault);
  }
  // 404 while the daemon starts; the event `bridge` tells when it is ready.
  await call("/simulator/bridge").then(showBridge, () => {});
  byId("phones").setAttribute("aria-busy", "false");
}

function setLink(state, words) {
  byId("link").dataset.state = state;
  byId("link-text").textContent = words;
}

byId("ticks").append(...LEGEND.map(([state, words]) => {
  const entry = make("li", state);
  const picture = tick(state);
  picture.setAttribute("aria-hidden", "true");
  entry.append(picture, make("span", "", words));
  return entry;
}));

const reload = () => load().catch((error) => setLink("lost", `Not readable: ${error.message}`));
const events = new EventSource("/simulator/events");
events.addEventListener("open", () => { setLink("live", "Live"); reload(); });
events.addEventListener("error", () => setLink("lost", "Reconnecting"));
events.addEventListener("message", (event) => { if (!showMessage(JSON.parse(event.data), true)) reload(); });
events.addEventListener("typing", (event) => {
  const phone = phones.get(JSON.parse(event.data).phone);
  if (phone) showTyping(phone, "Somebody is typing", TYPING);
});
events.addEventListener("fault", (event) => { const { adapter, fault } = JSON.parse(event.data); showFault(adapter, fault); });
events.addEventListener("bridge", reload);
events.addEventListener("missed", reload);
copyButton(byId("copy-command"), () => byId("command-text").textContent);
copyButton(byId("copy-sdk"), () => byId("sdk-text").textContent);
