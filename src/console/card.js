// The cards of the page: one for each phone, one for the person in the browser. Everything a person wrote is put in as text,
// never as markup.

export const TICKS = {
  sending: "M9 1.2a4.8 4.8 0 1 0 .01 0M9 3.6V6.2H11",
  sent: "M4 6.5 7.5 10 14 2.5",
  delivered: "M1 6.5 4.5 10 11 2.5M7.6 9.2 8.4 10 15 2.5",
  read: "M1 6.5 4.5 10 11 2.5M7.6 9.2 8.4 10 15 2.5",
  failed: "M5 2 13 10M13 2 5 10",
};

export const byId = (id) => document.getElementById(id);
export const cards = new Map();
const watchers = [];
let chosen = null;

export function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function tick(state) {
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

export function copyButton(button, text) {
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

// A card with its tab. `send` gets the text and the form; what it throws is shown, and the text comes back.
export function addCard({ key, kind, label, name, address, title, send }) {
  const number = cards.size;
  const element = byId("card-template").content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  element.id = `card-${number}`;
  element.dataset.channel = kind;
  element.dataset.address = key;
  element.setAttribute("aria-label", `${name}, ${label}`);
  find(".avatar").textContent = name.replace(/^\W+/, "").slice(0, 1).toUpperCase();
  find(".name").textContent = name;
  find(".address").textContent = address;
  find(".address").title = title;
  find(".channel").textContent = label;
  find(".log").setAttribute("aria-label", `Messages of ${name}`);
  const field = find("textarea");
  field.setAttribute("aria-label", `Message from ${name}`);
  find("button[type=submit]").setAttribute("aria-label", `Send from ${name}`);

  const tab = make("button", "tab", label);
  tab.type = "button";
  tab.id = `tab-${number}`;
  tab.dataset.channel = kind;
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", element.id);
  tab.addEventListener("click", () => choose(key, false));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...byId("tabs").children];
    const next = all[(all.indexOf(tab) + step + all.length) % all.length];
    choose([...cards].find(([, card]) => card.tab === next)[0], true);
  });

  const card = { key, element, tab, label, log: find(".log"), problem: find(".problem"), field, find, bubbles: new Map(), unread: 0 };
  const form = find("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    card.problem.textContent = "";
    field.focus();
    try {
      await send(text, form);
    } catch (error) {
      card.problem.textContent = `Not sent: ${error.message}`;
      if (!field.value) field.value = text;
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  cards.set(key, card);
  byId("phones").append(element);
  byId("tabs").append(tab);
  if (chosen === null) choose(key, false);
  else choose(chosen, false);
  return card;
}

// A message's bubble, with its foot, which has the time.
export function bubbleOf(direction, order, at, isNew) {
  const bubble = make("div", isNew ? "message fresh" : "message");
  bubble.addEventListener("animationend", () => bubble.classList.remove("fresh"));
  bubble.dataset.direction = direction;
  bubble.dataset.order = order;
  const foot = make("div", "foot");
  const time = make("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(at).toISOString();
  foot.append(time);
  bubble.append(foot);
  return bubble;
}

// A picture that comes late does not push the newest message out of sight.
export function keepEnd(image) {
  image.addEventListener("load", () => {
    const log = image.closest(".log");
    if (log && log.scrollHeight - log.scrollTop - log.clientHeight < image.clientHeight + 80) log.scrollTop = log.scrollHeight;
  });
}

// Puts a bubble where it belongs by its order.
export function put(card, bubble, isNew) {
  const { log } = card;
  const order = Number(bubble.dataset.order);
  const own = bubble.dataset.direction === "typed";
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  let before = log.querySelector(".typing");
  for (const other of [...log.querySelectorAll(".message")].reverse()) {
    if (Number(other.dataset.order) < order) break;
    before = other;
  }
  log.insertBefore(bubble, before);
  card.bubbles.set(order, bubble);
  if (atEnd || own) log.scrollTop = log.scrollHeight;
  if (isNew && !own && chosen !== card.key) setUnread(card, card.unread + 1);
}

// Three dots at the end of a card's messages, for some seconds or until they are taken away.
export function showTyping(card, words, seconds) {
  hideTyping(card);
  const dots = make("div", "typing");
  dots.setAttribute("role", "status");
  dots.append(make("span", "dots"), make("span", "words", words));
  dots.firstChild.append(make("i"), make("i"), make("i"));
  const { log } = card;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(dots);
  if (atEnd) log.scrollTop = log.scrollHeight;
  card.typing = setTimeout(() => hideTyping(card), seconds * 1000);
}

export function hideTyping(card) {
  clearTimeout(card.typing);
  card.log.querySelector(".typing")?.remove();
}

function setUnread(card, count) {
  card.unread = count;
  card.tab.querySelector(".unread")?.remove();
  if (count > 0) {
    const badge = make("span", "unread", String(count));
    badge.setAttribute("aria-label", `${count} new`);
    card.tab.append(badge);
  }
}

function choose(key, focus) {
  chosen = key;
  for (const [other, card] of cards) {
    const here = other === key;
    card.element.classList.toggle("chosen", here);
    card.tab.setAttribute("aria-selected", String(here));
    card.tab.tabIndex = here ? 0 : -1;
    if (here) {
      setUnread(card, 0);
      card.log.scrollTop = card.log.scrollHeight;
      if (focus) card.tab.focus();
    }
  }
  for (const watch of watchers) watch();
}

// Told whenever another card is looked at.
export function onChoice(watch) {
  watchers.push(watch);
}

// Whether a person sees the card: on a small screen only the chosen one.
export const seen = (card) => document.visibilityState === "visible" && card.element.checkVisibility();
