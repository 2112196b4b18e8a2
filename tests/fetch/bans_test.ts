import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { retryAfter } from "../../fetch/bans.ts";
import { createFetch, type FetchOptions, type Socks5Fetch } from "../../fetch/mod.ts";
import { Socks5Client, type Socks5Event } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { type FleetStage, sessionOn, withFleet } from "../support/fetch_stage.ts";
import { test } from "../support/test.ts";

const { authority, names } = certificates();
const MINUTE = 60_000;
const half = { duplex: "half" } as RequestInit;

/** What is tried with a site that bans some proxies. */
interface BanStage extends FleetStage {
  fetch: Socks5Fetch;
  /** The labels of the proxies that the site bans, with 403, or 429 and Retry-After if the path is /later. */
  banned: Set<string>;
  /** What was suspended, for which host name and for how long. */
  suspended: [proxy: string, hostname: string | undefined, duration: number][];
  /** The proxies that requests came through, in order. */
  seen: string[];
}

/** Runs `use` with a fetch through the proxies a, b and c, which come in this order. */
async function withBans(
  options: FetchOptions & { secure?: boolean },
  use: (stage: BanStage) => Promise<void>,
): Promise<void> {
  const { secure = false, ...own } = options;
  const suspended: BanStage["suspended"] = [];
  const seen: string[] = [];
  const banned = new Set<string>();
  const onEvent = (event: Socks5Event) => {
    if (event.type === "suspended") suspended.push([event.proxy, event.hostname, event.duration]);
  };
  const settings = { proxies: ["a", "b", "c"], client: { onEvent }, tls: secure ? names : undefined };
  await withFleet(
    (request, response, proxy) => {
      seen.push(proxy);
      request.resume();
      if (!banned.has(proxy)) response.writeHead(200).end("yes"); // in chunks: it is read by who asks for it
      else if (request.url === "/later") response.writeHead(429, { "retry-after": "120" }).end("later");
      else if (request.url === "/moved") response.writeHead(302, { location: "/captcha" }).end("captcha");
      else response.writeHead(403).end("no");
    },
    settings,
    async (stage) => {
      await using fetch = createFetch(stage.client, {
        ban: { 403: MINUTE },
        tls: { caCerts: [authority.cert] },
        ...own,
      });
      await use({ ...stage, fetch, suspended, seen, banned });
    },
  );
}

for (const secure of [false, true]) {
  const origin = secure ? "https://example.com" : "http://example.com";

  test(`${origin}: a proxy that a site bans is not asked again for its host name, and is for others`, async () => {
    await withBans({ secure }, async ({ fetch, banned, suspended, seen }) => {
      banned.add("a");
      const ask = async (url: string) => {
        const response = await fetch(url);
        return [response.status, await response.text(), fetch.proxyOf(response)];
      };
      assertEquals(await ask(origin), [403, "no", "a"]);
      assertEquals(suspended, [["a", "example.com", MINUTE]]);
      for (let i = 0; i < 3; i++) assertEquals(await ask(`${origin}/${i}`), [200, "yes", "b"]);
      if (!secure) assertEquals(await ask("http://www.example.com/"), [200, "yes", "b"]);
      if (!secure) assertEquals(await ask("http://example.org/"), [403, "no", "a"]);
      assertEquals(seen.filter((proxy) => proxy === "a").length, secure ? 1 : 2);
    });
  });
}

test("connections through a banned proxy that were kept, or are in use just then, serve no further request", async () => {
  await withBans({}, async ({ fetch, banned, seen }) => {
    const [unread, ...others] = await Promise.all([1, 2, 3].map(() => fetch("http://a.test/")));
    await Promise.all(others.map((response) => response.text()));
    banned.add("a");
    const refused = await fetch("http://a.test/");
    assertEquals([refused.status, await unread!.text(), await refused.text()], [403, "yes", "no"]);
    await Promise.all([1, 2, 3, 4].map(async () => (await fetch("http://a.test/")).text()));
    assertEquals(seen, ["a", "a", "a", "a", "b", "b", "b", "b"]);
  });
});

test("attempts: a request goes out once more through another proxy, and its session moves", async () => {
  await withBans({ attempts: 3 }, async ({ client, fetch, banned, suspended }) => {
    const session = await sessionOn(client, "b");
    banned.add("b");
    const proxies = [];
    for (let i = 0; i < 3; i++) {
      const response = await fetch("http://a.test/", { session });
      assertEquals([response.status, await response.text()], [200, "yes"]);
      proxies.push(fetch.proxyOf(response));
    }
    assertEquals(suspended, [["b", "a.test", MINUTE]]);
    assertEquals([proxies[0] === "b", new Set(proxies).size], [false, 1]);
    banned.clear();
    assertEquals(fetch.proxyOf(await fetch("http://b.test/", { method: "HEAD", session })), "b");
  });
});

