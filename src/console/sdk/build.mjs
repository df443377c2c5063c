// Puts the official SDK, unmodified, into one module that a page can load: `npm ci && npm run build`.
//
// What comes of it is kept in the repository (`built/`), so that neither a build of the daemon nor its demo needs npm;
// `tests/run console` builds it anew and fails when a byte differs.
import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
process.chdir(here);
const made = await build({
  entryPoints: ["client.js"],
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  legalComments: "none",
  metafile: true,
  write: false,
  outdir: "built",
});

// The folders of the packages that something came from, each once.
const folders = new Set();
for (const file of Object.keys(made.metafile.inputs)) {
  const end = file.lastIndexOf("node_modules/") + "node_modules/".length;
  const [scope, name] = file.slice(end).split("/");
  if (file.includes("node_modules/")) folders.add(file.slice(0, end) + (scope.startsWith("@") ? `${scope}/${name}` : scope));
}

// The terms of a package whose own folder has no text of them stand in the SDK's notice.
const notice = readFileSync("node_modules/@twilio/conversations/NOTICE.txt", "utf8");
const said = [];
for (const folder of [...folders].sort()) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file)).sort();
  if (texts.length === 0 && !notice.includes(`(${name})`)) throw new Error(`${name} has no text of its licence`);
  if (texts.length === 0) {
    said.push(`${name} ${version} (${license})\n\nSee the notice of @twilio/conversations.\n`);
    continue;
  }
  const text = texts.map((file) => readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim()).join("\n\n");
  said.push(`${name} ${version} (${license})\n\n${text}\n`);
}

const head = `/* The official JavaScript SDK and what it needs, unmodified, in one module. Made by build.mjs; licences: licenses.txt */\n`;
if (!existsSync("built")) mkdirSync("built");
writeFileSync("built/sdk.js", head + made.outputFiles[0].text);
const line = "=".repeat(120);
writeFileSync("built/licenses.txt", `What is in sdk.js, and under which terms.\n\n${said.map((one) => `${line}\n${one}`).join("\n")}`);
