import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { type ClientLike, Socks5Agent, toDuplex } from "../../agent/mod.ts";
import { Socks5Client, Socks5Error } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { type Imported, type Library, library } from "../support/library.ts";
import { danteWithAccount } from "../support/real_proxies.ts";
import { postgres, redis, sshd } from "../support/real_servers.ts";
import type { RealProgram, RealProxy } from "../support/real_program.ts";
import { withRealProxy } from "../support/real_stage.ts";
import { runRecipe } from "../support/recipes.ts";
import { startSmtp } from "../support/smtp_server.ts";
import { withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { type WebStage, withSites, withWeb } from "../support/web.ts";

// Bun puts its own fetch in place of "node-fetch", and that one does not look at the agent
const NODE_FETCH = "node-fetch/src/index.js";

// what the clients of the AWS SDK make their requests with
const AWS = "@smithy/node-http-handler";

const libraries: Record<string, Library> = Object.fromEntries(
  await Promise.all(
    ["axios", "got", NODE_FETCH, "ws", "pg", "ioredis", "ssh2", "nodemailer", "mysql2", AWS].map(async (name) =>
      [name, await library(name)] as const
    ),
  ),
);

/** A request with each library: the text of the answer. */
const requests: Record<string, (it: Imported, url: string, agent: Socks5Agent) => Promise<string>> = {
  async axios(axios, url, agent) {
    const options = { adapter: "http", httpAgent: agent, httpsAgent: agent, proxy: false, maxRedirects: 3 };
    return (await axios.default.get(url, options)).data;
  },
  async got(got, url, agent) {
    return (await got.default(url, { agent: { http: agent, https: agent }, retry: { limit: 0 } })).body;
  },
  async [NODE_FETCH](fetch, url, agent) {
    return await (await fetch.default(url, { agent })).text();
  },
};

for (const [name, ask] of Object.entries(requests)) {
  const { it, missing } = libraries[name]!;

  test(`${name} goes through the proxy with the agent, and uses its connections again`, async () => {
    await withWeb({}, async ({ agent, proxy, plain, secure }) => {
      for (const url of ["http://example.com", "https://example.com"]) {
        for (const path of ["/1", "/2"]) assertEquals(await ask(it, url + path, agent), `GET example.com${path}`);
      }
      assertEquals([proxy.connections.length, plain.accepted, secure.accepted], [2, 1, 1]);
    });
  }, { skip: missing });

  test(`${name} tells why the proxy was of no use, and does not go around it`, async () => {
    await withWeb({}, async ({ agent, proxy, plain, secure }) => {
      await proxy.stop();
      for (const url of [`http://localhost:${plain.port}/`, `https://localhost:${secure.port}/`]) {
        const error = await ask(it, url, agent).then(() => ({ code: "none" }), (error) => error);
        assertEquals(error.code, "ECONNREFUSED");
        assertStringIncludes(error.message, "the proxy cannot be reached");
        if (name !== NODE_FETCH) assertEquals(causeOf(error)?.code, "SOCKS5_PROXY_UNREACHABLE"); // it keeps no cause
      }
      assertEquals([plain.accepted, secure.accepted], [0, 0]);
    });
  }, { skip: missing });

  test(`${name} goes through dante with a password`, async () => {
    await throughDante(async (agent, { plain, secure }) => {
      for (const url of [`http://localhost:${plain}/1`, `https://localhost:${secure}/2`]) {
        assertEquals(await ask(it, url, agent), `GET ${url.slice(url.indexOf("local"))}`);
      }
    });
  }, { skip: missing || danteWithAccount.missing });
}

/** Libraries that give up a connection that takes too long, and what they say then. */
const impatient: Record<
  string,
  { says: RegExp; ask(it: Imported, url: string, connect: number, web: WebStage): Promise<unknown> }
> = {
  got: {
    says: /^Timeout awaiting 'connect' for \d+ms$/,
    ask: (got, url, connect, { agent }) =>
      got.default(url, { agent: { http: agent, https: agent }, retry: { limit: 0 }, timeout: { connect } }),
  },
  [AWS]: {
    says: /did not establish a connection with the server within the configured timeout of \d+ ms/,
    ask: (aws, url, connect, { agent }) => {
      const { protocol, hostname, pathname: path } = new URL(url);
      const handler = new aws.NodeHttpHandler({ connectionTimeout: connect, httpAgent: agent, httpsAgent: agent });
      return handler.handle({ protocol, hostname, path, method: "GET", headers: {}, query: {} });
    },
  },
  pg: {
    says: /^timeout expired$/,
    ask: (pg, url, connect, { client }) => {
      const { host } = new URL(url);
      const stream = () => toDuplex((signal) => client.connect(`${host}:5432`, { signal }));
      return new pg.Client({ host, stream, connectionTimeoutMillis: connect }).connect();
    },
  },
  mysql2: {
    says: /^connect ETIMEDOUT$/,
    ask: (mysql2, url, connect, { client }) => {
      const stream = () => toDuplex((signal) => client.connect(`${new URL(url).host}:3306`, { signal }));
      const db = mysql2.createConnection({ stream, connectTimeout: connect });
      return new Promise((resolve, reject) => db.on("connect", resolve).on("error", reject));
    },
  },
};

for (const [name, { says, ask }] of Object.entries(impatient)) {
  const { it, missing } = libraries[name]!;
  const takesAgent = name === "got" || name === AWS;

  for (const protocol of takesAgent ? ["http:", "https:"] : ["http:"]) {
    test(`${name} gives up a connection that takes too long, ${protocol}`, async () => {
      const proxy = { faults: { fault: "silence", at: "request" } } as const;
      await withWeb({ proxy }, async (web) => {
        const asked = ask(it, `${protocol}//example.com`, 300, web);
        const error = await asked.then(() => "it connected", (error) => error);
        assertMatch(error.message ?? error, says);
        await web.proxy.until(() => web.proxy.open === 0);
      });
    }, { skip: missing });
  }

  for (const protocol of takesAgent ? ["http:", "https:"] : []) {
    test(`${name} waits on once it is connected, ${protocol}`, async () => {
      await withWeb({}, async (web) => {
        for (const { server } of [web.plain, web.secure]) {
          const answer = server.listeners("request")[0] as (...args: unknown[]) => void;
          server.removeAllListeners("request").on("request", (...args) => setTimeout(() => answer(...args), 2_000));
        }
        const { statusCode, response } = await ask(it, `${protocol}//example.com/`, 1_500, web) as Imported;
        response?.body?.resume();
        assertEquals(statusCode ?? response.statusCode, 200);
      });
    }, { skip: missing });
  }
}

test(
  "got asks again after a reset on the way and after one in the middle, and not after a wrong password",
  async () => {
    const { it: got } = libraries["got"]!;
    const ask = async (agent: Socks5Agent) => {
      const retry = {
        limit: 1,
        calculateDelay: ({ computedValue }: { computedValue: number }) => Math.sign(computedValue),
      };
      const response = await got.default("http://example.com/", { agent: { http: agent }, retry });
      return [response.statusCode, response.retryCount];
    };
    await withWeb({ proxy: { faults: [{ fault: "reset", at: "request" }] } }, async ({ agent }) => {
      assertEquals(await ask(agent), [200, 1]);
    });
    await withWeb({}, async ({ agent, plain, proxy }) => {
      plain.server.prependOnceListener("request", (_, response) => {
        response.writeHead = response.end = () => response; // nothing of it leaves
        proxy.stop().then(() => proxy.start());
      });
      assertEquals(await ask(agent), [200, 1]);
    });
    const wrong = {
      credentials: { username: "u", password: "p" },
      faults: { fault: "refuse-password", status: 1 },
    } as const;
    await withWeb({ proxy: wrong }, async ({ agent, proxy }) => {
      const error = await ask(agent).catch((error) => error);
      assertEquals([error.code, causeOf(error)?.code, proxy.connections.length], ["EACCES", "SOCKS5_AUTH_REFUSED", 1]);
    });
  },
  { skip: libraries["got"]!.missing },
);

const ws = libraries["ws"]!;

for (const protocol of ["ws:", "wss:"]) {
  test(`${protocol} a WebSocket of ws goes through the proxy with the agent`, async () => {
    await withWeb({}, async ({ agent, proxy, plain, secure }) => {
      const server = new ws.it.WebSocketServer({ server: (protocol === "ws:" ? plain : secure).server });
      server.on("connection", (socket: Imported) => socket.on("message", (said: unknown) => socket.send(`${said}!`)));
      assertEquals(await overWebSocket(`${protocol}//example.com/`, agent), "hello!");
      assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["example.com"]);
    });
  }, { skip: ws.missing });

  test(`${protocol} a WebSocket of ws has the session that it is given`, async () => {
    await withWeb({}, async ({ client, plain, secure }) => {
      const server = new ws.it.WebSocketServer({ server: (protocol === "ws:" ? plain : secure).server });
      server.on("connection", (socket: Imported) => socket.on("message", (said: unknown) => socket.send(`${said}!`)));
      const given: unknown[] = [];
      const connect: ClientLike["connect"] = (target, options) => {
        given.push(options!.session);
        return client.connect(target, options);
      };
      const agent = new Socks5Agent({ connect }, { ca: certificates().authority.cert });
      const url = `${protocol}//example.com/`;
      for (const session of ["alice", undefined]) assertEquals(await overWebSocket(url, agent, session), "hello!");
      assertEquals(given, ["alice", undefined]);
      agent.destroy();
    });
  }, { skip: ws.missing });

  test(`${protocol} a WebSocket of ws goes through dante with a password`, async () => {
    await throughDante(async (agent, { plain, secure, servers }) => {
      const isPlain = protocol === "ws:";
      const server = new ws.it.WebSocketServer({ server: servers[isPlain ? "plain" : "secure"] });
      server.on("connection", (socket: Imported) => socket.on("message", (said: unknown) => socket.send(`${said}!`)));
      assertEquals(await overWebSocket(`${protocol}//localhost:${isPlain ? plain : secure}/`, agent), "hello!");
    });
  }, { skip: ws.missing || danteWithAccount.missing });
}

