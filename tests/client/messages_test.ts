import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import {
  type AssociateOptions,
  type Association,
  type AuthMethod,
  type CheckOptions,
  type ConnectOptions,
  parseProxyList,
  type ProxySpec,
  Socks5Client,
  type Socks5Conn,
  Socks5Error,
  type Socks5Options,
  type Target,
  type TlsOptions,
  type Transport,
} from "../../mod.ts";
import { Socks5Agent } from "../../agent/mod.ts";
import { createFetch } from "../../fetch/mod.ts";
import { serve } from "../../serve/mod.ts";
import { parseBypass } from "../../src/bypass.ts";
import { POLICY } from "../../src/proxies/policy.ts";
import { certificates } from "../support/certificates.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { test } from "../support/test.ts";

// All messages of the core, one a line, sorted. After a change of one, write them anew and read what changed:
// SOCKS5_TEST_MESSAGES=write npm test -- --runtime node messages
const LIST = new URL("./messages.txt", import.meta.url);

const TARGET = "example.test:443";
const TIMEOUT = 5_000;

/** What was said, and where. */
const said = new Set<string>();

function note(error: unknown): void {
  if (!(error instanceof Error)) throw new Error(`it did not fail, and gave ${String(error)}`);
  const where = error instanceof Socks5Error ? `${error.code} in ${error.phase}` : error.name;
  said.add(`${where}: ${error.message}`);
  for (const earlier of (error as Partial<Socks5Error>).errors ?? []) note(earlier);
}

/** All that is said of a connect; of the other commands, which differ in its beginning alone, the first of each kind. */
function noteOf(command: string, error: Socks5Error): void {
  const kind = `${command} ${error.code} ${error.phase}`;
  if (command === "connect" || !kinds.has(kind)) note(error);
  kinds.add(kind);
}

const kinds = new Set<string>();

async function fails(clock: Clock, promise: Promise<unknown>): Promise<void> {
  note(await clock.settle(promise.then((value) => value, (error) => error)));
}

function throws(call: () => unknown): void {
  let outcome: unknown;
  try {
    outcome = call();
  } catch (error) {
    outcome = error;
  }
  note(outcome);
}

type Ask = (client: Socks5Client, options?: { signal?: AbortSignal; timeout?: number }) => Promise<unknown>;

const COMMANDS: Record<string, Ask> = {
  connect: (client, options) => client.connect(TARGET, options),
  bind: (client, options) => client.bind("192.0.2.1:0", options),
  resolve: (client, options) => client.resolve("example.test", options),
  resolvePtr: (client, options) => client.resolvePtr("192.0.2.1", options),
  associate: (client, options) => client.associate({ allowPrivateRelay: true, ...options }),
};

type Step = "negotiate" | "authenticate" | "request";
type Answer = number[] | "end" | "reset" | "silence";

const ANSWERS: Record<Step, Answer[]> = {
  negotiate: ["end", "reset", "silence", [5, 0xff], [5, 1], [4, 0], [0x48, 0x54, 0x54, 0x50]],
  authenticate: ["end", "reset", "silence", [1, 1], [0x48, 0x54]],
  request: [
    "end",
    "reset",
    "silence",
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, ...Array.from({ length: 8 }, (_, i) => 0xf0 + i)].map((rep) => [5, rep]),
    [4, 0],
    [5, 0, 0, 9, 1, 1, 1, 1, 1, 1],
    [5, 0, 0, 3, 3, 0x61, 0x1b, 0x62, 0, 1],
    [5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    [5, 0, 0, 1, 255, 255, 255, 255, 0, 9],
  ],
};

/** A proxy that answers a step like that. */
function answering(at: Step, answer: Answer, user: boolean): Script {
  const steps = new WeakMap<object, Step>();
  return (conn, written) => {
    const step = steps.get(conn.line) ?? "negotiate";
    const next = step === "negotiate" && user ? "authenticate" : "request";
    steps.set(conn.line, next);
    if (step !== at) conn.push(...(step === "authenticate" ? [1, 0] : [5, user ? 2 : 0]));
    else if (answer === "end") conn.end();
    else if (answer === "reset") conn.reset(new Error("read ECONNRESET"));
    else if (answer !== "silence") conn.push(...answer);
    void written;
  };
}

