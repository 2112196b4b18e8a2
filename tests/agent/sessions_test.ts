import { assertEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import { get, type RequestOptions } from "node:http";
import { get as getSecure } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Socks5Agent, type Socks5AgentOptions, type Socks5Duplex, toDuplex } from "../../agent/mod.ts";
import { certificates } from "../support/certificates.ts";
import { sessionOn, withFleet } from "../support/fetch_stage.ts";
import type { Answer } from "../support/http_server.ts";
import { test } from "../support/test.ts";
import { answer, response } from "../support/web.ts";

const { authority: { cert: ca }, names } = certificates();
const hello: Answer = (_, response) => response.end("hello");
const balance = "round-robin";

for (const tls of [undefined, names]) {
  const options = { host: "example.com", servername: "example.com" };
  const ask = tls ? getSecure : get;
  const of = (agent: Socks5Agent, session?: unknown) => ask({ ...options, agent, session } as RequestOptions);
  const protocol = tls ? "https:" : "http:";

  test(`${protocol} a connection of an agent serves one session alone, and who has none`, async () => {
    await withFleet(hello, { proxies: ["a"], tls }, async ({ client, webs }) => {
      const agent = new Socks5Agent(client, { ca });
      for (const session of [undefined, "one", "two", "one", undefined, "two"]) {
        assertEquals(await answer(of(agent, session)), "hello");
      }
      assertEquals(webs.a!.seen.map(({ connection }) => connection), [0, 1, 2, 1, 0, 2]);
      agent.destroy();
    });
  });

  test(`${protocol} a session keeps its proxy, and the socket tells which one that is`, async () => {
    await withFleet(hello, { client: { balance }, tls }, async ({ client }) => {
      for (const label of ["a", "b", "b", "a"]) {
        const session = await sessionOn(client, label);
        const own = new Socks5Agent(client, { ca, session, keepAlive: false });
        const shared = new Socks5Agent(client, { ca, session: "another", keepAlive: false });
        for (const ask of [() => of(own), () => of(shared, session)]) {
          const message = await response(ask());
          assertEquals((message.socket as Socks5Duplex).proxy, label);
          message.resume();
        }
        own.destroy();
        shared.destroy();
      }
    });
  });

  test(`${protocol} a session of TLS in the agent's options takes nothing away from that of a request`, async () => {
    await withFleet(hello, { client: { balance }, tls }, async ({ client }) => {
      const agent = new Socks5Agent(client, { ca, session: new Uint8Array(0), keepAlive: false });
      for (const label of ["a", "b", "b", "a"]) {
        const message = await response(of(agent, await sessionOn(client, label)));
        assertEquals((message.socket as Socks5Duplex).proxy, label);
        message.resume();
      }
      agent.destroy();
    });
  });

  test(`${protocol} a bad session is refused where it is given`, async () => {
    await withFleet(hello, { proxies: ["a"], tls }, ({ client, counts }) => {
      const agent = new Socks5Agent(client, { ca });
      for (
        const [session, kind] of [["", RangeError], ["x".repeat(256), RangeError], [5, TypeError], [
          {},
          TypeError,
        ]] as const
      ) {
        const want = "Cannot use session as a text of 1 to 255 bytes";
        assertThrows(() => new Socks5Agent(client, { session } as Socks5AgentOptions), kind, want);
        assertThrows(() => of(agent, session), kind, want);
      }
      assertEquals(counts(), { a: 0 });
      agent.destroy();
      return Promise.resolve();
    });
  });
}

test("a connection of createConnection() and one of toDuplex() have the session that they are opened with", async () => {
  await withFleet(hello, { client: { balance } }, async ({ client }) => {
    const session = await sessionOn(client, "b");
    const agent = new Socks5Agent(client, { session });
    const at = { host: "example.com", port: 80 };
    const opens = [
      () => agent.createConnection(at) as Socket as Socks5Duplex,
      () => new Socks5Agent(client).createConnection({ ...at, session } as RequestOptions) as Socket as Socks5Duplex,
      () => toDuplex((signal) => client.connect("example.com:80", { session, signal })).connect(),
    ];
    for (const open of opens) {
      const stream = open();
      assertEquals(stream.proxy, undefined);
      await once(stream, "connect");
      assertEquals(stream.proxy, "b");
      stream.destroy();
      assertEquals(stream.proxy, "b");
    }
  });
});

test("https: what the server gave to go on with is used by the same session alone", async () => {
  await withFleet(hello, { proxies: ["a"], tls: names }, async ({ client }) => {
    const agent = new Socks5Agent(client, { ca, keepAlive: false });
    const resumed: boolean[] = [];
    for (const session of [undefined, "one", "two", "one", undefined]) {
      const request = getSecure({ host: "example.com", servername: "example.com", agent, session } as RequestOptions);
      request.on("response", () => resumed.push((request.socket as TLSSocket).isSessionReused()));
      await answer(request);
    }
    assertEquals(resumed, [false, false, false, true, true]);
    agent.destroy();
  });
}, { skip: "Deno" in globalThis && "node:tls of Deno begins anew each time" });
