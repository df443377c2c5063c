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

const complaints = [];
const strangers = [];
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  page.on("console", (line) => { if (["error", "warning"].includes(line.type())) complaints.push(line.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(pageUrl)) strangers.push(request.url()); });
  await page.goto(pageUrl);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.locator('#phones[aria-busy="false"]').waitFor();
  return page;
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

await test("three phones stand side by side and show the script", async () => {
  const places = [];
  for (const [channel, name] of [["sms", "Ada"], ["whatsapp", "Bo"], ["messenger", "Cleo"]]) {
    await phone(desk, channel).getByRole("heading", { name }).waitFor();
    for (const other of ["Ada", "Bo", "Cleo"]) await bubble(desk, channel, other).first().waitFor();
    places.push(await phone(desk, channel).boundingBox());
  }
  check(places[0].x < places[1].x && places[1].x < places[2].x, "they are not ordered from left to right");
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

await test("the tabs work from the keyboard", async () => {
  const tab = (name) => small.getByRole("tab", { name });
  await tab(/WhatsApp/).focus();
  await small.keyboard.press("ArrowRight");
  check(await phone(small, "messenger").isVisible(), "the arrow chose nothing");
  check(await tab(/Messenger/).evaluate((element) => element === document.activeElement), "the focus stayed behind");
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
