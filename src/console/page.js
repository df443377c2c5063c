// The page of simulated phones. Everything a person wrote is put in as text, never as markup.

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
  typed: { sending: "On its way to the bridge", sent: "The bridge has it", failed: "The bridge did not take it" },
  received: { sending: "On the phone", sent: "Reported as sent", delivered: "Reported as delivered", read: "Reported as read" },
};
const TICKS = {
  sending: "M9 1.2a4.8 4.8 0 1 0 .01 0M9 3.6V6.2H11",
  sent: "M4 6.5 7.5 10 14 2.5",
  delivered: "M1 6.5 4.5 10 11 2.5M7.6 9.2 8.4 10 15 2.5",
  read: "M1 6.5 4.5 10 11 2.5M7.6 9.2 8.4 10 15 2.5",
  failed: "M5 2 13 10M13 2 5 10",
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

const byId = (id) => document.getElementById(id);
const phones = new Map();
const switches = new Map();
let chosen = null;

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

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

function tick(state) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("class", "tick");
  picture.setAttribute("viewBox", "0 0 18 12");
  picture.setAttribute("role", "img");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", TICKS[state]);
  picture.append(path);
  return picture;
}

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
  const bubble = make("div", isNew ? "message fresh" : "message");
  bubble.addEventListener("animationend", () => bubble.classList.remove("fresh"));
  bubble.dataset.direction = message.direction;
  bubble.dataset.serial = message.serial;
  const foot = make("div", "foot");
  const time = make("time", "", new Date(message.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = message.at;
  foot.append(time);
  for (const file of message.media ?? []) {
    bubble.append(file.content_type.startsWith("image/") ? picture(file) : fileLink(file));
  }
  if (message.text || !message.media?.length) bubble.append(make("div", "text", message.text));
  bubble.append(foot);
  showState(bubble, message);

  const log = phone.log;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  let before = null;
  for (const other of [...log.querySelectorAll(".message")].reverse()) {
    if (Number(other.dataset.serial) < message.serial) break;
    before = other;
  }
  log.insertBefore(bubble, before);
  phone.bubbles.set(message.serial, bubble);
  if (atEnd || message.direction === "typed") log.scrollTop = log.scrollHeight;
  if (isNew && message.direction === "received" && chosen !== message.phone) setUnread(phone, phone.unread + 1);
  return true;
}

function setUnread(phone, count) {
  phone.unread = count;
  phone.tab.querySelector(".unread")?.remove();
  if (count > 0) {
    const badge = make("span", "unread", String(count));
    badge.setAttribute("aria-label", `${count} new`);
    phone.tab.append(badge);
  }
}

function choose(address, focus) {
  chosen = address;
  for (const [other, phone] of phones) {
    const here = other === address;
    phone.element.classList.toggle("chosen", here);
    phone.tab.setAttribute("aria-selected", String(here));
    phone.tab.tabIndex = here ? 0 : -1;
    if (here) {
      setUnread(phone, 0);
      phone.log.scrollTop = phone.log.scrollHeight;
      if (focus) phone.tab.focus();
    }
  }
}

function addPhone(shown) {
  const channel = CHANNELS[shown.channel] ?? shown.channel;
  const name = shown.name ?? shown.address;
  const number = phones.size;
  const element = byId("phone-template").content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  element.id = `phone-${number}`;
  element.dataset.channel = shown.channel;
  element.dataset.address = shown.address;
  element.setAttribute("aria-label", `${name}, ${channel}`);
  find(".avatar").textContent = name.replace(/^\W+/, "").slice(0, 1).toUpperCase();
  find(".name").textContent = name;
  find(".address").textContent = shown.address.replace(/^\w+:/, "");
  find(".address").title = shown.address;
  find(".channel").textContent = channel;
  find(".log").setAttribute("aria-label", `Messages of ${name}`);
  const text = find("textarea");
  text.setAttribute("aria-label", `Message from ${name}`);
  find("button").setAttribute("aria-label", `Send from ${name}`);

  const tab = make("button", "tab", channel);
  tab.type = "button";
  tab.id = `tab-${number}`;
  tab.dataset.channel = shown.channel;
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", element.id);
  tab.addEventListener("click", () => choose(shown.address, false));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...byId("tabs").children];
    const next = all[(all.indexOf(tab) + step + all.length) % all.length];
    choose([...phones].find(([, phone]) => phone.tab === next)[0], true);
  });

  const phone = { element, tab, channel, adapter: shown.adapter, log: find(".log"), bubbles: new Map(), unread: 0, proxies: "" };
  const form = find("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(shown.address, form, find(".problem"));
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  phones.set(shown.address, phone);
  byId("phones").append(element);
  byId("tabs").append(tab);
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

async function send(address, form, problem) {
  const field = form.elements.text;
  const text = field.value.trim();
  if (!text) return;
  problem.textContent = "";
  field.value = "";
  field.focus();
  try {
    const to = form.elements.to.value || undefined;
    const path = `/simulator/phones/${encodeURIComponent(address)}/messages`;
    showMessage(await call(path, { to, text }), true);
  } catch (error) {
    problem.textContent = `Not sent: ${error.message}`;
    if (!field.value) field.value = text;
  }
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
      fault ? `${phone.channel}: ${FAULTS[fault][0].toLowerCase()}` : phone.channel;
  }
}

function addSwitch(adapter) {
  const row = make("div", "fault");
  const select = make("select");
  select.id = `fault-${switches.size}`;
  for (const [fault, [name]] of Object.entries(FAULTS)) select.append(new Option(name, fault));
  const channel = [...phones.values()].find((phone) => phone.adapter === adapter)?.channel ?? adapter;
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

function copyButton(button, text) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

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
}

// Everything, at first and whenever something may have been missed.

async function load() {
  const { phones: list } = await call("/simulator/phones");
  list.sort((a, b) => ORDER.indexOf(a.channel) - ORDER.indexOf(b.channel) || a.address.localeCompare(b.address));
  for (const shown of list) {
    if (!phones.has(shown.address)) addPhone(shown);
    showProxies(shown);
  }
  if (chosen === null && list.length > 0) choose(list[0].address, false);
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
events.addEventListener("fault", (event) => { const { adapter, fault } = JSON.parse(event.data); showFault(adapter, fault); });
events.addEventListener("bridge", reload);
events.addEventListener("missed", reload);
copyButton(byId("copy-command"), () => byId("command-text").textContent);