/** A client with two proxies of one name, so that the first is not the last to be tried. */
function client(transport: Transport, options: Socks5Options = {}, user = false): Socks5Client {
  const proxy = `socks5://${user ? "me:secret@" : ""}proxy.test`;
  const rest = { retry: 0, timeout: TIMEOUT, attemptTimeout: 1_000, ...options };
  return new Socks5Client([proxy, proxy], { transport, ...rest });
}

const withCode = (code: string, message = `connect ${code}`) => Object.assign(new Error(message), { code });

/** Each step of each command, with each answer. */
async function handshakes(clock: Clock): Promise<void> {
  for (const [command, ask] of Object.entries(COMMANDS)) {
    for (const [at, answers] of Object.entries(ANSWERS) as [Step, Answer[]][]) {
      for (const answer of answers) {
        for (const user of at === "authenticate" ? [true] : [false, true]) {
          const it = client(new FakeTransport(answering(at, answer, user)), {}, user);
          const outcome = await clock.settle(ask(it).then((value) => value, (error) => error));
          if (outcome instanceof Socks5Error) noteOf(command, outcome); // each command takes some of the answers
          await clock.settle(it.close());
        }
      }
    }
    for (const error of [withCode("ECONNREFUSED"), withCode("EACCES"), withCode("EMFILE"), new Error("no route")]) {
      const transport = new FakeTransport(socks5());
      transport.onConnect = () => Promise.reject(error);
      await fails(clock, ask(client(transport)));
    }
    const hanging = { ...new FakeTransport(socks5()), connect: () => new Promise<never>(() => {}) } as Transport;
    const datagrams = { openDatagrams: FakeTransport.prototype.openDatagrams.bind(new FakeTransport(socks5())) };
    await fails(clock, ask(client({ ...hanging, ...datagrams })));
    await fails(clock, ask(client({ ...hanging, ...datagrams }), { timeout: 500.25 }));
    for (
      const lookup of [
        () => Promise.reject(withCode("ENOTFOUND")),
        () => Promise.resolve([]),
        () => new Promise<never>(() => {}),
        () => Promise.resolve(["nowhere"]),
      ]
    ) {
      if (ask !== COMMANDS.connect) continue;
      const transport = Object.assign(new FakeTransport(socks5()), { lookup });
      await fails(clock, ask(client(transport, { dns: "local" })));
    }
  }
}

/** The pool, and the end of a client. */
async function clients(clock: Clock): Promise<void> {
  for (const ask of Object.values(COMMANDS)) {
    const full = client(new FakeTransport(socks5()), { pool: { maxOpen: 1 } });
    const held = await clock.settle(full.connect(TARGET));
    await fails(clock, ask(full));
    held.close();
    await clock.settle(full.close());
    await fails(clock, ask(full));
    for (const [at, user] of [["negotiate", false], ["authenticate", true], ["request", false]] as const) {
      const it = client(new FakeTransport(answering(at, "silence", user)), {}, user);
      const asking = ask(it).catch((error) => error);
      await clock.tick(10);
      await clock.settle(it.close());
      note(await asking);
    }
  }
  const transport = new FakeTransport(socks5());
  const inner = new FakeTransport(answering("request", [5, 5], false));
  await fails(clock, client(new Socks5Client("socks5://inner.test", { transport: inner, retry: 0 })).connect(TARGET));
  const it = client(transport, { pool: { maxIdle: 1 } });
  (await clock.settle(it.connect(TARGET, { reuse: true }))).release();
  await clock.tick(1);
  const again = it.connect(TARGET, { reuse: true, data: new Uint8Array(1) });
  transport.onPoint = (_, what) => {
    if (what === "write") throw new Error("write EPIPE");
  };
  await fails(clock, again);
}

