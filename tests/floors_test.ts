import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "./support/test.ts";

// Imports only point down; files of one floor do not import each other.
const floors = [
  ["fetch/mod.ts"],
  ["fetch/fetcher.ts"],
  ["fetch/redirect.ts"],
  ["fetch/request_fields.ts"],
  ["fetch/exchange.ts"],
  ["fetch/agent.ts", "fetch/call.ts", "fetch/connector.ts", "fetch/content_coding.ts", "fetch/integrity.ts"],
  ["fetch/local.ts", "fetch/request.ts", "fetch/response_body.ts"],
  ["fetch/options.ts", "fetch/request_body.ts", "fetch/response.ts"],
  ["fetch/form_data.ts"],
  ["cli/main.ts"],
  ["cli/mod.ts"],
  ["cli/check.ts", "cli/connect.ts", "cli/serve.ts"],
  ["cli/interrupt.ts", "cli/live.ts", "cli/proxies.ts", "cli/report.ts"],
  ["cli/help.ts", "cli/paint.ts", "cli/usage.ts"],
  ["cli/io.ts", "cli/outcome.ts"],
  ["cli/stdout.ts"],
  ["testing/mod.ts"],
  ["testing/gate.ts", "testing/proxy.ts"],
  ["testing/session.ts", "testing/watch.ts"],
  ["testing/commands.ts"],
  ["testing/bind.ts", "testing/connect.ts", "testing/resolve.ts", "testing/udp.ts"],
  ["testing/rules.ts", "testing/tunnel.ts"],
  ["testing/line.ts"],
  ["testing/inbox.ts", "testing/plan.ts"],
  ["testing/options.ts", "testing/script.ts"],
  ["testing/checks.ts", "testing/log.ts"],
  ["testing/faults.ts"],
  ["testing/reply.ts"],
  ["env/mod.ts"],
  ["env/no_proxy.ts"],
  ["front/mod.ts"],
  ["front/listener.ts"],
  ["front/http.ts", "front/socks.ts"],
  ["front/exchange.ts"],
  ["front/refusal.ts"],
  ["front/body.ts", "front/relay.ts", "front/route.ts", "front/upstream.ts"],
  ["front/accepted.ts", "front/failures.ts", "front/fields.ts", "front/plan.ts"],
  ["front/gate.ts", "front/head.ts"],
  ["front/inbox.ts"],
  ["agent/mod.ts"],
  ["agent/agent.ts"],
  ["agent/identity.ts", "agent/secure.ts"],
  ["mod.ts"],
  ["src/socks5_client.ts"],
  ["adapters/runtime.ts"],
  ["adapters/deno.ts", "adapters/bun.ts", "adapters/node.ts"],
  ["adapters/deno_conn.ts", "adapters/bun_conn.ts", "adapters/node_conn.ts"],
  ["adapters/bun_tls.ts"],
  ["adapters/deno_pipe.ts", "adapters/bun_pipe.ts"],
  ["adapters/tls.ts"],
  ["adapters/node_pipe.ts"],
  ["adapters/bun_socket.ts", "adapters/datagrams.ts", "adapters/duplex.ts", "adapters/lookup.ts", "adapters/talk.ts"],
  ["adapters/server_identity.ts"],
  ["adapters/drained.ts", "adapters/idle_timer.ts", "adapters/socket_error.ts"],
  ["src/lazy.ts"],
  ["src/client.ts"],
  ["src/associating.ts", "src/binding.ts", "src/check.ts"],
  ["src/commanding.ts", "src/connecting.ts"],
  ["src/asking.ts", "src/trial.ts"],
  ["src/shared.ts"],
  ["src/opening.ts", "src/relaying.ts", "src/warmer.ts"],
  ["src/names.ts"],
  ["src/authenticate.ts", "src/failover.ts", "src/lookup.ts", "src/securing.ts"],
  ["src/call.ts"],
  ["src/course.ts", "src/dial.ts", "src/health.ts", "src/plan.ts", "src/race.ts"],
  ["src/isolation.ts"],
  ["src/settings.ts"],
  ["src/options.ts"],
  ["src/events.ts", "src/policy.ts"],
  ["src/pool.ts"],
  ["src/queue.ts", "src/shelf.ts"],
  ["src/held.ts"],
  ["src/sending.ts"],
  ["src/connection.ts", "src/foreign.ts"],
  ["src/session.ts", "src/streams.ts"],
  ["src/place.ts"],
  ["src/scope.ts"],
  ["src/alarm.ts", "src/arrivals.ts", "src/guard.ts", "src/method.ts", "src/pipelining.ts"],
  ["src/members.ts"],
  ["src/proxy.ts"],
  ["src/association.ts", "src/drive.ts", "src/relay.ts", "src/tls.ts", "src/tls_options.ts"],
  ["src/handshake.ts", "src/udp.ts"],
  ["src/address.ts"],
  ["src/arguments.ts"],
  ["src/transport.ts", "src/errors.ts"],
];

