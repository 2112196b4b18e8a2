import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { createConnector } from "../../fetch/mod.ts";
import { ClosedError, type CloseReason, Socks5Client, Socks5Error } from "../../mod.ts";
import type { Answer } from "../support/http_server.ts";
import { certificates } from "../support/certificates.ts";
import { withFetch } from "../support/fetch_stage.ts";
import { test } from "../support/test.ts";

const { authority, names } = certificates();
const silent: Answer = () => {};
const noBun = { skip: "Bun" in globalThis && "createConnector() refuses Bun" } as const;
const onNode = { skip: ("Bun" in globalThis || "Deno" in globalThis) && "only Node has a socket to lend" } as const;

test("createConnector() gives the socket of the runtime, without a stream on top of it", async () => {
  for (const tls of [undefined, names]) {
    await withFetch(silent, { tls }, async ({ client }) => {
      const socket = await open(client, tls ? "https:" : "http:");
      assertInstanceOf(socket, tls ? TLSSocket : Socket);
      const closed = ended(socket);
      socket.destroy();
      assertEquals(await closed, undefined);
    });
  }
}, onNode);

test("createConnector(): a connection counts as open until it closes, and closes with the client", async () => {
  for (const tls of [undefined, names]) {
    await withFetch(silent, { tls }, async ({ proxy }) => {
      const reasons: CloseReason[] = [];
      const client = new Socks5Client(proxy.url, {
        onEvent: (event) => void (event.type === "closed" && reasons.push(event.reason)),
      });
      const [one, other] = [await open(client, tls ? "https:" : "http:"), await open(client, tls ? "https:" : "http:")];
      assertEquals(client.stats().inUse, 2);
      const first = ended(one);
      one.destroy();
      await first;
      assertEquals([client.stats().inUse, reasons], [1, ["holder"]]);
      const second = ended(other);
      await client.close();
      const error = await second;
      assertEquals(error?.code, "ECONNABORTED");
      assertInstanceOf(error?.cause, ClosedError);
      assertEquals(reasons, ["holder", "client"]);
    });
  }
}, noBun);

test("createConnector(): the bytes of a connection are counted for its proxy, by its end", async () => {
  await withFetch(silent, {}, async ({ client }) => {
    const socket = await open(client, "http:");
    const request = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";
    await new Promise((resolve) => socket.write(request, resolve));
    const closed = ended(socket);
    socket.destroy();
    await closed;
    const { sent, received } = (client as Socks5Client).stats().proxies[0]!;
    assertEquals([sent, received], [request.length, 0]);
  });
}, noBun);

test("createConnector(): closing the client waits for the connections that are in use", async () => {
  await withFetch(silent, {}, async ({ proxy }) => {
    const client = new Socks5Client(proxy.url);
    const socket = await open(client, "http:");
    let isClosed = false;
    const closing = client.close({ drain: 60_000 }).then(() => isClosed = true);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    assert(!isClosed && !socket.destroyed);
    socket.destroy();
    await closing;
  });
}, noBun);

test("createConnector(): an idle connection gives way to one that waits for a place, without an error", async () => {
  await withFetch(silent, {}, async ({ proxy }) => {
    const client = new Socks5Client(proxy.url, { pool: { maxOpen: 1 } });
    const idle = await open(client, "http:");
    const closed = ended(idle);
    idle.unref();
    const next = await open(client, "http:");
    assertEquals(await closed, undefined);
    next.unref();
    next.ref();
    assertEquals(client.stats().inUse, 1);
    next.destroy();
    await client.close();
  });
}, noBun);

test("createConnector(): a reset is an ECONNRESET, with the Socks5Error as its cause", async () => {
  const reset: Answer = (_, response) => response.socket!.resetAndDestroy();
  await withFetch(reset, {}, async ({ proxy }) => {
    const reasons: CloseReason[] = [];
    const client = new Socks5Client(proxy.url, {
      onEvent: (event) => void (event.type === "closed" && reasons.push(event.reason)),
    });
    const socket = await open(client, "http:");
    const closed = ended(socket);
    socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const error = await closed;
    assertEquals([error?.code, reasons], ["ECONNRESET", ["peer"]]);
    assertInstanceOf(error?.cause, Socks5Error);
    await client.close();
  });
}, noBun);

function open(client: Socks5Client, protocol: string): Promise<Socket> {
  const connect = createConnector(client, { tls: { caCerts: [authority.cert] } });
  return new Promise((resolve, reject) => {
    connect(
      { hostname: "example.com", protocol, port: "" },
      (error, socket) => error ? reject(error) : resolve(socket),
    );
  });
}

/** The error with which a socket that is read from closes, if there is one. */
function ended(socket: Socket): Promise<Error & { code?: string } | undefined> {
  return new Promise((resolve) => {
    let error: Error | undefined;
    socket.resume().on("error", (reason) => error = reason).on("close", () => resolve(error));
  });
}
