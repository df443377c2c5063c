// The page of phones in a real browser: node tests/browser/demo.mjs PAGE_URL [SCREENSHOT_DIR]
//
// Needs a running `trunkline demo` and playwright-core, which tests/run installs into tests/.cache; the browser is the
// system's. Everything waits for what it wants to see; nothing sleeps.

import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cache = process.env.TRUNKLINE_TEST_CACHE ?? fileURLToPath(new URL("../.cache", import.meta.url));
const { chromium } = createRequire(join(cache, "package.json"))("playwright-core");
const [pageUrl, pictures] = process.argv.slice(2);
if (!pageUrl) {
  console.error("usage: node tests/browser/demo.mjs PAGE_URL [SCREENSHOT_DIR]");
  process.exit(2);
}
if (pictures) mkdirSync(pictures, { recursive: true });

const WITHIN = 10_000;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
  ],
});

const { url: bridge } = await fetch(new URL("/simulator/bridge", pageUrl)).then((answer) => answer.json());
const complaints = [];
const strangers = [];
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  page.on("console", (line) => { if (["error", "warning"].includes(line.type())) complaints.push(line.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (![pageUrl, bridge].some((ours) => request.url().startsWith(ours))) strangers.push(request.url()); });
  await page.goto(pageUrl);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.locator('#phones[aria-busy="false"]').waitFor();
  await page.locator('.phone[data-channel="browser"][data-connection="connected"]').waitFor({ state: "attached" });
  await page.locator('.phone[data-channel="browser"] .message').first().waitFor({ state: "attached" });
  return page;
}

// Asks again until there is an answer: for what only asking tells.
async function within(what, ask) {
  for (const end = Date.now() + WITHIN; ;) {
    const found = await ask();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} did not come`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

let passed = 0;
let failed = 0;
async function test(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error?.stack ?? error).split("\n").join("\n        ")}`);
  }
}

function check(holds, what) {
  if (!holds) throw new Error(what);
}

const marker = Date.now().toString(36);
let said = 0;
const line = (text) => `${text} (${marker}-${(said += 1)})`;
const phone = (page, channel) => page.locator(`.phone[data-channel="${channel}"]`);
const bubble = (page, channel, text) => phone(page, channel).locator(".message").filter({ hasText: text });
async function write(page, channel, text) {
  const field = phone(page, channel).getByRole("textbox");
  await field.fill(text);
  await field.press("Enter");
}
async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true, animations: "disabled" });
}

const desk = await open({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });

await test("three phones and the browser stand side by side and show the script", async () => {
  const places = [];
  for (const [channel, name] of [["sms", "Ada"], ["whatsapp", "Bo"], ["messenger", "Cleo"], ["browser", "Dana"]]) {
    await phone(desk, channel).getByRole("heading", { name }).waitFor();
    for (const other of ["Ada", "Bo", "Cleo", "Dana"]) await bubble(desk, channel, other).first().waitFor();
    places.push(await phone(desk, channel).boundingBox());
  }
  check(places.every((place, index) => index === 0 || places[index - 1].x < place.x), "they are not ordered from left to right");
  check(places.every((place) => place.y === places[0].y), "they are not on one row");
});

await test("a text typed on the SMS phone appears on the other two", async () => {
  const text = line("Hello from the browser");
  await write(desk, "sms", text);
  await bubble(desk, "whatsapp", text).waitFor();
  await bubble(desk, "messenger", text).waitFor();
  for (const channel of ["sms", "whatsapp", "messenger"]) {
    check((await bubble(desk, channel, text).count()) === 1, `${channel} shows it more than once`);
  }
  check((await bubble(desk, "sms", text).getAttribute("data-direction")) === "typed", "it is not shown as written here");
});

await test("a reply from WhatsApp reaches SMS and Messenger", async () => {
  const text = line("And hello back");
  await phone(desk, "whatsapp").getByRole("textbox").fill(text);
  await phone(desk, "whatsapp").getByRole("button", { name: "Send from Bo" }).click();
  await bubble(desk, "sms", text).waitFor();
  await bubble(desk, "messenger", text).waitFor();
});

await test("ticks follow the statuses", async () => {
  const text = line("Tick");
  await write(desk, "messenger", text);
  await desk.locator(`.phone[data-channel="messenger"] .message[data-state="sent"]`).filter({ hasText: text }).waitFor();
  const read = desk.locator(`.phone[data-channel="whatsapp"] .message[data-state="read"]`).filter({ hasText: text });
  await read.getByRole("img", { name: "Reported as read" }).waitFor();
});

await test("markup in a message stays text", async () => {
  const text = line(`<img src=x onerror="document.title='owned'"><b>bold</b> & more`);
  await write(desk, "sms", text);
  const arrived = bubble(desk, "messenger", text);
  await arrived.waitFor();
  check((await arrived.locator("img:not(.tick), b").count()) === 0, "it became elements");
  check(!(await desk.title()).includes("owned"), "it was executed");
});

