import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { Agent, createServer, get, type RequestOptions } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Socks5Agent } from "../../agent/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { basicOf, latin1, readHead, socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import { type Chance, seeded } from "../support/seeded.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startTarget } from "../support/targets.ts";

const HIDDEN = "GET http://web.test/hidden HTTP/1.1\r\nHost: web.test\r\n\r\n";
const LAST = "GET http://web.test/last HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n";
const LENGTH = HIDDEN.length;

// each alone, or two and three of them together, says something else to somebody about where the body ends
const FRAMES = [
  "Content-Length: 4",
  `Content-Length: ${LENGTH}`,
  "Content-Length: 0",
  "Content-Length: 4\r\nContent-Length: 40",
  "Content-Length: 4, 4",
  "Content-Length: +4",
  "Content-Length: 0x4",
  "Content-Length : 4",
  "Content-Length:\t4 ",
  "Content-Length: 4\x0b",
  "Content-Length\x00: 4",
  "content-LENGTH: 4",
  "X: y\nContent-Length: 4",
  "X: y\rContent-Length: 4",
  "X: y\r\n Content-Length: 4",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: CHUNKED",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked;q=1",
  "Transfer-Encoding:\x0bchunked",
  "Transfer-Encoding: \xa0chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
  "X: y\nTransfer-Encoding: chunked",
  "X: y\r\n\tTransfer-Encoding: chunked",
  "Connection: content-length",
  "Connection: transfer-encoding",
  "Connection: close",
  "Expect: 100-continue",
  "Upgrade: h2c",
];

const BODIES = [
  HIDDEN,
  `abcd${HIDDEN}`,
  `0\r\n\r\n${HIDDEN}`,
  `4\r\nabcd\r\n0\r\n\r\n${HIDDEN}`,
  `4;a=b\r\nabcd\r\n0\r\nX: y\r\n\r\n${HIDDEN}`,
  `4\nabcd\n0\n\n${HIDDEN}`,
  `0x4\r\nabcd\r\n0\r\n\r\n${HIDDEN}`,
  `04\r\nabcd\r\n00\r\n\r\n${HIDDEN}`,
  `${LENGTH.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  `4\r\nabcdef\r\n0\r\n\r\n${HIDDEN}`,
];

type Reading = { line: RegExp; chunked: (value: string) => boolean; length: (values: string[]) => string | undefined };

/** How servers read a request: each of these is wrong in a way of its own, and all find the same in what is unambiguous. */
const READINGS: Reading[] = [
  { line: /\r\n/, chunked: (value) => value === "chunked", length: (values) => values[0] },
  { line: /\r?\n/, chunked: (value) => /chunked/i.test(value), length: (values) => values.at(-1) },
  { line: /\r\n|\r(?!\n)|\n/, chunked: (value) => /chunked\s*$/i.test(value), length: (values) => values[0] },
];

/** The lines of the requests in it, as a server finds them, up to one that is not whole. */
function requestsIn(said: string, { line, chunked, length }: Reading): string[] {
  const end = new RegExp(`(?:${line.source})(?:${line.source})`);
  const found: string[] = [];
  for (let rest = said; rest !== "";) {
    const head = end.exec(rest);
    if (head === null) return [...found, `not whole: ${rest.slice(0, 20)}`];
    const [first = "", ...fields] = rest.slice(0, head.index).split(line);
    rest = rest.slice(head.index + head[0].length);
    const of = (name: string) =>
      fields.map((field) => field.split(/\s*:\s*/, 2)).filter(([it]) => it!.trim().toLowerCase() === name).map((it) =>
        it[1]!
      );
    found.push(first);
    if (of("transfer-encoding").some(chunked)) {
      for (;;) {
        const [all, size] = /^([\da-f]+)[^\r\n]*\r?\n/i.exec(rest) ?? [];
        if (all === undefined) return [...found, "not whole"];
        rest = rest.slice(all.length + parseInt(size!, 16) + (parseInt(size!, 16) === 0 ? 0 : 2));
        if (parseInt(size!, 16) === 0) break;
      }
      const trailers = /^(?:[^\r\n]+\r?\n)*\r?\n/.exec(rest);
      if (trailers === null) return [...found, "not whole"];
      rest = rest.slice(trailers[0].length);
    } else rest = rest.slice(Number(length(of("content-length")) ?? 0));
  }
  return found;
}

seeded(
  "whatever a client says of its bodies, all servers find the same requests in what is sent on",
  async (chance) => {
    const heard: { said: string }[] = [];
    const starting = startTarget((socket) => {
      const mine = { said: "" };
      heard.push(mine);
      socket.on("data", (chunk) => {
        const before = mine.said.split("HTTP/1.1\r\n").length;
        mine.said += chunk.toString("latin1");
        const more = mine.said.split("HTTP/1.1\r\n").length - before;
        for (let i = 0; i < more; i++) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
      socket.on("end", () => socket.end());
    });
    await withTarget(starting, (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        for (let i = 0; i < 400; i++) {
          const frames = Array.from({ length: 1 + chance.below(2) }, () => chance.pick(FRAMES));
          const head = ["POST http://web.test/outer HTTP/1.1", "Host: web.test", ...frames, "", ""].join("\r\n");
          const said = latin1(head + chance.pick(BODIES) + LAST);
          const cut = chance.below(said.length);
          const raw = await dial(said.subarray(0, cut));
          await raw.write(said.subarray(cut));
          await raw.finish();
          for (const { said } of heard.splice(0)) {
            const [plain, ...others] = READINGS.map((reading) => requestsIn(said, reading));
            for (const other of others) assertEquals(other, plain, JSON.stringify({ frames, said }));
            assert(
              !/content-length:[^]*transfer-encoding:|transfer-encoding:[^]*content-length:/i.test(headOf(said)),
              said,
            );
            assert(
              plain!.every((it) => /^\w+ \/(outer|hidden|last) HTTP\/1\.1$|^not whole/.test(it)),
              JSON.stringify(plain),
            );
          }
        }
      }));
  },
);

const headOf = (said: string) => said.slice(0, said.indexOf("\r\n\r\n"));

/** Something that begins as a client does. */
function scene(chance: Chance): Uint8Array {
  const whole = chance.pick([
    latin1(HIDDEN),
    latin1("CONNECT web.test:80 HTTP/1.1\r\nHost: web.test\r\n\r\nhello"),
    latin1(`POST http://web.test/ HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n${BODIES[4]}`),
    Uint8Array.of(5, 1, 0, ...socksRequest("web.test", 80), ...latin1("hello")),
    Uint8Array.of(5, 2, 0, 2, 1, 1, 97, 1, 98, ...socksRequest("web.test", 80)),
    Uint8Array.of(4, 1, 0, 80, 127, 0, 0, 1, 0),
    Uint8Array.of(0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, ...chance.bytes(64)),
    chance.bytes(1 + chance.below(200)),
  ]);
  const changed = [...whole];
  for (let i = chance.below(4); i > 0; i--) {
    const at = chance.below(changed.length + 1);
    const kind = chance.below(3);
    if (kind === 0) changed.splice(at, chance.below(4), ...chance.bytes(chance.below(4)));
    else if (kind === 1) changed.splice(at);
    else changed.splice(at, 0, ...changed.slice(0, at));
  }
  return Uint8Array.from(changed);
}