/** TLS with the target, within a connect and on a tunnel, and with the proxy. */
async function tls(clock: Clock): Promise<void> {
  const codes = [
    "ERR_UNREAD_PLAINTEXT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "CERT_HAS_EXPIRED",
    "ERR_SSL_ALERT",
    "SELF_SIGNED",
  ];
  for (const code of [...codes, "ERR_SSL_WRONG_VERSION_NUMBER", "ECONNRESET", "ERR_OTHER"]) {
    const transport = new FakeTransport(socks5());
    transport.onTls = () => {
      throw withCode(code);
    };
    await fails(clock, client(transport).connect(TARGET, { tls: true }));
    await fails(clock, (await clock.settle(client(transport).connect(TARGET))).startTls());
    await fails(clock, new Socks5Client("socks5+tls://proxy.test", { transport, retry: 0 }).connect(TARGET));
  }
  for (
    const end of [(conn: Socks5Conn) => conn.close(), (_: Socks5Conn, it: Socks5Client) => void it.close(), () => {}]
  ) {
    const transport = new FakeTransport(socks5());
    transport.onTls = () => {};
    const it = client(transport);
    const conn = await clock.settle(it.connect(TARGET));
    transport.onPoint = (_, what) => what === "tls" && end(conn, it);
    const starting = conn.startTls().then((value) => value, (error) => error);
    await fails(clock, conn.read(new Uint8Array(1)));
    const outcome = await clock.settle(starting);
    if (outcome instanceof Error) note(outcome);
    else await fails(clock, conn.write(new Uint8Array(1)));
  }
  const never = () => new Promise<never>(() => {});
  const transport: Transport = {
    connect: async (to, options) =>
      Object.assign(await new FakeTransport(socks5()).connect(to, options), { startTls: never }),
  };
  await fails(clock, client(transport).connect(TARGET, { tls: true }));
  await fails(clock, (await clock.settle(client(transport).connect(TARGET))).startTls({ timeout: 99.6 }));
}

/** What a tunnel says to its holder. */
async function tunnels(clock: Clock): Promise<void> {
  const open = async (
    act: (conn: Socks5Conn, it: Socks5Client, transport: FakeTransport) => unknown,
    options: ConnectOptions = {},
  ) => {
    const transport = new FakeTransport(socks5());
    const it = client(transport);
    const conn = await clock.settle(it.connect(TARGET, options));
    await clock.settle(Promise.resolve(act(conn, it, transport)));
    return conn;
  };
  const p = () => new Uint8Array(1);
  const ends = [
    await open((conn) => conn.close()),
    await open((conn) => conn.release(), { reuse: true }),
    await open((conn) => conn.detach()),
    await open((_, it) => it.close()),
    await open((_, __, transport) => transport.conns[0]!.reset(new Error("read ECONNRESET"))),
    await open(async (conn, it) => {
      conn.markIdle(() => {});
      await Promise.all(Array.from({ length: 100 }, () => it.connect(TARGET)));
    }),
  ];
  for (const conn of ends) {
    await fails(clock, conn.read(p()));
    await fails(clock, conn.write(p()));
    await fails(clock, conn.closeWrite());
    await fails(clock, conn.startTls());
    throws(() => conn.detach());
  }
  const shut = await open((conn) => conn.closeWrite());
  await fails(clock, shut.write(p()));
  const busy = await open(() => {});
  void busy.read(p()).catch(() => {});
  await fails(clock, busy.read(p()));
  throws(() => busy.detach());
  await fails(clock, busy.startTls());
  await fails(clock, busy.write("text" as never));
  throws(() => busy.markIdle(undefined as never));
  const streamed = await open((conn) => conn.readable);
  await fails(clock, streamed.startTls());
  const transport = new FakeTransport(socks5());
  const it = client(transport);
  (await clock.settle(it.connect(TARGET, { reuse: true }))).release();
  const reused = await clock.settle(it.connect(TARGET, { reuse: true }));
  throws(() => reused.detach());
  const bare: Transport = { connect: async (to) => Object.assign(await transport.connect(to), { detach: undefined }) };
  const socketless = await clock.settle(client(bare).connect(TARGET));
  throws(() => socketless.detach());
  for (const conn of [null, {}, { read() {} }]) {
    await fails(clock, client({ connect: () => Promise.resolve(conn as never) }).connect(TARGET));
  }
  for (const spoil of [{ read: () => -1 }, { write: () => 1 }]) {
    const spoiled: Transport = { connect: async (to) => Object.assign(await transport.connect(to), spoil) as never };
    await fails(clock, client(spoiled).connect(TARGET));
  }
}