await test("the REST call that the page shows reaches all three phones", async () => {
  const shown = await desk.locator("#command-text").textContent();
  const [, user, password] = shown.match(/-u (AC[0-9a-f]{32}):(\S+)/);
  const [, url] = shown.match(/(http:\/\/\S+\/v1\/Conversations\/CH[0-9a-f]{32}\/Messages)/);
  const text = line("Hello from REST");
  const answer = await fetch(url, {
    method: "POST",
    headers: { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` },
    body: new URLSearchParams({ Author: "support", Body: text }),
  });
  check(answer.status === 201, `answered with ${answer.status}: ${await answer.text()}`);
  for (const channel of ["sms", "whatsapp", "messenger"]) await bubble(desk, channel, text).waitFor();
});

await test("a dropped message never comes, and the next one does", async () => {
  const [lost, found] = [line("Lost"), line("Found")];
  const fault = desk.getByRole("combobox", { name: "WhatsApp" });
  await fault.selectOption("drop");
  await desk.getByText("WhatsApp: drop").waitFor();
  await write(desk, "sms", lost);
  await bubble(desk, "messenger", lost).waitFor();
  await picture(desk, "desk-fault");
  // Relayed at the same time as the lost one; read by now, so the other provider has long had its own.
  await desk.waitForFunction((text) => [...document.querySelectorAll('.phone[data-channel="messenger"] .message')]
    .some((one) => one.textContent.includes(text) && one.dataset.state === "read"), lost);
  await fault.selectOption("");
  await write(desk, "sms", found);
  await bubble(desk, "whatsapp", found).waitFor();
  check((await bubble(desk, "whatsapp", lost).count()) === 0, "the dropped message came");
});

await test("a message that cannot be sent says so and stays in the field", async () => {
  await desk.route("**/messages", (route) => route.fulfill({
    status: 503, contentType: "application/json", body: `{"status": 503, "message": "too many webhooks wait"}`,
  }));
  const text = line("Cannot go");
  await write(desk, "sms", text);
  await phone(desk, "sms").getByRole("alert").filter({ hasText: "too many webhooks wait" }).waitFor();
  check((await phone(desk, "sms").getByRole("textbox").inputValue()) === text, "the text is gone");
  await desk.unroute("**/messages");
  await phone(desk, "sms").getByRole("textbox").press("Enter");
  await bubble(desk, "messenger", text).waitFor();
  // The browser itself reports the answer that this test made up.
  complaints.splice(0, complaints.length, ...complaints.filter((one) => !one.includes("503")));
});
await test("whoever writes in the browser reaches the phones, and learns how far it came", async () => {
  const text = line("From the browser's person");
  await write(desk, "browser", text);
  for (const channel of ["sms", "whatsapp", "messenger"]) {
    await bubble(desk, channel, text).waitFor();
    check((await bubble(desk, channel, text).count()) === 1, `${channel} shows it more than once`);
  }
  const own = bubble(desk, "browser", text);
  check((await own.count()) === 1 && (await own.getAttribute("data-direction")) === "typed", "it is not shown once, as written here");
  // SMS tells no reading, so that is as far as it comes.
  await desk.locator('.phone[data-channel="browser"] .message[data-state="delivered"]').filter({ hasText: text }).waitFor();
  await own.getByRole("button", { name: /Show receipts/ }).click();
  for (const told of ["Ada: delivered", "Bo: read", "Cleo: read"]) await own.getByText(told).waitFor();
  // Channels that tell it move their people's horizons.
  await phone(desk, "browser").getByText("Read by Bo and Cleo").waitFor();
  await picture(desk, "desk-receipts");
  await own.getByRole("button", { name: /Show receipts/ }).click();
});

await test("what comes from a phone names who wrote it, and is read where it is seen", async () => {
  const text = line("Who is this?");
  await write(desk, "messenger", text);
  const arrived = bubble(desk, "browser", text);
  await arrived.getByText("Cleo", { exact: true }).waitFor();
  const { account_sid: user, auth_token: password, conversation_sid: talk, url } =
    await fetch(new URL("/simulator/bridge", pageUrl)).then((answer) => answer.json());
  const authorised = { headers: { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` } };
  const get = (path) => fetch(`${url}/v1/Conversations/${talk}/${path}`, authorised).then((answer) => answer.json());
  const { messages } = await get("Messages?Order=desc&PageSize=1");
  const index = await within("the horizon", async () => {
    const { participants } = await get("Participants");
    const dana = participants.find((one) => one.identity === "dana");
    return dana.last_read_message_index === messages[0].index ? dana.last_read_message_index : undefined;
  });
  check(messages[0].body === text, `the last message is ${messages[0].body}, at ${index}`);
});

await test("typing in the browser shows on WhatsApp and Messenger until the message comes", async () => {
  await write(desk, "whatsapp", line("Are you there?"));
  await write(desk, "messenger", line("Hello?"));
  await desk.locator('.phone[data-channel="messenger"] .message[data-state="sent"]').last().waitFor();
  const text = line("Just a moment");
  const typing = (channel) => phone(desk, channel).getByText("Somebody is typing");
  // People who were shown it a moment ago are not told again, so it may take another key.
  await phone(desk, "browser").getByRole("textbox").fill(text);
  await within("typing on the phones", async () => {
    await phone(desk, "browser").getByRole("textbox").press("End");
    await phone(desk, "browser").getByRole("textbox").pressSequentially(".");
    return (await typing("whatsapp").isVisible()) && (await typing("messenger").isVisible()) ? true : undefined;
  });
  check((await typing("sms").count()) === 0, "an SMS phone shows it");
  await picture(desk, "desk-typing");
  await phone(desk, "browser").getByRole("textbox").press("Enter");
  await bubble(desk, "whatsapp", text).waitFor();
  await typing("whatsapp").waitFor({ state: "detached" });
  // Their messages count as read by it there.
  await desk.locator('.phone[data-channel="whatsapp"] .message[data-direction="typed"][data-state="read"]').first().waitFor();
});

await test("a photo goes both ways", async () => {
  const text = line("See for yourself");
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ESCHFTEMLQkAcwpNgfrDu50AAAAASUVORK5CYII=", "base64");
  await phone(desk, "browser").getByLabel("Photo from Dana").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: png });
  await phone(desk, "browser").getByText("dot.png").waitFor();
  await write(desk, "browser", text);
  await bubble(desk, "whatsapp", text).locator("img.picture").waitFor();
  const shown = (place) => place.evaluate((image) => image.complete && image.naturalWidth > 0);
  const own = bubble(desk, "browser", text).locator("img.picture");
  await within("the own photo", async () => ((await shown(own)) ? true : undefined));
  // The one that Bo sent in the script.
  const theirs = bubble(desk, "browser", "three o'clock").locator("img.picture");
  await within("the photo of the script", async () => ((await shown(theirs)) ? true : undefined));
});