test("the caller gets the last response, once attempts or proxies are used up", async () => {
  for (const [attempts, requests] of [[undefined, 1], [1, 1], [2, 2], [3, 3], [Infinity, 4]] as const) {
    await withBans({ attempts }, async ({ fetch, banned, suspended, seen }) => {
      for (const proxy of ["a", "b", "c"]) banned.add(proxy);
      const response = await fetch("http://a.test/");
      assertEquals([response.status, await response.text(), fetch.proxyOf(response)], [403, "no", seen.at(-1)]);
      assertEquals([seen.length, suspended.length], [requests, requests], `attempts: ${attempts}`);
    });
  }
});

const bytes = () => new Uint8Array(100_000);
const stream = () => new Blob([bytes()]).stream();

/** What is sent, and how often. */
const bodies: [what: string, init: () => RequestInit, times: number][] = [
  ["a GET", () => ({}), 2],
  ["a HEAD", () => ({ method: "HEAD" }), 2],
  ["a PUT of bytes", () => ({ method: "PUT", body: bytes() }), 2],
  ["a PUT of a Blob", () => ({ method: "PUT", body: new Blob([bytes()]) }), 2],
  ["a PUT of a stream", () => ({ method: "PUT", body: stream(), ...half }), 1],
  ["a POST of bytes", () => ({ method: "POST", body: bytes() }), 1],
  ["a POST of a stream", () => ({ method: "POST", body: stream(), ...half }), 1],
  [
    "a POST of bytes with Idempotency-Key",
    () => ({ method: "POST", body: bytes(), headers: { "idempotency-key": "1" } }),
    2,
  ],
  ["a POST of a stream with Idempotency-Key", () => ({
    method: "POST",
    body: stream(),
    headers: { "idempotency-key": "1" },
    ...half,
  }), 1],
];

for (const [what, init, times] of bodies) {
  test(`attempts: ${what} is sent ${times === 1 ? "once" : "again"}`, async () => {
    await withBans({ attempts: 3 }, async ({ fetch, banned, seen, suspended }) => {
      banned.add("a");
      const response = await fetch("http://a.test/", init());
      await response.arrayBuffer();
      assertEquals([response.status, seen], times === 1 ? [403, ["a"]] : [200, ["a", "b"]]);
      assertEquals(suspended.map(([proxy]) => proxy), ["a"]);
    });
  });
}

test("a response that is dropped is cancelled, and its connection closed", async () => {
  let ended = 0;
  const endless = new Uint8Array(100_000);
  await withFleet(
    (_, response, proxy) => {
      if (proxy === "b") return void response.end("yes");
      response.on("close", () => ended++).writeHead(403);
      const more = () => void (response.write(endless) ? setImmediate(more) : response.once("drain", more));
      more();
    },
    {},
    async ({ client, proxies }) => {
      await using fetch = createFetch(client, { ban: { 403: MINUTE }, attempts: 2 });
      assertEquals(await (await fetch("http://a.test/")).text(), "yes");
      await proxies.a!.until(() => proxies.a!.open === 0);
      assertEquals(ended, 1);
    },
  );
});

test("a redirect that bans is not followed while attempts are left, and each request of a redirect has its own", async () => {
  await withBans({ ban: { 302: MINUTE, 403: 2 * MINUTE }, attempts: 2 }, async ({ fetch, banned, seen, suspended }) => {
    banned.add("a");
    assertEquals(await (await fetch("http://a.test/moved")).text(), "yes");
    assertEquals(seen, ["a", "b"]);
    banned.add("b");
    const response = await fetch("http://b.test/moved");
    assertEquals([response.status, response.redirected, await response.text()], [200, true, "yes"]);
    assertEquals(seen.slice(2), ["a", "b", "c"]);
    assertEquals(suspended.map(([, hostname, ms]) => [hostname, ms]).slice(1), [["b.test", MINUTE], [
      "b.test",
      MINUTE,
    ]]);
  });
});

test("an abort while a request is sent again ends it", async () => {
  const abort = new AbortController();
  await withFleet(
    (_, response, proxy) => {
      if (proxy === "a") response.writeHead(403).end("no");
      else abort.abort(new Error("enough"));
    },
    {},
    async ({ client }) => {
      await using fetch = createFetch(client, { ban: { 403: MINUTE }, attempts: 2 });
      await assertRejects(() => fetch("http://a.test/", { signal: abort.signal }), Error, "enough");
    },
  );
});

test("Retry-After of a response says for how long", async () => {
  await withBans({ ban: { 429: "retry-after" } }, async ({ fetch, banned, suspended }) => {
    banned.add("a");
    assertEquals((await fetch("http://[::1]:8080/later")).status, 429);
    assertEquals(suspended, [["a", "::1", 2 * MINUTE]]);
    assertEquals(await (await fetch("http://[::1]:8080/later")).text(), "yes");
  });
});

const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";