seeded(
  "whatever is said to it and however it is left, a local proxy goes on to serve, and nothing stays open",
  async (chance) => {
    await withTarget(
      startTarget((socket) => socket.on("data", (chunk) => socket.write(chunk)).on("end", () => socket.end())),
      (target) =>
        withLocalProxy(
          { proxy: { rules: () => target }, serve: { headTimeout: 1_000 } },
          async ({ dial, localProxy }) => {
            for (let i = 0; i < 15; i++) {
              await Promise.all(Array.from({ length: 10 }, async () => {
                const [said, leaves] = [scene(chance), chance.pick(["end", "close", "reset"] as const)];
                const raw = await dial(said.subarray(0, chance.below(said.length + 1)));
                raw[leaves]();
                await raw.finish();
              }));
            }
            const raw = await dial(`CONNECT web.test:80 HTTP/1.1\r\nHost: web.test\r\n\r\n`);
            assertMatch(await readHead(raw), /^HTTP\/1.1 200 /);
            await raw.write(latin1("ping"));
            assertEquals(await raw.read(4), latin1("ping"));
            raw.close();
            assert(localProxy.port > 0);
          },
        ),
    );
  },
);

seeded(
  "no answer and no connection of one identity ever serves another, through agents and through a local proxy",
  async (chance) => {
    const seen = new WeakMap<object, Set<unknown>>(); // by connection to the target
    const site = createServer(async ({ socket, headers, url }, response) => {
      const identities = seen.get(socket) ?? new Set();
      seen.set(socket, identities.add(headers["x-identity"]));
      for (let i = chance.below(4); i > 0; i--) await new Promise((resolve) => setImmediate(resolve));
      response.end(`${[...identities]} ${url}`);
    });
    await once(site.listen(0, "127.0.0.1"), "listening");
    const rules = () => ({ port: (site.address() as AddressInfo).port });
    const proxy = { rules, methods: [2], credentials: () => 0 };
    const names = Array.from({ length: 5 }, (_, i) => `user-${i}`);
    const shared = new Agent({ keepAlive: true, maxSockets: 3 });
    await withProxy(
      proxy,
      ({ hostname, port }) =>
        withLocalProxy({ proxy, serve: { credentials: "forward" } }, async ({ localProxy }) => {
          const clients = names.map((username) =>
            new Socks5Client({ hostname, port, credentials: { username, password: "x" } })
          );
          const agents = clients.map((client) => new Socks5Agent(client, { maxSockets: 3 }));
          const ask = async (options: RequestOptions, who: string, path: string) => {
            const asked = get(options);
            const [response] = await once(asked, "response");
            assertEquals(await text(response), `${who} ${path}`);
          };
          for (let round = 0; round < 4; round++) {
            await Promise.all(Array.from({ length: 30 }, (_, i) => {
              const which = chance.below(names.length);
              const [who, path] = [names[which]!, `/${round}/${i}`];
              const headers = { "X-Identity": who };
              if (chance.below(2) === 0) {
                return ask({ host: "web.test", path, headers, agent: agents[which]! }, who, path);
              }
              const through = { ...headers, Host: "web.test", "Proxy-Authorization": basicOf(who, "x") };
              const to = {
                host: localProxy.hostname,
                port: localProxy.port,
                path: `http://web.test${path}`,
                headers: through,
                agent: shared,
              };
              return ask(to, who, path);
            }));
          }
          for (const agent of [shared, ...agents]) agent.destroy();
          for (const client of clients) await client.close();
        }),
    );
    site.closeAllConnections();
    await new Promise((resolve) => site.close(resolve));
  },
);
