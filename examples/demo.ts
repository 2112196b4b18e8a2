// What the library does, shown with proxies and a web server on loopback: npm start
// In your project, import from "@x/socks5"; on Deno without an install, from "jsr:@x/socks5".
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { type Conn, Socks5Client, Socks5Error, type Socks5Event } from "../mod.ts";
import { createTestProxy, type TestFault, type TestProxy, type TestProxyOptions } from "../testing/mod.ts";
import { bar, heading, milliseconds, paint, row, type Style, WIDTH } from "./support/terminal.ts";

const ROUND_TRIP = 60; // milliseconds
const FAR_AWAY: TestFault = { fault: "wait", at: ["negotiate", "authenticate", "request"], for: ROUND_TRIP };
const CREDENTIALS = { username: "alice", password: "open sesame" };
const TARGET = "example.test:80";
const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n");
const MARKS = { ok: "✓", failed: "✗", skipped: "·" } as const;
const STYLES = { ok: "green", failed: "red", skipped: "dim" } as const;

const started = performance.now();
const site = await startSite();
const proxies: TestProxy[] = [];
try {
  const { deno, bun, node } = process.versions;
  const runtime = deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
  console.log(`\n${paint("bold", "@x/socks5")} on ${runtime}`);
  console.log(`Everything runs on loopback. Each answer takes ${ROUND_TRIP} ms, as if it came from far away.`);

  const proxy = await startProxy();
  await showHandshake(proxy);
  await showRequest(proxy);
  await showReuse(proxy);
  await showRetry();
  await showFailover(proxy);
  await showCheck(proxy);
  await showError(proxy);

  await Promise.all(proxies.map((proxy) => proxy.until(() => proxy.open === 0)));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`\n${paint("green", "Everything worked")}, in ${seconds} s, and no connection was left open.`);
} finally {
  await Promise.all(proxies.map((proxy) => proxy.close()));
  site.close();
  site.closeAllConnections();
}

async function showHandshake(proxy: TestProxy): Promise<void> {
  heading("1  Handshake", "client.check(target) goes through every step and reports how long each takes.");
  const client = new Socks5Client(proxy.url);
  const [report] = await client.check(TARGET, { probe: REQUEST });
  assert(report?.verdict === "ok");

  const space = WIDTH - 73; // what the other columns leave
  let at = 0;
  for (const { phase, ms, message } of report.steps) {
    const part = bar(at / report.ms, (at + ms) / report.ms, space);
    row([phase, milliseconds(ms), part, message], [12, 8, space], ["cyan", undefined, "green", "dim"]);
    at += ms;
  }
}

async function showRequest(proxy: TestProxy): Promise<void> {
  heading("2  Request", "client.connect(target) opens a tunnel; the proxy resolves the name.");
  const begun = performance.now();
  const client = new Socks5Client(proxy.url, { onEvent: tell });
  const conn = await client.connect(TARGET);
  const { status, page } = await get(conn);
  conn.close();
  note(milliseconds(performance.now() - begun), "answered", `${status}: ${page}`);
  const { hostname, port } = conn.boundAddress;
  note("", "", `${hostname}:${port} is conn.boundAddress, the proxy's end`, "dim");
  assert.equal(page, `hello to ${hostname}:${port}`);
}

async function showReuse(proxy: TestProxy): Promise<void> {
  heading("3  Reuse", "With { reuse: true }, conn.release() keeps the tunnel for the next connect().");
  const client = new Socks5Client(proxy.url);
  let longest = 0;
  for (const name of ["new", "released"]) {
    const begun = performance.now();
    const conn = await client.connect(TARGET, { reuse: true });
    const ms = performance.now() - begun;
    await get(conn);
    conn.release();
    longest = Math.max(longest, ms);
    row([milliseconds(ms), name, bar(0, ms / longest, WIDTH - 23)], [8, 9], ["dim", "cyan", "green"]);
  }
  assert.equal(client.stats().reused, 1);
  await client.close();
}

async function showRetry(): Promise<void> {
  heading("4  Retry", "The proxy hangs up on the first attempt; connect() pauses and tries again.");
  const moody = await startProxy({
    faults: ({ index }) => index === 0 ? { fault: "close", at: "negotiate" } : FAR_AWAY,
  });
  const client = new Socks5Client(moody.url, { retry: { minDelay: 500 }, onEvent: tell });
  const conn = await client.connect(TARGET);
  conn.close();
  assert.equal(client.stats().retries, 1);
}

async function showFailover(proxy: TestProxy): Promise<void> {
  heading("5  Failover", "The first of two proxies is down; the second connect() passes it over.");
  const dead = await startDeadProxy();
  const client = new Socks5Client([dead.url, proxy.url], { onEvent: tell });
  for (const time of ["first", "second"]) {
    note("", "connect()", `the ${time} time`);
    const conn = await client.connect(TARGET);
    conn.close();
  }
  const [first] = client.stats().proxies;
  assert(first?.failures === 1);
  note("", "", `client.stats(): ${first.proxy} is passed over for ${(first.cooldown / 1000).toFixed(1)} s more`, "dim");
}

