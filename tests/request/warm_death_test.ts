import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Socks5Client } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import { type FakeConn, FakeTransport, socks5 } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import { failure } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { filled, laterOnes, types } from "./warm.ts";

const TARGET = "example.test:80";
const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

// Sessions that die

type Death = (conn: FakeConn) => void;
const DEATHS: Record<string, Death> = { "an end": (conn) => conn.end(), "a reset": (conn) => conn.reset() };

for (const [how, die] of Object.entries(DEATHS)) {
  for (const told of [true, false]) {
    const when = told ? "that was seen" : "in the same moment as the connect";
    test(`a session with ${how} ${when} is replaced: one attempt, and no retry`, () =>
      withClock(async (clock) => {
        const { client, transport, events, dials } = await filled(clock);
        const before = dials.length;
        die(transport.conns[1]!);
        if (told) await clock.tick(0);
        assertEquals(client.stats().warm, told ? 0 : 1);
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], [
          "connected",
          1,
        ]]);
        const { retries, failures, proxies: [health] } = client.stats();
        assertEquals([retries, failures, health!.failures, health!.cooldown], [0, 0, 0, 0]);
        assert(transport.conns[1]!.closed && !transport.conns[before]!.closed);
        conn.close();
        await client.close();
        assertEquals(transport.open, 0);
      }));
  }

  for (const cut of [[], [5], [5, 0, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0]]) {
    test(`a session with ${how} under the request, after ${cut.length} bytes of the reply, is redialled once`, () =>
      withClock(async (clock) => {
        let sessions = 0;
        const script = laterOnes("request", (conn) => {
          if (sessions++ > 0) return false;
          conn.push(...cut);
          die(conn);
          return true;
        });
        const { client, transport, events, dials } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], [
          "connected",
          1,
        ]]);
        assertEquals([transport.conns[1]!.writes, transport.conns[1]!.closed], [2, true]);
        assertEquals([transport.conns[2]!.writes, dials[2]!.to, client.stats().retries], [2, "a", 0]);
        conn.close();
        await client.close();
        assertEquals(transport.open, 0);
      }));
  }

  test(`with ${how} for a refused target (ssh -D) a session is redialled once, and that answer counts`, () =>
    withClock(async (clock) => {
      const script = laterOnes("request", (conn) => (die(conn), true));
      const options = { scripts: { a: script }, retry: { retries: 5 } };
      const { client, transport, events } = await filled(clock, { warm: 1 }, options);
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertEquals([error.code, error.phase, error.errors.length], ["SOCKS5_TARGET_NO_REPLY", "request", 0]);
      assertEquals(transport.conns.slice(1, 3).map(({ writes }) => writes), [2, 2]);
      assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], ["failed", 1]]);
      assertEquals(transport.conns.filter(({ writes }) => writes === 2).length, 3, "the first connect, and these two");
      assertEquals(client.stats().retries, 0);
      await client.close();
    }));
}

test("the answer to the redial is reported as it is, also where it differs", () =>
  withClock(async (clock) => {
    let requests = 0;
    const script = laterOnes("request", (conn) => (requests++ === 0 ? conn.end() : conn.push(5, 4), true));
    const { client } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, requests], ["SOCKS5_TARGET_HOST_UNREACHABLE", 2]);
    await client.close();
  }));

const ANSWERS: [what: string, answer: number[], code: string][] = [
  ["a refusal", [5, 5, 0, 1, 0, 0, 0, 0, 0, 0], "SOCKS5_TARGET_REFUSED"],
  ["a refusal in two bytes", [5, 3], "SOCKS5_TARGET_NET_UNREACHABLE"],
  ["a malformed reply", [9, 9], "SOCKS5_PROXY_BAD_REPLY"],
];