/** What the second reply of a binding may be, and how an accept ends. */
async function bindings(clock: Clock): Promise<void> {
  const bound = [5, 0, 0, 1, 192, 0, 2, 1, 0, 9];
  const binding = async (then: Answer) => {
    const good = socks5();
    const transport = new FakeTransport((conn, written) => {
      if (written[1] !== 2 || written.length < 10) return good(conn, written);
      conn.push(...bound, ...(Array.isArray(then) ? then : []));
      if (then === "end") conn.end();
      if (then === "reset") conn.reset(new Error("read ECONNRESET"));
    });
    const it = client(transport);
    return { it, port: await clock.settle(it.bind("192.0.2.1:0")) };
  };
  for (const answer of ["end", "reset", "silence", [5, 1], [5, 6], [4, 4], [5, 0, 0, 9, 1]] as Answer[]) {
    await fails(clock, (await binding(answer)).port.accept());
  }
  const { port } = await binding("silence");
  const accepting = port.accept();
  await fails(clock, port.accept());
  port.close();
  await fails(clock, accepting);
  const closed = await binding("silence");
  await clock.settle(closed.it.close());
  await fails(clock, closed.port.accept());
}

/** Associations: their sockets, their relays, and their ends. */
async function associations(clock: Clock): Promise<void> {
  const relay = (reply: number[] = [5, 0, 0, 1, 192, 0, 2, 1, 0, 9]): Script => {
    const good = socks5();
    return (conn, written) => written[1] === 3 ? conn.push(...reply) : good(conn, written);
  };
  const associate = (change: Partial<Transport> = {}, script = relay(), options: AssociateOptions = {}) =>
    client(Object.assign(new FakeTransport(script), change)).associate({ allowPrivateRelay: true, ...options });
  for (const error of [withCode("EACCES"), withCode("EMFILE"), new Error("no socket")]) {
    await fails(clock, associate({ openDatagrams: () => Promise.reject(error) }));
  }
  await fails(clock, associate({ openDatagrams: () => Promise.resolve({} as never) }));
  await fails(clock, associate({ openDatagrams: () => new Promise(() => {}) }, relay(), { timeout: 1_234.5678 }));
  await fails(clock, associate({ openDatagrams: () => new Promise(() => {}) }, relay(), { from: "192.0.2.2" }));
  for (const reply of [[5, 0, 0, 3, 1, 0x61, 0, 9], [5, 0, 0, 1, 192, 0, 2, 1, 0, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0, 9]]) {
    await fails(clock, associate({}, relay(reply)));
  }
  await fails(clock, associate({}, relay([5, 0, 0, 1, 240, 0, 0, 1, 0, 9])));
  await fails(clock, associate({}, relay([5, 0, 0, 1, 127, 0, 0, 1, 0, 9]), { allowPrivateRelay: false }));
  await fails(clock, associate({}, relay([5, 0, 0, 1, 10, 0, 0, 1, 0, 9]), { allowPrivateRelay: false }));
  await fails(clock, associate({}, relay([5, 0, 0, 1, 169, 254, 0, 1, 0, 9]), { allowPrivateRelay: false }));
  await fails(clock, associate({}, relay(), { from: "2001:db8::1" }));
  const ends: ((it: Association, transport: FakeTransport, client: Socks5Client) => unknown)[] = [
    (it) => it.close(),
    (_, transport) => transport.sockets[0]!.handlers.onError(new Error("recv EIO")),
    (_, transport) => transport.conns[0]!.reset(new Error("read ECONNRESET")),
    (_, transport) => transport.conns[0]!.end(),
    (_, __, client) => client.close(),
  ];
  for (const end of ends) {
    const transport = new FakeTransport(relay());
    const it = client(transport);
    const association = await clock.settle(it.associate({ allowPrivateRelay: true }));
    await clock.settle(Promise.resolve(end(association, transport, it)));
    await clock.tick(1);
    await fails(clock, association.send(new Uint8Array(1), "192.0.2.3:53"));
    const outcome = await clock.settle(association.receive().then((value) => value, (error) => error));
    if (outcome !== null) note(outcome);
  }
  const transport = Object.assign(new FakeTransport(relay()), { lookup: () => Promise.reject(withCode("ENOTFOUND")) });
  const association = await clock.settle(client(transport, { dns: "local" }).associate({ allowPrivateRelay: true }));
  await fails(clock, association.send(new Uint8Array(1), "nowhere.test:53"));
  transport.onPoint = () => {
    throw withCode("EPERM");
  };
  await fails(clock, association.send(new Uint8Array(1), "192.0.2.3:53"));
  await fails(clock, association.send("text" as never, "192.0.2.3:53"));
  await fails(clock, association.send(new Uint8Array(70_000), "192.0.2.3:53"));
  void association.receive();
  await fails(clock, association.receive());
  association.close();
}