async function showCheck(proxy: TestProxy): Promise<void> {
  heading("6  Check", "Which of these proxies works? Only a byte from the target proves it.");
  const candidates = {
    "good": proxy,
    "other password": await startProxy({ credentials: { username: "bob" } }),
    "web server": { hostname: "127.0.0.1", port: portOf(site) },
    "empty promise": await startProxy({ faults: { fault: "false-success" } }),
    "dead": await startDeadProxy(),
  };
  const specs = Object.values(candidates).map(({ hostname, port }) => ({ hostname, port, credentials: CREDENTIALS }));
  const reports = await new Socks5Client(specs).check(TARGET, { probe: REQUEST });

  const phases = reports[0]!.steps.map(({ phase }) => phase);
  const widths = [14, ...phases.map(({ length }) => length)];
  row(["", ...phases, "verdict"], widths, new Array<Style>(phases.length + 2).fill("cyan"));
  for (const [i, name] of Object.keys(candidates).entries()) {
    const { steps, verdict } = reports[i]!;
    const styles = steps.map(({ status }) => STYLES[status]);
    const marks = steps.map(({ status }) => MARKS[status]);
    row([name, ...marks, verdict], widths, [undefined, ...styles, verdict === "ok" ? "green" : "red"]);
  }
  const verdicts = reports.map(({ verdict }) => verdict);
  assert.deepEqual(verdicts, ["ok", "auth-refused", "not-socks5", "unproven", "proxy-down"]);
}

async function showError(proxy: TestProxy): Promise<void> {
  heading("7  Error", "One proxy is down, one cannot reach the target: the error that got furthest is thrown.");
  const dead = await startDeadProxy();
  const client = new Socks5Client([dead.url, proxy.url]);
  const error: unknown = await client.connect("closed.test:80").catch((error) => error);
  assert(error instanceof Socks5Error && error.code === "SOCKS5_TARGET_REFUSED");

  const field = (...cells: string[]) => row(cells, [9, 21], ["cyan", undefined, "dim"]);
  row(["message", error.message], [9], ["cyan", "red"]);
  field("name", error.name, "what to do: here, use another target");
  field("code", error.code, "what happened, as a stable name");
  field("phase", error.phase, "at which step");
  field("retryable", `${error.retryable}`, "whether the same may succeed a moment later");
  for (const earlier of error.errors) row(["errors", earlier.message], [9], ["cyan", "red"]);
}

/** Prints what a client does while it does it. */
function tell(event: Socks5Event): void {
  if (event.id === undefined) return; // a proxy that is out of service, or back
  const { type, proxy, target } = event;
  const ms = milliseconds(event.ms);
  if (type === "attempt") note(ms, `attempt ${event.attempt}`, `at ${proxy}`);
  if (type === "connected") note(ms, type, `to ${target} through ${proxy}`);
  if (type !== "failed") return;
  note(ms, type, event.error.message, "red");
  note("", event.next ?? "gave up", event.next === "retry" ? `in ${event.delay.toFixed()} ms` : "at once", "yellow");
}

function note(time: string, what: string, more: string, style?: Style): void {
  row([time, what, more], [8, 9], ["dim", "cyan", style]);
}

/** An HTTP request by hand, with the plain calls: a tunnel whose streams were used cannot be released. */
async function get(conn: Conn): Promise<{ status: string; page: string }> {
  await conn.write(REQUEST);
  const bytes = new Uint8Array(1024);
  let text = "";
  while (!/\r\n\r\n.+\n$/.test(text)) {
    const n = await conn.read(bytes);
    assert(n !== null, "the web server hung up");
    text += new TextDecoder().decode(bytes.subarray(0, n));
  }
  const lines = text.trimEnd().split("\r\n");
  return { status: lines[0]!, page: lines.at(-1)! };
}

/** A web server whose page is one line: the client's address. */
async function startSite(): Promise<Server> {
  const server = createServer(({ socket }, response) => {
    const page = `hello to ${socket.remoteAddress}:${socket.remotePort}\n`;
    response.setHeader("Content-Length", page.length);
    setTimeout(() => response.end(page), ROUND_TRIP);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** A proxy that knows two names, one of which leads to the web server. */
async function startProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const rules = { [TARGET]: { port: portOf(site) }, "closed.test:80": { rep: 5 } };
  const proxy = await createTestProxy({ credentials: CREDENTIALS, rules, faults: FAR_AWAY, ...options });
  proxies.push(proxy);
  return proxy;
}

/** A proxy that has stopped. */
async function startDeadProxy(): Promise<TestProxy> {
  const proxy = await startProxy();
  await proxy.stop();
  return proxy;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