const PROXY = "socks5h://user:pass@proxy.example:1080";

test("the recipe for axios works through dante with a password", async () => {
  await withSites(undefined, async ({ plain }) => {
    await withRealProxy(danteWithAccount, async (dante) => {
      const texts = { [PROXY]: dante.url, "example.com/": `127.0.0.1:${plain.port}/` };
      assertEquals(await runRecipe("axios", texts), ["200"]);
    });
  });
}, { skip: libraries["axios"]!.missing || danteWithAccount.missing });

test("the example for got works", async () => {
  await withWeb({}, async ({ proxy }) => assertEquals(await runRecipe("got", { [PROXY]: proxy.url }), ["200"]));
}, { skip: libraries["got"]!.missing });

test("the example for node-fetch works", async () => {
  await withWeb({}, async ({ proxy }) => {
    const texts = { [PROXY]: proxy.url, '"node-fetch"': JSON.stringify(NODE_FETCH) };
    assertEquals(await runRecipe("node-fetch", texts), ["200"]);
  });
}, { skip: libraries[NODE_FETCH]!.missing });

test("the example for ws works", async () => {
  await withWeb({}, async ({ proxy, plain }) => {
    const server = new ws.it.WebSocketServer({ server: plain.server });
    server.on("connection", (socket: Imported) => socket.on("message", (said: unknown) => socket.send(`${said}!`)));
    assertEquals(await runRecipe("ws", { [PROXY]: proxy.url, "echo.example": "example.com" }), ["hello!"]);
  });
}, { skip: ws.missing });