/** Authentication methods of the caller's. */
async function methods(clock: Clock): Promise<void> {
  const conversations: [AuthMethod["negotiate"], Answer][] = [
    [() => 5 as never, []],
    [function* () {
      yield { have: -1 };
    }, []],
    [function* () {
      yield { write: "text" as never, have: 1 };
    }, []],
    [function* () {
      yield { have: 2, most: 1 };
    }, []],
    [function* () {
      yield { write: new Uint8Array(1), have: 1 };
    }, "end"],
    [function* () {
      yield { write: new Uint8Array(1), have: 0 };
      throw new Error("secret");
    }, []],
    [function* () {
      yield { write: new Uint8Array(1), have: 0 };
      return {} as never;
    }, []],
  ];
  for (const [negotiate, then] of conversations) {
    const script: Script = (conn, written) => written[0] === 5 ? conn.push(5, 0x80) : then === "end" && conn.end();
    await fails(clock, client(new FakeTransport(script), { methods: [{ method: 0x80, negotiate }] }).connect(TARGET));
  }
}

/** What a check says. */
async function checks(clock: Clock): Promise<void> {
  const scripts = [
    ...(Object.entries(ANSWERS) as [Step, Answer[]][]).flatMap(([at, answers]) =>
      answers.slice(0, 4).map((answer) => answering(at, answer, true))
    ),
    socks5(),
    socks5({ target: (conn) => conn.push(1) }),
    socks5({ target: (conn) => conn.end() }),
  ];
  for (const script of scripts) {
    for (const target of [undefined, TARGET]) {
      const options: CheckOptions = target === undefined ? {} : { probe: new Uint8Array(1) };
      for (const it of [client(new FakeTransport(script), {}, true), client(new FakeTransport(script))]) {
        for (const report of await clock.settle(it.check(target, options))) {
          for (const { phase, status, message } of report.steps) said.add(`check, ${phase} ${status}: ${message}`);
        }
      }
    }
  }
}