const fields: [retryAfter: string | undefined, ms: number][] = [
  ["120", 2 * MINUTE],
  ["1", 1_000],
  ["0", 1_000],
  ["86400", 86_400_000],
  ["86401", 86_400_000],
  ["9".repeat(400), 86_400_000],
  ["Sun, 06 Nov 1994 08:51:37 GMT", 2 * MINUTE],
  ["Sunday, 06-Nov-94 08:51:37 GMT", 2 * MINUTE],
  ["Sun Nov  6 08:51:37 1994", 2 * MINUTE],
  ["Sun, 06 Nov 1994 07:49:37 GMT", 1_000],
  ["Fri, 31 Dec 9999 23:59:59 GMT", 86_400_000],
  [undefined, MINUTE],
  ["", MINUTE],
  ["-5", MINUTE],
  ["1.5", MINUTE],
  ["1e3", MINUTE],
  ["0x10", MINUTE],
  ["120 seconds", MINUTE],
  ["1994", 1_994_000],
  ["1994-11-06T08:51:37Z", MINUTE],
  ["Sun, 06 Nov 1994 08:51:37 CET", MINUTE],
  ["Sun, 06 Nop 1994 08:51:37 GMT", MINUTE],
  ["Sun, 06 Nov 1994 99:51:37 GMT", MINUTE],
];

for (const [field, ms] of fields) {
  test(`Retry-After: ${field?.slice(0, 40) ?? "none"} is ${ms} ms`, () => {
    assertEquals(retryAfter({ headers: { date: DATE, ...(field !== undefined && { "retry-after": field }) } }), ms);
  });
}

test("Retry-After with a date is on the clock of the target, or on that of this machine if it tells none", () => {
  const inAMinute = new Date(Date.now() + MINUTE + 999).toUTCString();
  const ms = retryAfter({ headers: { "retry-after": inAMinute, date: "no date" } });
  assert(ms > MINUTE / 2 && ms <= MINUTE + 1000, String(ms));
});

test("a proxy that has left the list meanwhile is no failure", async () => {
  await withBans({ attempts: 2 }, async ({ client, fetch, proxies, banned }) => {
    const options = { ban: { 403: MINUTE }, attempts: 2 };
    const own = {
      connect: client.connect.bind(client),
      suspend(...args: Parameters<Socks5Client["suspend"]>) {
        client.setProxies([{ url: proxies.b!.url, label: "b" }]);
        client.suspend(...args);
      },
    };
    banned.add("a");
    await using other = createFetch(own, options);
    assertEquals((await other("http://a.test/")).status, 200);
    assertEquals((await fetch("http://a.test/")).status, 200);
  });
});

const proxy = "socks5h://proxy.test:1080";
const wrong: [options: unknown, kind: typeof TypeError | typeof RangeError, message: string][] = [
  [{ ban: null }, TypeError, "Cannot use ban as an object of statuses: current value is null"],
  [{ ban: [403] }, TypeError, "Cannot use ban as an object of statuses: current value is an array"],
  [{ ban: new Map([[403, 1]]) }, TypeError, "Cannot use ban as an object of statuses: current value is an object"],
  [{ ban: { 403: -1 } }, RangeError, "Cannot use ban[403] as milliseconds from 0 to"],
  [{ ban: { 403: NaN } }, RangeError, "Cannot use ban[403] as milliseconds from 0 to"],
  [
    { ban: { 403: "1m" } },
    TypeError,
    'Cannot use ban[403] as milliseconds or "retry-after": current value is a string',
  ],
  [{ ban: { 403: true } }, TypeError, 'Cannot use ban[403] as milliseconds or "retry-after": current value is true'],
  [{ ban: { 199: 1 } }, RangeError, "Cannot use a key of ban as a status from 200 to 599: current value is 199"],
  [{ ban: { 600: 1 } }, RangeError, "Cannot use a key of ban as a status from 200 to 599: current value is 600"],
  [{ ban: { "4xx": 1 } }, TypeError, "Cannot use a key of ban as a status from 200 to 599: current value is a string"],
  [
    { ban: {}, attempts: 0 },
    RangeError,
    "Cannot use attempts as a whole number from 1 or Infinity: current value is 0",
  ],
  [{ ban: {}, attempts: 1.5 }, RangeError, "Cannot use attempts as a whole number from 1 or Infinity"],
  [{ ban: {}, attempts: "3" }, TypeError, "Cannot use attempts as a whole number from 1 or Infinity"],
  [{ attempts: 3 }, TypeError, "Cannot use attempts without ban"],
];

for (const [options, kind, message] of wrong) {
  test(`createFetch() refuses: ${message}`, () => {
    assertThrows(() => createFetch(proxy, options as FetchOptions), kind, message);
  });
}

test("ban is refused if the client has no suspend()", () => {
  const { connect } = Socks5Client.prototype;
  assertThrows(
    () => createFetch({ connect }, { ban: { 403: 1 } }),
    TypeError,
    "Cannot use ban: the client has no suspend()",
  );
});