test("the recipe for PostgreSQL works with a real one through dante with a password", async () => {
  await withServer(postgres, async (dante, { credentials, port }) => {
    const texts = {
      [PROXY]: dante.url,
      "tester:secret": `${credentials!.username}:${encodeURIComponent(credentials!.password)}`,
      "db.example:5432": `127.0.0.1:${port}`,
    };
    assertEquals(await runRecipe("pg", texts), ["42"]);
  });
}, { skip: libraries["pg"]!.missing || postgres.missing || danteWithAccount.missing });

test("the recipe for Redis works with a real one through dante with a password", async () => {
  await withServer(redis, async (dante, { credentials, port }) => {
    const texts = {
      [PROXY]: dante.url,
      '"secret"': JSON.stringify(credentials!.password),
      "redis.example:6379": `127.0.0.1:${port}`,
    };
    assertEquals(await runRecipe("ioredis", texts), ["42"]);
  });
}, { skip: libraries["ioredis"]!.missing || redis.missing || danteWithAccount.missing });

test("the recipe for SSH works with a real sshd through dante with a password", async () => {
  await withServer(sshd, async (dante, { credentials, port, directory }) => {
    const texts = {
      [PROXY]: dante.url,
      "host.example:22": `127.0.0.1:${port}`,
      tester: credentials!.username,
      id_ed25519: join(directory!, "user"),
    };
    assertEquals(await runRecipe("ssh2", texts), ["42"]);
  });
}, { skip: libraries["ssh2"]!.missing || sshd.missing || danteWithAccount.missing });

