// Run with ./global preloaded: tries every way out, and prints what came of each, a line of JSON for each.
import dgram from "node:dgram";
import dns from "node:dns";
import { lookup as lookupName } from "node:dns/promises";
import { once } from "node:events";
import http, { get as getPlain } from "node:http";
import http2 from "node:http2";
import https, { get as getSecure } from "node:https";
import net, { connect as connectNet } from "node:net";
import process from "node:process";
import tls, { connect as connectTls } from "node:tls";

type Request = http.ClientRequest;
type Runtime = Record<string, (...args: unknown[]) => unknown>;

const [plain = "", secure = "", direct = ""] = process.argv.slice(2);
const { Deno, Bun } = globalThis as unknown as { Deno?: Runtime; Bun?: Runtime };
const [hostname, port] = [plain.split(":")[0]!, Number(plain.split(":")[1])];
const [secureName, securePort] = [secure.split(":")[0]!, Number(secure.split(":")[1])];
const REQUEST = `GET / HTTP/1.1\r\nHost: ${plain}\r\nConnection: close\r\n\r\n`;

function bodyOf(request: Request): Promise<string> {
  return new Promise((resolve, reject) => {
    request.on("error", reject).on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk) => body += chunk).on("end", () => resolve(body)).on(
        "error",
        reject,
      );
    });
  });
}

async function read(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const chunk of stream) all += chunk;
  return all.split("\r\n\r\n")[1] ?? all;
}

async function overDeno(
  conn: { write(p: Uint8Array): Promise<number>; readable: ReadableStream; close(): void },
): Promise<string> {
  await conn.write(new TextEncoder().encode(REQUEST));
  return (await new Response(conn.readable).text()).split("\r\n\r\n")[1]!;
}

const certificate = { ca: process.env.TEST_CA!, servername: "example.com" };

const ways: Record<string, () => unknown> = {
  "fetch": async () => await (await fetch(`http://${plain}/`)).text(),
  "http.get": () => bodyOf(http.get(`http://${plain}/`)),
  "http.get by name": () => bodyOf(getPlain(`http://${plain}/`)),
  "http.get with agent: false": () => bodyOf(http.get({ hostname, port, agent: false })),
  "http.get with an agent": () => bodyOf(http.get({ hostname, port, agent: new http.Agent({ keepAlive: false }) })),
  "https.get": () => bodyOf(https.get({ hostname: secureName, port: securePort, ...certificate })),
  "https.get by name": () => bodyOf(getSecure({ hostname: secureName, port: securePort, ...certificate })),
  "https.get with an agent": () =>
    bodyOf(https.get({ hostname: secureName, port: securePort, ...certificate, agent: new https.Agent() })),
  "https.get of whom nobody trusts": () => bodyOf(https.get({ hostname: secureName, port: securePort })),
  "net.connect": () => {
    const socket = net.connect(port, hostname);
    socket.write(REQUEST);
    return read(socket);
  },
  "net.connect by name": () => {
    const socket = connectNet({ port, host: hostname }, () => socket.write(REQUEST));
    return read(socket);
  },
  "net.createConnection": () => {
    const socket = net.createConnection({ port, host: hostname });
    socket.write(REQUEST);
    return read(socket);
  },
  "new net.Socket": () => once(new net.Socket().connect(port, hostname), "connect"),
  "tls.connect": async () => {
    const socket = tls.connect({ host: secureName, port: securePort, ...certificate });
    await once(socket, "secureConnect");
    socket.write(REQUEST);
    return await read(socket);
  },
  "tls.connect by name": async () => {
    const socket = connectTls(securePort, secureName, { ...certificate });
    await once(socket, "secureConnect");
    socket.write(REQUEST);
    return await read(socket);
  },
  "WebSocket": async () => {
    const socket = new WebSocket(`ws://${direct}/`);
    const error = await new Promise((resolve) => socket.onerror = (event) => resolve((event as ErrorEvent).error));
    return String(error).replace(/.*: /, "");
  },
  "http2.connect": async () => {
    const session = http2.connect(`http://${direct}`);
    const [error] = await Promise.race([once(session, "error"), once(session, "close")]);
    return `ended ${error?.code ?? ""}`;
  },
  "dns.lookup": () => new Promise((resolve) => dns.lookup("target.example", (error) => resolve(String(error)))),
  "dns/promises lookup by name": () => lookupName("target.example"),
  "dns.resolve4": () => new Promise((resolve) => dns.resolve4("target.example", (error) => resolve(String(error)))),
  "dgram": () => dgram.createSocket("udp4").send("x", Number(direct.split(":")[1]), "127.0.0.1"),
  "server": async () => {
    const server = net.createServer().listen(0, "localhost");
    await once(server, "listening");
    server.close();
    return "listens";
  },
  ...(!Deno && !Bun && {
    "undici": async () => {
      const { request } = await import("undici7" as string);
      return await (await request(`http://${plain}/`)).body.text();
    },
    "undici with TLS": async () => {
      const { Agent, request } = await import("undici7" as string);
      const dispatcher = new Agent({ connect: { ca: process.env.TEST_CA } });
      return await (await request(`https://${secure}/`, { dispatcher })).body.text();
    },
  }),
  ...(Deno && {
    "Deno.connect": async () =>
      await overDeno(await Deno.connect!({ hostname, port }) as Parameters<typeof overDeno>[0]),
    "Deno.connectTls": async () => {
      const where = { hostname: secureName, port: securePort, caCerts: [process.env.TEST_CA!] };
      return await overDeno(await Deno.connectTls!(where) as Parameters<typeof overDeno>[0]);
    },
    "Deno.resolveDns": () => Deno.resolveDns!("target.example", "A"),
    "EventSource": () => new EventSource(`http://${direct}/`),
  }),
  ...(Bun && {
    "Bun.connect": () => Bun.connect!({ hostname, port, socket: { data() {} } }),
    "Bun.fetch": () => Bun.fetch!(`http://${direct}/`),
    "Bun.udpSocket": () => Bun.udpSocket!({}),
    "connect of bun": async () => (await import("bun" as string)).connect({ hostname, port, socket: { data() {} } }),
    "fetch of bun": async () => await (await import("bun" as string)).fetch(`http://${direct}/`),
    "redis of bun": async () => (await import("bun" as string)).redis.get("x"),
    "Bun.redis": () => (Bun as unknown as { redis: { get(key: string): unknown } }).redis.get("x"),
    "Bun.SQL": () => new (Bun as unknown as { SQL: new (url: string) => unknown }).SQL(`postgres://${direct}/x`),
  }),
};

for (const [way, go] of Object.entries(ways)) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("nothing came")), 5_000));
  let result: unknown;
  try {
    result = await Promise.race([(async () => await go())(), late]);
  } catch (error) {
    const { message, code, cause } = error as Error & { code?: string };
    result = { error: message, code, cause: cause && String(cause) };
  }
  console.log(JSON.stringify([way, result]));
}
process.exit(0);
