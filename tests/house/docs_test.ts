import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { type Block, blocks, docComments, tables } from "../support/markdown.ts";
import { anchorsOf, brokenLinks, guides, linksOf, nameOf, papers } from "../support/papers.ts";
import { draw } from "../../cli/report.ts";
import { Socks5Client } from "../../mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { SIGNED, startMethodProxy } from "../support/methods.ts";
import { runExample, withExample } from "../support/recipes.ts";
import { certificates } from "../support/certificates.ts";
import { startHttpProxy } from "../support/http_proxies.ts";
import { startSmtp } from "../support/smtp_server.ts";
import { startEcho, startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";
import { startWebSockets } from "../support/websocket_server.ts";
import { dnsAnswer, startUdpEcho } from "../support/udp_targets.ts";

const root = new URL("../../", import.meta.url);
const runtimes = ["deno", "bun", "node"];
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const { name, publish } = JSON.parse(read("deno.json")) as { name: string; publish: { include: string[] } };
const directories = publish.include.filter((path) => !path.includes(".") && path !== "LICENSE");

const documents = [
  ...guides.map(({ file, text }) => ({ file, found: blocks(text) })),
  ...["mod.ts", ...directories.flatMap((name) => list(`${name}/`))]
    .map((file) => ({ file, found: blocks(docComments(read(file))) })),
];

const all = documents.flatMap(({ found }) => found);
const examples = all.filter(isExample);
const ignored = all.filter(({ info }) => isTypeScript(info) && info.includes("ignore")).length;
const others = all.length - examples.length - ignored;

for (const { file, found } of documents) {
  for (const { info, line, code } of found.filter(isExample)) {
    test(`the example in ${file}, line ${line}, runs`, () => withProxies(code, runAsWritten), {
      skip: isForOthers(info) && `it is for ${info[1]} alone`,
    });
  }
}

for (const { file, found } of documents.filter(({ file }) => file.endsWith(".md"))) {
  for (const { info, line, code } of found.filter(({ info }) => isTypeScript(info) && isForOthers(info))) {
    test(`the example in ${file}, line ${line}, for ${info[1]} alone, ends elsewhere before it connects`, async () => {
      const error = await runExample(code).then(() => "it runs", (error) => error);
      assertMatch(String(error), /^ReferenceError: .*(Bun|Deno)|would go direct$/);
    });
  }
}

test(`examples in docs: ${examples.length} to run, ${ignored} to ignore, ${others} in other languages`, () => {
  assertEquals(documents.map(({ file }) => file).includes("mod.ts"), true);
});

test("every example of a page that is not run here is run by a test of its own, by its name", () => {
  // `before` is the code of another package
  const ignoredHere = documents.filter(({ file }) => file.endsWith(".md"))
    .flatMap(({ file, found }) =>
      found.filter((block) => block.info.includes("ignore") && nameOf(block) !== "before").map((block) => ({
        file,
        block,
      }))
    );
  const unnamed = ignoredHere.filter(({ block }) => nameOf(block) === undefined);
  assertEquals(unnamed.map(({ file, block }) => `${file}:${block.line}`), []);
  const tests = list("tests/").filter((file) => file.endsWith("_test.ts")).map(read).join();
  const run = Array.from(tests.matchAll(/\b(?:runRecipe|recipeCode)\(\s*["`]([\w-]+)/g), ([, name]) => name!);
  assertEquals(ignoredHere.map(({ block }) => nameOf(block)!).sort(), [...new Set(run)].sort());
});

test("docs/cli.md shows what socks5 check draws", async () => {
  const shown = blocks(read("docs/cli.md")).find(({ code }) => code.includes("$ socks5 check"))!.code;
  const table = shown.slice(shown.indexOf("\n\n") + 1).trimEnd().split("\n");
  const times = Array.from(shown.matchAll(/([\d.]+) ms/g), ([, ms]) => Number(ms));
  const secure = await startTls({ certificate: certificates().names }, (socket) => socket.end());
  const proxy = await createTestProxy({ credentials: () => 0, rules: { "example.com:443": secure } });
  try {
    const { hostname, port } = proxy;
    const client = new Socks5Client({ hostname, port, credentials: { username: "user", password: "pass" } });
    const tls = { caCerts: [certificates().authority.cert] };
    const [report] = await client.check("example.com:443", { tls });
    const steps = report!.steps.map((step, i) => ({ ...step, ms: step.status === "skipped" ? 0 : times[i]! }));
    const reports = [{ ...report!, steps, ms: times.at(-1)! }];
    const phases = steps.map(({ phase }) => phase);
    const title = "127.0.0.1:1080 (SOCKS5_PROXY) → example.com:443";
    const paint = (_style: unknown, text: string) => text;
    const drawn = draw({ title, phases, rounds: 1, reports, running: [] }, { paint, columns: 150, now: 0 });
    assertEquals(table, drawn.slice(0, -1));
  } finally {
    await proxy.close();
    await secure.close();
  }
});

test("every entry has docs of the module, as JSR asks for", () => {
  const { exports } = JSON.parse(read("deno.json")) as { exports: Record<string, string> };
  const without = Object.values(exports).filter((entry) => !/^\s*\/\*\*(?:(?!\*\/)[^])*@module/.test(read(entry)));
  assertEquals(without, []);
});

test("the changelog says nothing twice", () => {
  const starts = Array.from(read("CHANGELOG.md").matchAll(/^- (.{1,40})/gm), ([, start]) => start!);
  assertEquals(starts.filter((start, i) => starts.indexOf(start) !== i), []);
});

test("every relative link and image of the pages leads to a file that is there, and to a heading in it", () => {
  assertEquals(brokenLinks(papers), []);
});

test("every file that the pages name is there, and so is every function that docs/design.md finds in one", () => {
  const named = papers.flatMap(({ file, text }) =>
    Array.from(
      text.matchAll(/`((?:src|adapters|tests|cli|serve|fetch|agent|env|testing|bench|examples|docs)\/[\w./-]*)`/g),
    )
      .map(([, path]) => ({ file, path: path! }))
  );
  assertEquals(named.filter(({ path }) => !existsSync(new URL(path, root))), []);
  const sources = list("src/").map(read).join("\n");
  const functions = Array.from(read("docs/design.md").matchAll(/`(?:\w+\.)?(\w+)\(\)`/g), ([, name]) => name!);
  assertEquals(functions.filter((name) => !new RegExp(`\\b${name}(<[^(]*>)?\\(`).test(sources)), []);
});

test("the index has every page, and what README.md links to is published", () => {
  const index = linksOf(read("docs/README.md"));
  const pages = guides.map(({ file }) => file).filter((file) => /^docs\/(?!README)/.test(file));
  assertEquals(pages.filter((file) => !index.includes(file.slice("docs/".length))), []);
  const linked = linksOf(read("README.md")).filter((link) => !/^[a-z]+:|^#/.test(link)).map((link) =>
    link.split("#")[0]!
  );
  assertEquals(linked.filter((file) => !publish.include.some((it) => file === it || file.startsWith(`${it}/`))), []);
});

test("links and headings are read as GitHub reads them, and a link that leads nowhere is found", () => {
  const text = [
    "# A `b()` & c, [d](e.md)",
    "## Twice",
    "## Twice",
    "[one](#twice-1) [two](README.md#license) ![three](cpu.svg) `[code](no.md)` [four](https://example.com/)",
    "```md",
    "# Not one",
    "[five](no.md)",
    "```",
  ].join("\n");
  assertEquals([...anchorsOf(text)], ["a-b--c-d", "twice", "twice-1"]);
  assertEquals(linksOf(text), ["e.md", "#twice-1", "README.md#license", "cpu.svg", "https://example.com/"]);
  const broken =
    `[one](#none) [two](no.md) [three](README.md#no-such-heading) [four](README.md#install) [five](docs/cpu.svg)`;
  assertEquals(brokenLinks([{ file: "x.md", text: broken }]), [
    "x.md: #none",
    "x.md: no.md",
    "x.md: README.md#no-such-heading",
  ]);
});

test("an example that fails is seen, and its imports lead to this tree", async () => {
  const imports = `import * as main from "jsr:${name}@^0.1.0"; import * as node from '${name}/node';`;
  const same = `import * as real from "${new URL("mod.ts", root)}"; import { assert } from "@std/assert";`;
  await runExample(`${imports}\n${same}\nassert(main.Socks5Client === real.Socks5Client && "nodeTransport" in node);`);
  let error: unknown;
  await runExample(`const timeout: number = await Promise.resolve(1);\nthrow new RangeError(\`\${timeout}\`);`)
    .catch((reason) => error = reason);
  assertEquals(String(error), "RangeError: 1");
});

test("an example runs outside of the folders whose files are listed, since its own goes while others list them", async () => {
  const file = await withExample("", (file) => Promise.resolve(file));
  const folders = [...directories, "tests", "examples"].map((name) => fileURLToPath(new URL(`${name}/`, root)));
  assertEquals(folders.filter((folder) => file.startsWith(folder)), []);
});

test("an example that prints something else than it says is seen", async () => {
  await runAsWritten("console.log(1 + 1, true); // 2 true\nconsole.log(3); // some more words");
  let error: unknown;
  await runAsWritten("console.log(1 + 1); // 3").catch((reason) => error = reason);
  assertEquals(error instanceof Error, true);
});

test("blocks of code are found in doc comments and in lists, at their lines", () => {
  const source = [
    "/**",
    " * A thing.",
    " *",
    " * ```ts ignore",
    " * const a = 1;",
    " *   a();",
    " * ```",
    " */",
    "export const thing = `",
    "```ts",
    "`;",
    "  /** ",
    "   * ````md",
    "   * ```ts",
    "   * ```",
    "   * ````",
    "   */",
  ].join("\n");
  assertEquals(blocks(docComments(source)), [
    { info: ["ts", "ignore"], line: 4, code: "const a = 1;\n  a();\n" },
    { info: ["md"], line: 13, code: "```ts\n```\n" },
  ]);
  assertEquals(blocks("- one\n\n  ```sh\n  ls\n    -l\n  ```\n"), [{ info: ["sh"], line: 3, code: "ls\n  -l\n" }]);
  assertThrows(() => blocks("```ts\n"), SyntaxError, "line 1");
});

test("tables are read by heading and column", () => {
  const markdown = [
    "# Title",
    "| a | b |",
    "|---|:-:|",
    "| 1 | `x \\| y` |",
    "| 2 |",
    "",
    "## `Options` ##",
    "text",
    "| c |",
    "| - |",
    "| 3 |",
  ].join("\n");
  assertEquals(tables(markdown), {
    "Title": [{ a: "1", b: "`x | y`" }, { a: "2", b: "" }],
    "`Options`": [{ c: "3" }],
  });
});

/** Runs an example, which has to print what one or two words after `console.log()` say that it prints. */
async function runAsWritten(code: string): Promise<void> {
  const printed = await runExample(code);
  const said = Array.from(
    code.matchAll(/console\.log\(.*\); \/\/ (\S+(?: \S+)?)$/gm),
    ([, words]) => words!.replaceAll('"', ""),
  );
  assertEquals(said.filter((words) => !printed.includes(words)), [], printed.join("\n"));
}

function isExample({ info }: Block): boolean {
  return isTypeScript(info) && !info.includes("ignore");
}

function isForOthers(info: string[]): boolean {
  return info.some((word) => runtimes.includes(word)) && !info.includes(runtime);
}

function isTypeScript([language]: string[]): boolean {
  return language === "ts" || language === "typescript";
}

/** Lets the proxies that examples speak of be on loopback, and their targets behind them. */
async function withProxies(code: string, run: (code: string) => Promise<unknown>): Promise<void> {
  const web = await startTarget((socket) => socket.once("data", () => socket.end("HTTP/1.0 204 No Content\r\n\r\n")));
  const secure = await startTls({ certificate: certificates().names }, (socket) => {
    socket.once("data", () => socket.end("HTTP/1.0 204 No Content\r\n\r\n"));
  });
  const webSockets = await startWebSockets();
  const mail = await startSmtp([]);
  const echo = await startEcho();
  const rules = {
    "example.com:80": web,
    "example.com:443": secure,
    "ws.example:80": webSockets,
    "mail.example:587": mail,
    "echo.example:7": echo,
    "refused.example:443": { rep: 5 },
    "example.com:0": { hostname: "93.184.215.14", port: 0 },
    "93.184.215.14:0": { hostname: "example.com", port: 0 },
    "127.0.0.1:5432": echo,
    "[::1]:5432": echo,
  };
  const udpEcho = await startUdpEcho();
  const dns = await startUdpEcho((query) => dnsAnswer(query, "192.0.2.1"));
  const udp = { rules: { "echo.example:7": udpEcho, "dns.example:53": dns } };
  const proxy = await createTestProxy({ credentials: () => 0, methods: [2, 0], rules, udp });
  const tlsProxy = await startTls({ certificate: certificates().names }, (socket) => {
    const plain = connect(proxy.port, "127.0.0.1");
    for (const it of [socket, plain]) it.on("error", () => {}).once("close", () => (socket.destroy(), plain.destroy()));
    socket.pipe(plain).pipe(socket);
  });
  const httpProxy = await startHttpProxy({ credentials: "user:pass", rules: { "example.com:80": web } });
  const signing = await startMethodProxy({ method: SIGNED, password: "pass" });
  try {
    const here = code.replace(/\bhttp-proxy\.example:\d+/g, httpProxy.address).replace(
      /\btls-proxy\.example:\d+/g,
      `127.0.0.1:${tlsProxy.port}`,
    ).replace(
      /\bproxy(-two)?\.example:\d+/g,
      `127.0.0.1:${proxy.port}`,
    )
      .replace(/\bsigning\.example:\d+/g, signing.host)
      .replace(/\bdown\.example:\d+/g, "127.0.0.1:1")
      .replace(/\bdb\.internal:5432"\);/g, 'localhost:5432");');
    const trusted = JSON.stringify({ caCerts: [certificates().authority.cert] });
    const ca = JSON.stringify(certificates().authority.cert);
    await run(
      here.replace(/\bminVersion: /g, `ca: ${ca}, minVersion: `).replace(/\btls: true\b/g, `tls: ${trusted}`).replace(
        /\bhttp2: true\b/g,
        `http2: true, tls: ${trusted}`,
      ).replace(
        /\.startTls\(\)/g,
        `.startTls(${trusted})`,
      ),
    );
  } finally {
    for (const it of [proxy, httpProxy, signing, tlsProxy, web, secure, webSockets, mail, echo, udpEcho, dns]) {
      await it.close();
    }
  }
}

function list(directory: string): string[] {
  const files = readdirSync(new URL(directory, root), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".ts")).map((file) => directory + file).sort();
}

function read(file: string): string {
  return readFileSync(new URL(file, root), "utf8");
}