test("the recipe for mail works with STARTTLS through dante with a password", async () => {
  const mails: string[] = [];
  await withTarget(startSmtp(mails), async (server) => {
    await withRealProxy(danteWithAccount, async (dante) => {
      const ca = JSON.stringify(certificates().authority.cert);
      const texts = {
        [PROXY]: dante.url,
        '"mail.example"': '"localhost"',
        "587": `${server.port}`,
        "requireTLS: true": `requireTLS: true, tls: { ca: ${ca} }`,
      };
      assertEquals(await runRecipe("nodemailer", texts), ["250 taken"]);
      assertStringIncludes(mails.join(), "\n42\n");
    });
  });
}, { skip: libraries["nodemailer"]!.missing || danteWithAccount.missing });

/** The `Socks5Error` that is behind what a library rejects with. */
function causeOf(error: unknown): Socks5Error | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof Socks5Error) return cause;
  return undefined;
}

/** Says hello to an echo and gives its answer. */
async function overWebSocket(url: string, agent: Socks5Agent, session?: string): Promise<string> {
  const socket = new ws.it.WebSocket(url, { agent, session });
  const answer = await new Promise((resolve, reject) => {
    socket.on("open", () => socket.send("hello")).on("message", resolve).on("error", reject);
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.close();
  await closed;
  return `${answer}`;
}

/** Runs `use` with an agent for a real dante, in front of two sites. */
async function throughDante(
  use: (
    agent: Socks5Agent,
    sites: { plain: number; secure: number; servers: { plain: unknown; secure: unknown } },
  ) => Promise<void>,
): Promise<void> {
  await withSites(undefined, async ({ plain, secure }) => {
    await withRealProxy(danteWithAccount, async (dante) => {
      const client = new Socks5Client(dante.url);
      const agent = new Socks5Agent(client, { ca: certificates().authority.cert });
      const servers = { plain: plain.server, secure: secure.server };
      await use(agent, { plain: plain.port, secure: secure.port, servers });
      agent.destroy();
      await client.close();
    });
  });
}

/** Runs `use` with a real dante and another real server. */
function withServer(server: RealProgram, use: (dante: RealProxy, server: RealProxy) => Promise<void>): Promise<void> {
  return withRealProxy(danteWithAccount, (dante) => withRealProxy(server, (it) => use(dante, it)));
}
