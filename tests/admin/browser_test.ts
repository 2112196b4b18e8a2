import { assertEquals, assertMatch } from "@std/assert";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { adminHandler, type AdminHandlerOptions, Recorder } from "../../admin/mod.ts";
import { ProxyError, type ProxySpec, Socks5Client } from "../../mod.ts";
import { missing, runClient, withDirectory } from "../support/client_program.ts";
import { findProgram } from "../support/real_process.ts";
import { test } from "../support/test.ts";

const script = fileURLToPath(new URL("../support/admin_browser.mjs", import.meta.url));
const absent = missing("chromium", "node");
const isOnNode = !("Deno" in globalThis || "Bun" in globalThis);
/** What only concerns the script of the page. */
const elsewhere = absent || (!isOnNode && "the page is the same on each runtime: it is tried on Node");

const HOSTILE = `<img src=x onerror="document.title='pwned'">`;
const LONG = "x".repeat(255);

/** What a browser saw on the page in some scenarios; nothing may go wrong, nor be asked of others. */
// deno-lint-ignore no-explicit-any
async function browse(scenarios: string[], labels: string[], options: AdminHandlerOptions = {}): Promise<any> {
  const recorder = new Recorder();
  const proxies = labels.map((label, i): ProxySpec => ({
    hostname: "127.0.0.1",
    port: 1,
    path: undefined,
    label,
    ...user(i),
  }));
  const client = new Socks5Client(proxies, { retry: 0, onEvent: recorder.onEvent });
  if (labels.length > 1) use(recorder, labels[1]!);
  const handler = adminHandler({ client, recorder }, options);
  let isDown = false;
  const server = createServer((request, response) => {
    if (request.url!.startsWith("/-/")) {
      isDown = request.url === "/-/down";
      const [, busy] = request.url!.split("busy?");
      if (busy !== undefined) { for (let i = 0; i < 10; i++) use(recorder, busy); }
      response.end();
    } else if (isDown) request.socket.destroy();
    else handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  let saw: unknown;
  try {
    await withDirectory(async (directory) => {
      const chromium = findProgram("chromium") ?? "chromium";
      const { code, out, err } = await runClient(directory, "node", [
        script,
        JSON.stringify({ chromium, url, scenarios }),
      ]);
      assertEquals([code, err], [0, ""]);
      const result = JSON.parse(out);
      // the browser itself tells of an answer that did not come
      assertEquals(
        result.wrong.filter((it: string) => !(scenarios.includes("loss") && /ERR_|Failed to load/.test(it))),
        [],
      );
      saw = result.saw;
    });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await client.close();
  }
  return saw;
}

/** Each proxy is another user of one place where nobody listens. */
function user(i: number): { credentials: { username: string; password: string } } {
  return { credentials: { username: `user-${i}`, password: "sesame" } };
}

/** Two connects that went well through a proxy, and one that failed. */
function use({ onEvent }: Recorder, proxy: string): void {
  const message = `Cannot connect to a.test:443 through ${proxy}: <script>document.title = "pwned"</script>`;
  const error = new ProxyError("SOCKS5_PROXY_HUNG_UP", message, { phase: "negotiate", proxy });
  for (const id of [1, 2, 3]) {
    const event = { id, proxy, target: "a.test:443", attempt: 1 };
    onEvent({ ...event, ms: 0, type: "attempt" });
    if (id < 3) onEvent({ ...event, ms: 12 * id, type: "connected", reused: false });
    else onEvent({ ...event, ms: 40, type: "failed", error, next: "failover", delay: 0 });
  }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `${i % 2 === 0 ? "de" : "fr"}-${i}`);

test(
  "the page shows proxies, listeners and failures, what strangers wrote as text, and fits each screen in both schemes",
  async () => {
    const listeners =
      () => [{ url: "http://127.0.0.1:8118", clients: 1 }, { url: "http://[::1]:6379", target: HOSTILE }];
    const [saw, faults] = await browse(["shows", "looks"], ["de-1", HOSTILE, LONG], { listeners });
    assertEquals(saw.columns, [
      ...[
        "Proxy",
        "State",
        "In use",
        "Idle",
        "Connects",
        "Failures",
        "Last minute",
        "Median",
        "p95",
        "Sent",
        "Received",
      ],
      "Actions",
    ]);
    assertEquals([saw.labels, saw.foreign, saw.title], [["de-1", HOSTILE, LONG], 0, "socks5"]);
    const [state, inUse, idle, connects, failures, minute, median, p95, sent, received] = saw.second;
    assertEquals([state.trim(), inUse, idle, connects, failures], ["In service", "0", "0", "0", "0"]);
    assertEquals([minute.trim(), median, p95, sent, received], ["2 1 failed", "24 ms", "24 ms", "0 B", "0 B"]);
    assertEquals(saw.bars.every((count: number) => count >= 1), true);
    assertMatch(
      saw.facts,
      /Proxies in service\s+3\s+of 3\s[^]*Waiting connects\s+0\s+In the last minute\s+2\s+connects, 1 failed/,
    );
    assertEquals(saw.listeners, ["http://127.0.0.1:8118, 1 client", `http://[::1]:6379 leads to ${HOSTILE}`]);
    assertEquals(faults, {}); // no screen is too narrow, and no text has a contrast below 4.5
    assertEquals(saw.failure.slice(1), [
      ...[
        HOSTILE,
        "a.test:443",
        `SOCKS5_PROXY_HUNG_UP\n<script>document.title = "pwned"</script>`,
        "40 ms",
        "other proxy",
      ],
    ]);
  },
  { skip: absent },
);

test(
  "the buttons of the page suspend, resume and check, and keep the focus; the page says when there is no answer",
  async () => {
    const [buttons, loss] = await browse(["buttons", "loss"], ["de-1", "de-2"]);
    assertEquals(buttons, [
      "de-1 is suspended",
      "Resume de-1",
      "1 of 2 proxies are out of service",
      "Out back in 5 min: suspended",
      "1 out – socks5",
      "de-1 is back in service",
      "de-1",
    ]);
    assertEquals(loss, ["Updated T", "No answer since T. Trying again", "Updated T"]);
  },
  { skip: absent },
);

test("the page is sorted by each column and filtered, for all proxies, and the address keeps it", async () => {
  const labels = [...names(300), "last"];
  const [seen] = await browse(["order"], labels);
  assertEquals(seen, [
    ["Last minute descending"],
    ["Last minute ascending"],
    [],
    ["Proxy ascending"],
    ["Proxy descending"],
    "text",
    "#text=de-1&sort=proxy&descending=true",
    "de-1",
    labels.filter((it) => it.includes("de-1")).sort().reverse(),
  ]);
}, { skip: elsewhere });

test("a row stays where it is while the pointer is on it", async () => {
  assertEquals(await browse(["held"], names(3)), [["fr-1", "de-2"]]);
}, { skip: elsewhere });

test("the page has the first 300 of 10,000 proxies, more on demand, and finds each", async () => {
  assertEquals(await browse(["many"], names(10_000)), [[300, 600, 1]]);
}, { skip: elsewhere });

test("the page of a port that is read-only has no buttons to change something", async () => {
  assertEquals(await browse(["readonly"], ["de-1"], { readonly: true }), [[0, false]]);
}, { skip: elsewhere });