// What a file may import, and how. The core is loaded at the first use of a client, an adapter at the first connect, TLS
// when it is started; below those the floors decide alone.
const doors: { from: RegExp; to: RegExp; kind: Kind }[] = [
  {
    from: /^fetch\/(mod|request|request_body|form_data|options)\.ts$/,
    to: /^(fetch\/|src\/(arguments|errors|settings|tls_options)\.ts$)/,
    kind: "value",
  },
  {
    from: /^fetch\/(?!(mod|request|request_body|form_data|options)\.ts)/,
    to: /^(fetch\/|src\/errors\.ts$|(adapters\/(drained|duplex)|agent\/agent)\.ts$|node:)/,
    kind: "value",
  },
  {
    from: /^fetch\//,
    to: /^(mod|adapters\/duplex|agent\/agent|fetch\/.*|node:.*|src\/(connection|options|transport))(\.ts)?$/,
    kind: "type",
  },
  { from: /^fetch\/(mod|connector)\.ts$/, to: /^adapters\/runtime\.ts$/, kind: "value" },
  { from: /^fetch\/(mod|connector)\.ts$/, to: /^(fetch\/fetcher|adapters\/duplex)\.ts$/, kind: "dynamic" },
  { from: /^front\//, to: /^(front\/|src\/(address|arguments|errors|proxy|settings)\.ts$|node:)/, kind: "value" },
  { from: /^front\//, to: /^(mod|src\/(connection|transport))\.ts$/, kind: "type" },
  { from: /^mod\.ts$/, to: /^src\/(errors|socks5_client)\.ts$/, kind: "value" },
  { from: /^mod\.ts$/, to: /^src\//, kind: "type" },
  { from: /^src\/socks5_client\.ts$/, to: /^(src\/(lazy|plan)|adapters\/runtime)\.ts$/, kind: "value" },
  { from: /^src\/socks5_client\.ts$/, to: /^src\//, kind: "type" },
  { from: /^adapters\//, to: /^src\/transport\.ts$/, kind: "type" },
  { from: /^adapters\/runtime\.ts$/, to: /^adapters\/(deno|bun|bun_tls|node|lookup|tls)\.ts$/, kind: "dynamic" },
  { from: /^adapters\/(deno_pipe|talk)\.ts$/, to: /^src\/guard\.ts$/, kind: "value" },
  { from: /^adapters\/tls\.ts$/, to: /^src\/tls_options\.ts$/, kind: "value" },
  { from: /^adapters\/deno(_\w+)?\.ts$/, to: /^adapters\/(deno_\w+|lookup|tls)\.ts$/, kind: "value" },
  { from: /^adapters\/bun(_\w+)?\.ts$/, to: /^adapters\/(bun_\w+|lookup|roots|talk|tls)\.ts$/, kind: "value" },
  { from: /^adapters\/node(_\w+)?\.ts$/, to: /^adapters\/(node_\w+|lookup|talk|tls)\.ts$/, kind: "value" },
  { from: /^adapters\/tls\.ts$/, to: /^adapters\/(drained|duplex|node_pipe|roots|talk)\.ts$/, kind: "value" },
  { from: /^adapters\/(?!runtime|talk)/, to: /^node:/, kind: "value" },
  {
    from: /^agent\//,
    to: /^(node:.*|agent\/.*|mod\.ts|adapters\/(duplex|runtime|server_identity)\.ts|src\/.*)$/,
    kind: "value",
  },
  {
    from: /^cli\//,
    to: /^(cli\/.*|(env|front|)\/?mod\.ts|src\/(address|arguments|errors|proxy)\.ts|node:.*)$/,
    kind: "value",
  },
  {
    from: /^testing\//,
    to: /^(testing\/|src\/(arguments|errors|settings)\.ts$|node:(dgram|net|stream)$)/,
    kind: "value",
  },
  { from: /^testing\//, to: /^src\/transport\.ts$/, kind: "type" },
  { from: /^env\//, to: /^(env\/.*|src\/(address|arguments|errors|proxy|transport)\.ts|node:process)$/, kind: "value" },
  { from: /^adapters\/runtime\.ts$/, to: /^adapters\/(deno|bun|node)\.ts$/, kind: "dynamic" },
  { from: /^adapters\/runtime\.ts$/, to: /^adapters\/tls\.ts$/, kind: "dynamic" },
  { from: /^adapters\/node\.ts$/, to: /^adapters\/node_conn\.ts$/, kind: "value" },
  { from: /^adapters\/bun\.ts$/, to: /^adapters\/bun_conn\.ts$/, kind: "value" },
  { from: /^adapters\/bun(_conn|_pipe|_tls)?\.ts$/, to: /^adapters\/bun_socket\.ts$/, kind: "type" },
  { from: /^adapters\/(runtime|deno|bun|node)\.ts$/, to: /^adapters\/lookup\.ts$/, kind: "value" },
  { from: /^adapters\/(runtime|deno|bun|node)\.ts$/, to: /^adapters\/datagrams\.ts$/, kind: "dynamic" },
  { from: /^adapters\/lookup\.ts$/, to: /^node:dns\/promises$/, kind: "dynamic" },
  { from: /^adapters\/deno\.ts$/, to: /^adapters\/deno_conn\.ts$/, kind: "value" },
  { from: /^adapters\/(deno|bun|node)_conn\.ts$/, to: /^adapters\/(deno|bun|node)_pipe\.ts$/, kind: "value" },
  {
    from: /^adapters\/(bun_tls|tls)\.ts$/,
    to: /^adapters\/((bun|node)_pipe|duplex|server_identity|tls)\.ts$/,
    kind: "value",
  },
  { from: /^adapters\/bun_conn\.ts$/, to: /^adapters\/bun_tls\.ts$/, kind: "dynamic" },
  { from: /^adapters\/((deno|bun)_pipe|node_conn)\.ts$/, to: /^adapters\/tls\.ts$/, kind: "dynamic" },
  { from: /^adapters\/(bun_pipe|node_pipe)\.ts$/, to: /^adapters\/talk\.ts$/, kind: "value" },
  { from: /^adapters\/(bun_tls|tls)\.ts$/, to: /^adapters\/talk\.ts$/, kind: "type" },
  { from: /^adapters\/((deno|bun|node)(_conn|_pipe)?|bun_tls|tls)\.ts$/, to: /^node:/, kind: "value" },
  { from: /^adapters\/duplex\.ts$/, to: /^(node:.*|adapters\/(idle_timer|socket_error)\.ts)$/, kind: "value" },
  { from: /^adapters\/socket_error\.ts$/, to: /^src\/errors\.ts$/, kind: "type" },
  { from: /^adapters\/idle_timer\.ts$/, to: /^node:timers$/, kind: "value" },
  { from: /^src\/lazy\.ts$/, to: /^src\//, kind: "type" },
  { from: /^src\/lazy\.ts$/, to: /^src\/(address|plan)\.ts$/, kind: "value" },
  { from: /^src\/lazy\.ts$/, to: /^src\/client\.ts$/, kind: "dynamic" },
  { from: /^src\/(?!(lazy|socks5_client)\.ts)/, to: /^src\//, kind: "value" },
];

const mostLines = 300;

type Kind = "type" | "value" | "dynamic";
type Import = { specifier: string; kind: Kind };

test("every file has its place, imports only point down, and none is long", () => {
  const root = new URL("../", import.meta.url);
  const list = (directory: string) =>
    readdirSync(new URL(directory, root), { recursive: true, encoding: "utf8" }).map((file) => directory + file);
  const { publish } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));
  const directories = publish.include.filter((path: string) => !path.includes(".") && path !== "LICENSE");
  const files = [
    "mod.ts",
    ...directories.flatMap((name: string) => list(`${name}/`)).filter((file: string) => file.includes(".")).sort(),
  ];
  const sources = Object.fromEntries(files.map((file) => [file, readFileSync(new URL(file, root), "utf8")]));
  assertEquals(faults(sources), []);
  assertEquals(floors.flat().filter((file) => !(file in sources)), [], "places without a file");
});

test("the check of the floors sees every kind of import", () => {
  const source = [
    'import { a } from "./a.ts";',
    "import type {",
    "  B,",
    '} from "./b.ts";',
    'import c, * as cs from "./c.ts"; import "./d.ts";',
    'export * from "./e.ts";',
    'export type { F } from "./f.ts";',
    'type G = import("./g.ts").G;',
    'const h = (await import("./h.ts")).h;',
    '// import { x } from "./comment.ts";',
    '/* import { x } from "./comment.ts"; */',
    'const text = `\nimport { x } from "./text.ts";\n`;',
    "const from = \"/* it's not a comment */\"; const i = await import('./i.ts');",
    "const j = await import(specifier);",
  ].join("\n");
  assertEquals(importsOf(source).map(({ specifier, kind }) => `${kind} ${specifier}`), [
    "value ./a.ts",
    "type ./b.ts",
    "value ./c.ts",
    "value ./d.ts",
    "value ./e.ts",
    "type ./f.ts",
    "dynamic ./g.ts",
    "dynamic ./h.ts",
    "dynamic ./i.ts",
    "dynamic specifier",
  ]);
});

const bad: [file: string, source: string, fault: string][] = [
  ["src/new.ts", "", "src/new.ts has no place"],
  ["src/pool.ts", 'import { a } from "./client.ts";', "src/pool.ts imports src/client.ts, which is not below it"],
  ["src/pool.ts", 'type A = import("./client.ts").A;', "src/pool.ts imports src/client.ts, which is not below it"],
  ["src/errors.ts", 'export * from "./transport.ts";', "src/errors.ts imports src/transport.ts, which is not below it"],
  ["src/pool.ts", 'import "./nowhere.ts";', "src/pool.ts imports src/nowhere.ts, which has no place"],
  ["src/pool.ts", 'import net from "node:net";', "src/pool.ts may not import node:net (value)"],
  ["src/pool.ts", 'import type net from "node:net";', "src/pool.ts may not import node:net (type)"],
  ["src/pool.ts", "import(name);", "src/pool.ts may not import name (dynamic)"],
  [
    "src/dial.ts",
    'import { nodeTransport } from "../adapters/node.ts";',
    "src/dial.ts may not import adapters/node.ts (value)",
  ],
  [
    "adapters/node.ts",
    'import { x } from "../src/transport.ts";',
    "adapters/node.ts may not import src/transport.ts (value)",
  ],
  [
    "adapters/bun.ts",
    'import type { A } from "../src/errors.ts";',
    "adapters/bun.ts may not import src/errors.ts (type)",
  ],
  ["adapters/bun.ts", 'import ws from "npm:ws";', "adapters/bun.ts may not import npm:ws (value)"],
  [
    "adapters/runtime.ts",
    'import { x } from "./node.ts";',
    "adapters/runtime.ts may not import adapters/node.ts (value)",
  ],
  ["mod.ts", 'export * from "./adapters/node.ts";', "mod.ts may not import adapters/node.ts (value)"],
  ["mod.ts", 'import { Core } from "./src/client.ts";', "mod.ts may not import src/client.ts (value)"],
  [
    "src/socks5_client.ts",
    'import { Core } from "./client.ts";',
    "src/socks5_client.ts may not import src/client.ts (value)",
  ],
  ["src/lazy.ts", 'import { Core } from "./client.ts";', "src/lazy.ts may not import src/client.ts (value)"],
  ["src/lazy.ts", 'import { Pool } from "./pool.ts";', "src/lazy.ts may not import src/pool.ts (value)"],
  ["src/lazy.ts", 'await import("./pool.ts");', "src/lazy.ts may not import src/pool.ts (dynamic)"],
  [
    "adapters/node.ts",
    'import { BunConn } from "./bun_conn.ts";',
    "adapters/node.ts may not import adapters/bun_conn.ts (value)",
  ],
  [
    "adapters/talk.ts",
    'import { NodeConn } from "./node_conn.ts";',
    "adapters/talk.ts may not import adapters/node_conn.ts (value)",
  ],
  [
    "adapters/deno.ts",
    'import { Receiver } from "./talk.ts";',
    "adapters/deno.ts may not import adapters/talk.ts (value)",
  ],
  ["src/pool.ts", "\n".repeat(mostLines + 1), `src/pool.ts has ${mostLines + 1} lines, more than ${mostLines}`],
];

for (const [file, source, fault] of bad) {
  test(`the check of the floors finds: ${fault}`, () => {
    assertEquals(faults({ [file]: source }).includes(fault), true, faults({ [file]: source }).join("\n"));
  });
}

function faults(sources: Record<string, string>): string[] {
  return Object.entries(sources).flatMap(([file, source]) => {
    const lines = source.replace(/\n$/, "").split("\n").length;
    return [
      ...(floorOf(file) < 0 ? [`${file} has no place`] : []),
      ...(lines > mostLines ? [`${file} has ${lines} lines, more than ${mostLines}`] : []),
      ...importsOf(source).flatMap((it) => faultOf(file, it)),
    ];
  });
}

function faultOf(file: string, { specifier, kind }: Import): string[] {
  const inside = specifier.startsWith(".");
  const to = inside ? posix.join(posix.dirname(file), specifier) : specifier;
  const allows = (door: { from: RegExp; to: RegExp; kind: Kind }) =>
    // Who may import a value may import a type, and later as well as at once.
    door.from.test(file) && door.to.test(to) && (door.kind === kind || door.kind === "value");
  if (inside && floorOf(to) < 0) return [`${file} imports ${to}, which has no place`];
  if (!doors.some(allows)) return [`${file} may not import ${to} (${kind})`];
  if (inside && floorOf(to) <= floorOf(file)) return [`${file} imports ${to}, which is not below it`];
  return [];
}

function floorOf(file: string): number {
  return floors.findIndex((floor) => floor.includes(file));
}

function importsOf(source: string): Import[] {
  // Comments and templates go, quoted text stays: specifiers are quoted.
  const code = source.replace(
    /\/\*[^]*?\*\/|\/\/.*|`(?:\\[^]|[^`\\])*`|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g,
    (token) => /^["']/.test(token) ? token : " ",
  );
  const statements =
    /\b(?:import|export)\s+(type\b)?(?:[\w*{}\s,$]+?\bfrom\s*)?["']([^"']+)["']|\bimport\(\s*([^)]*?)\s*\)/g;
  return [...code.matchAll(statements)].map(([, type, specifier, argument]) =>
    argument === undefined
      ? { specifier: specifier ?? "", kind: type ? "type" : "value" }
      : { specifier: argument.replace(/^["']|["']$/g, ""), kind: "dynamic" }
  );
}
