import { type LocalProxy, serve, type ServeOptions } from "../../serve/mod.ts";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import { certificates } from "./certificates.ts";
import { bytes, text } from "./contract.ts";
import { connectRaw, type RawClient } from "./raw_client.ts";
import { startTarget, type Target } from "./targets.ts";
import { createTestProxy, type TestProxy, type TestProxyOptions } from "../../testing/mod.ts";

/** What a local proxy is tried with. */
export interface ServeStage {
  localProxy: LocalProxy;
  proxy: TestProxy;
  client: Socks5Client;
  /** Connects to the local proxy and says something. */
  dial(said?: string | Uint8Array): Promise<RawClient>;
  /** Connects, says something and gives all that is answered until the local proxy ends. */
  ask(said: string | Uint8Array): Promise<string>;
}

/** Runs `use` with a local proxy of a client of a mock proxy; nothing may be open at the proxy in the end. */
export async function withLocalProxy(
  options: { proxy?: TestProxyOptions; serve?: ServeOptions; client?: Socks5Options },
  use: (stage: ServeStage) => Promise<void>,
): Promise<void> {
  const proxy = await createTestProxy(options.proxy);
  const client = new Socks5Client(proxy.url, { retry: 0, ...options.client });
  const localProxy = await serve(client, options.serve);
  const dial = async (said: string | Uint8Array = "") => {
    const { path, hostname, port, url } = localProxy;
    const ca = url.startsWith("https:") ? certificates().authority.cert : undefined;
    const raw = await connectRaw(path === undefined ? { hostname, port } : { path }, ca);
    if (said.length > 0) await raw.write(typeof said === "string" ? latin1(said) : said);
    return raw;
  };
  const ask = async (said: string | Uint8Array) => characters((await (await dial(said)).finish()).bytes);
  try {
    await use({ localProxy, proxy, client, dial, ask });
    await proxy.until(() => proxy.open === 0);
  } finally {
    await localProxy.close();
    await client.close();
    await proxy.close();
  }
}

/** Reads the head of an answer, up to the empty line. */
export async function readHead(raw: RawClient): Promise<string> {
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += text(await raw.read(1));
  return head;
}

/** A byte for each character. */
export function latin1(characters: string): Uint8Array {
  return Uint8Array.from(characters, (character) => character.charCodeAt(0));
}

/** A character for each byte. */
export function characters(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** "Basic …" of a user. */
export function basicOf(username: string, password: string): string {
  return `Basic ${btoa(String.fromCharCode(...bytes(`${username}:${password}`)))}`;
}

/** The RFC 1929 message of a user. */
export function userPass(username: string, password: string, ver = 1): Uint8Array {
  const [uname, passwd] = [bytes(username), bytes(password)];
  return Uint8Array.of(ver, uname.length, ...uname, passwd.length, ...passwd);
}

/** A SOCKS5 request for CONNECT to a name. */
export function socksRequest(hostname: string, port: number): Uint8Array {
  return Uint8Array.of(5, 1, 0, 3, hostname.length, ...bytes(hostname), port >> 8, port & 0xff);
}

/** A target that notes what it receives, and answers once that is as long as expected. */
export async function scripted(
  expected: string,
  answer: string,
  options: { ends?: boolean } = {},
): Promise<Target & { readonly received: string }> {
  let received = "";
  const target = await startTarget((socket) => {
    socket.on("data", (chunk) => {
      const before = received.length;
      received += chunk.toString("latin1");
      if (before >= expected.length || received.length < expected.length) return;
      socket.write(latin1(answer));
      if (options.ends) socket.end();
    });
    socket.on("end", () => socket.end());
  });
  return Object.defineProperty(target, "received", { get: () => received }) as Target & { received: string };
}