/** Wrong arguments. */
async function args(clock: Clock): Promise<void> {
  const wrong = <T>(value: unknown) => value as T;
  const { cert, key } = certificates().client;
  const proxies = [
    "host:1080",
    "http://host",
    "socks5://",
    "socks5://ho st",
    "socks5://::1",
    "socks5://h:x",
    "socks5://h:0",
    "socks5://h:70000",
    "socks5://u/x:p@h",
    "socks5://h/path",
    "socks5://localhost/run/../x",
    "socks5://localhost/a b",
    "socks5+tls://localhost/x",
    `socks5://${"u".repeat(256)}@h`,
    `socks5://u:${"p".repeat(256)}@h`,
    "socks5://:p@h",
    null,
    5,
    [],
    {},
    { hostname: "h", port: "1" },
    { hostname: "h", port: 0 },
    { hostname: "h", username: "u" },
    { hostname: 5 },
    { path: "" },
    { path: "/x".repeat(80) },
    { path: "/x", tls: true },
    { hostname: "h", credentials: { username: 5 } },
    { hostname: "h", credentials: { username: "u", pasword: "p" } },
    { hostname: "h", credentials: "u:p" },
    { hostname: "h", prot: 1 },
    { hostname: "h", tls: 5 },
    { hostname: "h", tls: { serverName: "a b" } },
  ];
  for (const proxy of proxies) throws(() => new Socks5Client(wrong<ProxySpec>(proxy)));
  const lists = [5, "\nh", "h:1 x", "::1", "u:p:h.test:1", "h:1:2:3", "http://h:1", "h:1::p"];
  for (const list of lists) throws(() => parseProxyList(wrong<string>(list)));
  const options: object[] = [
    ...[
      "noDelay",
      "keepAlive",
      "timeout",
      "attemptTimeout",
      "cooldown",
      "auth",
      "handshake",
      "dns",
      "methods",
      "onEvent",
      "transport",

      "pool",
      "retry",
    ].map((name) => ({ [name]: "secret" })),
    ...["maxOpen", "maxIdle", "idleTimeout", "maxLifetime", "warm", "warmTimeout", "warmIdle"].flatMap((
      name,
    ) => [{ pool: { [name]: "secret" } }, { pool: { [name]: -1 } }]),
    ...["retries", "minDelay", "maxDelay", "when"].map((name) => ({ retry: { [name]: "secret" } })),
    { keepAlive: Infinity },
    { retry: -1 },
    { retry: { minDelay: Infinity } },
    { pool: { warm: 5, maxOpen: 1 } },
    { pool: { warm: Infinity, maxOpen: Infinity } },
    { pool: { warmTimeout: 5 } },
    { auth: "required" },
    { dns: "local", transport: { connect() {} } },
    { methods: [5] },
    { methods: [{ method: 2, negotiate() {} }] },
    { methods: [{ method: "x", negotiate() {} }] },
    { methods: [{ method: 9, negotiate() {} }, { method: 9, negotiate() {} }] },
    { isolate: "x".repeat(300) },
    { timout: 5 },
    { pool: { max: 5 } },
    { zzz: 1 },
  ];
  for (const it of options) throws(() => new Socks5Client("socks5://h", wrong<Socks5Options>(it)));
  throws(() => new Socks5Client("socks5://h", wrong<Socks5Options>(5)));
  throws(() => new Socks5Client("socks5://u:p@h", { isolate: true }));
  const it = client(new FakeTransport(socks5()));
  const targets = [
    "",
    "h",
    "h:x",
    "h:0",
    "h:70000",
    "::1:80",
    "[::1]",
    "[h]:80",
    "[::zz]:80",
    "a b:80",
    "a..b:80",
    "1.2.3:80",
    "a".repeat(300) + ":80",
    "u:p@h:80",
    "http://h:80",
    5,
    null,
    {},
    { hostname: "h" },
    { hostname: "h", port: "80" },
    { path: "/x" },
  ];
  for (const target of targets) await fails(clock, it.connect(wrong<Target>(target)));
  const connects: object[] = [
    { data: "secret" },
    { data: new Uint8Array(70_000) },
    { data: new Uint8Array(1), tls: true },
    { reuse: "yes" },
    { timeout: "secret" },
    { timeout: -1 },
    { signal: "secret" },
    { credentials: "secret" },
    { credentials: { username: "" } },
    { isolate: 5 },
    { isolate: true, credentials: { username: "u" } },
    { tls: "secret" },
    { tsl: true },
    ...[
      { serverName: "a b" },
      { cert },
      { key },
      { cert: "secret", key },
      { cert, key: "secret" },
      { caCerts: "secret" },
      { caCerts: ["secret"] },
      { alpnProtocols: "h2" },
      { alpnProtocols: [""] },
    ].map((tls) => ({ tls: wrong<TlsOptions>(tls) })),
  ];
  for (const options of connects) await fails(clock, it.connect(TARGET, wrong<ConnectOptions>(options)));
  await fails(clock, it.connect(TARGET, wrong(5)));
  for (
    const options of [{ probe: "secret" }, { onStep: "secret" }, { probe: new Uint8Array(1) }, { tls: true }, {
      prob: 1,
    }]
  ) {
    await fails(clock, it.check(undefined, wrong<CheckOptions>(options)));
  }
  for (const name of ["", "a b", 5, "1.2.3"]) await fails(clock, it.resolve(wrong<string>(name)));
  for (const address of ["example.test", "", 5]) await fails(clock, it.resolvePtr(wrong<string>(address)));
  for (const options of [{ from: "example.test" }, { from: 5 }, { allowPrivateRelay: "yes" }, { form: 1 }]) {
    await fails(clock, it.associate(wrong<AssociateOptions>(options)));
  }
  await fails(
    clock,
    new Socks5Client("socks5://h", { transport: { connect: () => new Promise<never>(() => {}) } }).associate(),
  );
  await fails(
    clock,
    new Socks5Client("socks5://localhost/run/x", { transport: new FakeTransport(socks5()) }).associate(),
  );
  await fails(clock, it.bind(wrong<Target>("h")));
  await fails(clock, it.bind(TARGET, wrong({ timout: 1 })));
  const h = "socks5://h";
  const surfaces: [given: unknown, client?: unknown][] = [
    [undefined],
    [() => {}],
    [{}],
    [it, {}],
    [h, it],
    [h, "secret"],
    [h, { timout: 5 }],
  ];
  for (const [given, client] of surfaces) {
    throws(() => new Socks5Agent(wrong<ProxySpec>(given), { client: wrong<Socks5Options>(client) }));
    throws(() => createFetch(wrong<ProxySpec>(given), { client: wrong<Socks5Options>(client) }));
    await fails(clock, serve(wrong<ProxySpec>(given), { client: wrong<Socks5Options>(client) }));
  }
  throws(() => new Socks5Agent(h, { bypass: wrong(5) }));
  throws(() => parseBypass(() => wrong<boolean>("no"))!({ hostname: "h", port: 1, protocol: undefined }));
  throws(() => new Socks5Agent(h, wrong({ clent: {} })));
  throws(() => createFetch(h, wrong({ clent: {} })));
  await fails(clock, serve(h, wrong({ clent: {} })));
  const parts = { hostname: "h", port: 1 };
  for (
    const more of [{ weight: "1" }, { weight: 1001 }, { maxOpen: 0 }, { maxOpen: "1" }, { label: "" }, { label: 5 }]
  ) {
    throws(() => new Socks5Client(wrong<ProxySpec>({ ...parts, ...more })));
  }
  throws(() => new Socks5Client({ ...parts, weight: 0 }));
  throws(() => new Socks5Client([{ ...parts, label: "a" }, { ...parts, label: "a" }]));
  throws(() => new Socks5Client(wrong<ProxySpec>({ url: h, hostname: "h" })));
  throws(() => new Socks5Client(wrong<ProxySpec>({ url: 5 })));
  throws(() => new Socks5Client({ url: "socks5h://u:p@h", credentials: { username: "u" } }));
  throws(() => it.setProxies(wrong<ProxySpec[]>(h)));
  throws(() => it.setProxies([]));
  throws(() => new Socks5Client(h, { shared: wrong({ exchange() {} }) }));
  throws(() => it.suspend("h:1080", wrong({})));
  throws(() => it.suspend("h:1080", { for: -1 }));
  throws(() => it.suspend("h:1080", { for: 1, hostname: "a b" }));
  throws(() => it.suspend(wrong<string>(5), { for: 1 }));
  throws(() => it.suspend(wrong<string>({}), { for: 1 }));
  throws(() => it.suspend("nobody", { for: 1 }));
  throws(() => it.stats(wrong({ sessions: 1 })));
  await fails(clock, it.check(undefined, { concurrency: 0 }));
  await fails(clock, it.check(undefined, { concurrency: 1.5 }));
  await fails(clock, it.connect(TARGET, wrong({ session: 5 })));
  await fails(clock, it.connect(TARGET, { session: "" }));
  const throwing = () => {
    throw new Error("no");
  };
  await fails(clock, new Socks5Client({ url: h, credentials: throwing }).connect(TARGET));
  await fails(clock, new Socks5Client({ url: h, credentials: () => wrong(5) }).connect(TARGET));
  await fails(clock, it.close({ drain: -1 }));
  await fails(clock, it.close(wrong({ drian: 1 })));
}

test("all messages are the listed ones, each code has one, and each name of a wrong argument", () =>
  withClock(async (clock) => {
    for (const provoke of [args, handshakes, clients, tls, tunnels, bindings, associations, methods, checks]) {
      await provoke(clock);
    }
    const list = [...said].sort();
    for (const code of Object.keys(POLICY)) {
      assert(list.some((line) => line.startsWith(`${code} in `)), `none has ${code}`);
    }
    const root = new URL("../../src/", import.meta.url);
    for (const file of readdirSync(root, { recursive: true, encoding: "utf8" }).filter((it) => it.endsWith(".ts"))) {
      for (const [, name] of readFileSync(new URL(file, root), "utf8").matchAll(/cannot\("([^"]+)"/g)) {
        assert(list.some((line) => line.includes(`Cannot use ${name} as`)), `none is about ${name}, of ${file}`);
      }
    }
    if (process.env.SOCKS5_TEST_MESSAGES === "write") writeFileSync(LIST, list.join("\n") + "\n");
    assertEquals(list, readFileSync(LIST, "utf8").trimEnd().split("\n"));
  }));