for (const [what, answer, code] of ANSWERS) {
  test(`${what} on a session is an answer: nothing is redialled`, () =>
    withClock(async (clock) => {
      const script = laterOnes("request", (conn) => (conn.push(...answer), conn.end(), true));
      const { client, transport } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertEquals([error.code, error.phase], [code, "request"]);
      assertEquals(transport.conns.slice(1).filter(({ writes }) => writes > 1).length, 1);
      await client.close();
    }));
}

test("silence on a session ends with the timeout of the connect, and nothing is redialled", () =>
  withClock(async (clock) => {
    const script = laterOnes("request", () => true);
    const { client, transport, events } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const begun = clock.now;
    const error = await clock.settle(failure(client.connect(TARGET, { timeout: 15_000 })));
    assertEquals([error.code, error.phase, clock.now - begun], ["SOCKS5_TIMEOUT", "request", 15_000]);
    assertEquals(transport.conns.filter(({ writes }) => writes > 1).length, 2);
    assertEquals(types(events), ["attempt", "failed"]);
    await client.close();
  }));

test("a session whose replacement cannot be dialled fails like any attempt: the next one is a retry", () =>
  withClock(async (clock) => {
    const { client, transport, events, scripts, dials } = await filled(clock);
    transport.conns[1]!.end();
    scripts.a = refused();
    const before = dials.length;
    const connecting = client.connect(TARGET);
    await clock.tick(0);
    scripts.a = stream();
    await clock.settle(connecting.then((conn) => conn.close()));
    assertEquals(types(events), ["attempt", "failed", "attempt", "connected", "closed"]);
    assertEquals(client.stats().retries, 1);
    assertGreaterOrEqual(dials.length, before + 2);
    await client.close();
  }));

test("an aborted connect that had a session ends it, and the place is free", () =>
  withClock(async (clock) => {
    const script = laterOnes("request", () => true);
    const { client, transport } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const controller = new AbortController();
    const connecting = client.connect(TARGET, { signal: controller.signal }).catch((reason: unknown) => reason);
    await clock.tick(10);
    controller.abort("enough");
    assertEquals(await clock.settle(connecting), "enough");
    assert(transport.conns[1]!.closed);
    assertEquals([client.stats().opening, client.stats().inUse, client.stats().warm], [0, 0, 0]);
    await client.close();
    assertEquals(transport.open, 0);
  }));

test("a session that a connect got in the moment of its abort, in place of a dead tunnel, is ended", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies();
    const controller = new AbortController();
    const client: Socks5Client<FakeConn> = new Socks5Client("socks5://a", {
      transport,
      pool: { warm: 1 },
      onEvent: (event) => event.type === "closed" && controller.abort("enough"),
    });
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    await clock.pass(0);
    assertEquals(client.stats().warm, 1);
    first.release();
    const connecting = client.connect(TARGET, { reuse: true, signal: controller.signal }).catch((it: unknown) => it);
    transport.conns[0]!.end();
    assertEquals(await clock.settle(connecting), "enough");
    assertEquals([client.stats().opening, client.stats().inUse, client.stats().idle], [0, 0, 0]);
    assertEquals(transport.open, client.stats().warm, "a session of nobody is left");
    await client.close();
    assertEquals(transport.open, 0);
  }));

test("the end of a tunnel over a warm connection says nothing about warm connections, whoever listens to events", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(socks5());
    const client = new Socks5Client("socks5h://proxy", { transport, pool: { warm: 1 } });
    (await clock.settle(client.connect(TARGET))).close();
    await clock.tick(1_000);
    for (let i = 0; i < 3; i++) {
      assertEquals(client.stats().warm, 1);
      const conn = await clock.settle(client.connect(TARGET));
      transport.conns.find((it) => !it.closed)!.reset();
      await clock.settle(conn.read(new Uint8Array(1)).catch(() => {}));
      await clock.tick(100);
    }
    const dials = transport.conns.length;
    await clock.tick(5_000);
    assertEquals([client.stats().warm, transport.conns.length], [1, dials]);
    await clock.settle(client.close());
  }));