await test("two windows of one person, and what one of them writes", async () => {
  const other = await open({ viewport: { width: 1280, height: 900 } });
  const text = line("In two windows");
  await write(other, "browser", text);
  await bubble(desk, "browser", text).waitFor();
  check((await bubble(desk, "browser", text).getAttribute("data-direction")) === "typed", "it is not this person's own");
  await other.context().close();
});
await picture(desk, "desk-light");

const dark = await open({ viewport: { width: 1280, height: 900 }, colorScheme: "dark" });
await picture(dark, "desk-dark");

const small = await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });

await test("on a phone there is one phone at a time, with tabs", async () => {
  await phone(small, "sms").waitFor();
  check(!(await phone(small, "whatsapp").isVisible()), "two phones at once");
  const width = await small.evaluate(() => document.documentElement.scrollWidth);
  check(width <= 390, `the page is ${width} wide`);
  await picture(small, "phone-light");
  const text = line("From my pocket");
  await phone(small, "sms").getByRole("textbox").fill(text);
  await phone(small, "sms").getByRole("button", { name: "Send from Ada" }).tap();
  const tab = small.getByRole("tab", { name: /WhatsApp/ });
  await tab.locator(".unread").waitFor();
  await picture(small, "phone-unread");
  await tab.tap();
  await bubble(small, "whatsapp", text).waitFor();
  check((await tab.locator(".unread").count()) === 0, "the badge stays");
});

await test("the browser's person has a tab too, and a message for them counts until it is seen", async () => {
  const tab = small.getByRole("tab", { name: /Browser/ });
  const text = line("For Dana");
  await small.getByRole("tab", { name: /SMS/ }).tap();
  await phone(small, "sms").getByRole("textbox").fill(text);
  await phone(small, "sms").getByRole("button", { name: "Send from Ada" }).tap();
  await tab.locator(".unread").waitFor();
  await tab.tap();
  await bubble(small, "browser", text).waitFor();
  check((await tab.locator(".unread").count()) === 0, "the badge stays");
  await picture(small, "phone-browser");
  const width = await small.evaluate(() => document.documentElement.scrollWidth);
  check(width <= 390, `the page is ${width} wide`);
  await small.getByRole("tab", { name: /WhatsApp/ }).tap();
});

await test("the tabs work from the keyboard", async () => {
  const tab = (name) => small.getByRole("tab", { name });
  await tab(/WhatsApp/).focus();
  await small.keyboard.press("ArrowRight");
  check(await phone(small, "messenger").isVisible(), "the arrow chose nothing");
  check(await tab(/Messenger/).evaluate((element) => element === document.activeElement), "the focus stayed behind");
  await small.keyboard.press("ArrowRight");
  check(await phone(small, "browser").isVisible(), "the browser is left out");
  await small.keyboard.press("ArrowRight");
  check(await phone(small, "sms").isVisible(), "the tabs do not go round");
});

const night = await open({ viewport: { width: 390, height: 844 }, isMobile: true, deviceScaleFactor: 2, colorScheme: "dark" });
await picture(night, "phone-dark");

await test("every control has a name", async () => {
  const nameless = await desk.evaluate(() => [...document.querySelectorAll("button, select, textarea")]
    .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
    .map((one) => one.outerHTML));
  check(nameless.length === 0, nameless.join("\n"));
});

await test("nothing complains, and nothing comes from elsewhere", async () => {
  check(complaints.length === 0, complaints.join("\n"));
  check(strangers.length === 0, strangers.join("\n"));
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
