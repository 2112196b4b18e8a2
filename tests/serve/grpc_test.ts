import { assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ClientLike, type LocalProxy, serve } from "../../serve/mod.ts";
import type { TestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { type Imported, library } from "../support/library.ts";
import { danteWithAccount } from "../support/real_proxies.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import { runRecipe } from "../support/recipes.ts";
import { withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const PROXY = "socks5h://user:pass@proxy.example:1080";
const credentials = { username: "user", password: "pass" };
const TARGET = "example.com:443";
const UNAVAILABLE = 14;

const { it: grpc, missing } = await library("@grpc/grpc-js");
const ca = Buffer.from(certificates().authority.cert);

for (const kind of ["without TLS", "with TLS"]) {
  const secure = kind === "with TLS";

  test(
    `gRPC ${kind}: calls and streams in both directions go through the proxy, and the server sees the proxy`,
    async () => {
      const bound: string[] = [];
      const calls = await withServer(
        secure,
        (server) =>
          withProxy(
            { credentials, rules: { [TARGET]: server } },
            (proxy) =>
              withClient(urlOf(proxy), {}, async (client) => {
                const connect: ClientLike["connect"] = async (...args) => {
                  const conn = await client.connect(...args);
                  bound.push(`${conn.boundAddress.hostname}:${conn.boundAddress.port}`);
                  return conn;
                };
                await withChannel(await serve({ connect }, { target: TARGET }), secure, async (channel) => {
                  assertEquals(await ask(channel, "hello"), "hello!");
                  const long = "x".repeat(300_000);
                  assertEquals(await talk(channel, ["one", long, "three"]), ["one!", `${long}!`, "three!"]);
                });
                assertEquals(
                  proxy.connections.map(({ request }) => request?.hostname),
                  ["example.com"],
                );
              }),
          ),
      );
      assertEquals(calls, [1, 2].map(() => ({ peer: bound[0]!, host: TARGET })));
    },
    { skip: missing },
  );

  test(`gRPC ${kind}: a stream goes through dante with a password`, async () => {
    await withServer(secure, (server) =>
      withRealProxy(danteWithAccount, async (dante) => {
        await withChannel(await serve(dante.url, { target: server }), secure, async (channel) => {
          assertEquals(await talk(channel, ["one", "two"]), ["one!", "two!"]);
        });
      }));
  }, { skip: missing || danteWithAccount.missing });

  test(`gRPC ${kind}: without a proxy a call is UNAVAILABLE, and does not reach the server`, async () => {
    const calls = await withServer(secure, (server) =>
      withProxy({ rules: { [TARGET]: server } }, async (proxy) => {
        await proxy.stop();
        const local = await serve(urlOf(proxy), { target: server, client: { retry: 0 } });
        await withChannel(local, secure, async (channel) => {
          const error = await ask(channel, "hello").then(() => ({ code: 0 }), (error) => error);
          assertEquals(error.code, UNAVAILABLE);
        });
      }));
    assertEquals(calls, []);
  }, { skip: missing });
}

test("gRPC with TLS: the certificate must be that of the target", async () => {
  const calls = await withServer(true, (server) =>
    withProxy({ rules: () => server }, async (proxy) => {
      const local = await serve(urlOf(proxy), { target: "other.example:443" });
      await withChannel(local, true, async (channel) => {
        const error = await ask(channel, "hello").then(() => ({ code: 0, details: "" }), (error) => error);
        assertEquals(error.code, UNAVAILABLE);
        assertStringIncludes(error.details, "other.example");
      }, "other.example");
    }));
  assertEquals(calls, []);
}, { skip: missing });

test("the example for gRPC works", () => runsThroughProxy((texts) => runRecipe("grpc", texts)), { skip: missing });

test("the example for gRPC by a variable works", async () => {
  const before = { ...process.env };
  try {
    await runsThroughProxy((texts) => runRecipe("grpc-proxy", texts));
  } finally {
    for (const name of ["grpc_proxy", "no_grpc_proxy", "no_proxy"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}, { skip: missing });

/** Runs an example, which makes one call through a proxy with a password. */
async function runsThroughProxy(run: (texts: Record<string, string>) => Promise<string[]>): Promise<void> {
  const calls = await withServer(
    true,
    (server) =>
      withProxy({ credentials, rules: { [TARGET]: server } }, async (proxy) => {
        const texts = {
          [PROXY]: urlOf(proxy),
          "grpc.example": "example.com",
          "createSsl()": `createSsl(Buffer.from(${JSON.stringify(`${ca}`)}))`,
        };
        assertEquals(await run(texts), ["hello!"]);
        assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["example.com"]);
      }),
  );
  assertEquals(calls.map(({ host }) => host), [TARGET]);
}

function urlOf({ hostname, port }: TestProxy): string {
  return `socks5h://${credentials.username}:${credentials.password}@${hostname}:${port}`;
}

/** One call with one answer. */
function ask(channel: Imported, said: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, answer: string) => error ? reject(error) : resolve(answer);
    channel.makeUnaryRequest("/chat.Chat/Ask", Buffer.from, String, said, done);
  });
}

/** A call in which the two sides speak in turn. */
async function talk(channel: Imported, words: readonly string[]): Promise<string[]> {
  const call = channel.makeBidiStreamRequest("/chat.Chat/Talk", Buffer.from, String);
  const answers: string[] = [];
  call.write(words[0]);
  for await (const answer of call) {
    answers.push(answer);
    if (answers.length < words.length) call.write(words[answers.length]);
    else call.end();
  }
  return answers;
}

/** Runs `use` with a channel to the target of a local proxy, as docs/libraries.md has it. */
async function withChannel(
  local: LocalProxy,
  secure: boolean,
  use: (channel: Imported) => Promise<void>,
  name = "example.com",
): Promise<void> {
  const { createSsl, createInsecure } = grpc.credentials;
  const channel = new grpc.Client(`${local.hostname}:${local.port}`, secure ? createSsl(ca) : createInsecure(), {
    "grpc.default_authority": `${name}:443`,
    "grpc.ssl_target_name_override": name,
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 1, // its timer outlives the channel
  });
  try {
    await use(channel);
  } finally {
    channel.close();
    await local.close();
  }
}

/** A call as the server got it: from where, and for which name. */
interface Call {
  peer: string;
  host: string;
}

/** Runs `use` with a server that says everything back, with an exclamation mark; gives the calls that reached it. */
async function withServer(
  secure: boolean,
  use: (server: { hostname: string; port: number }) => Promise<void>,
): Promise<Call[]> {
  // always on Node: that of Deno speaks without TLS, whatever its credentials
  const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url));
  const program = fileURLToPath(new URL("../support/grpc_server.mjs", import.meta.url));
  const child = spawn(node, [program, JSON.stringify(secure ? certificates().names : {})]);
  const ended = once(child, "close");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value ?? "null");
  try {
    const { port } = await next();
    await use({ hostname: "127.0.0.1", port });
    child.stdin.end();
    const calls: Call[] = [];
    for (let call = await next(); call !== null; call = await next()) calls.push(call);
    return calls;
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}
