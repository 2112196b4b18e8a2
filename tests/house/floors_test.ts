import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "../support/test.ts";

const BASE =
  ("errors arguments transport guarded_conn deadline_timer linked_list members scope settle events runtime " +
    "bytes response_head bypass own_dials").split(" ");

// Rooms from the top down: what belongs to each, and which rooms it may import. A room with a star is imported for its
// types alone. Within a room the values that files import of each other make no circle.
const rooms: { name: string; files: RegExp; imports: string }[] = [
  { name: "cli", files: /^cli\//, imports: "mod admin serve env config protocol base node:" },
  { name: "workers", files: /^workers\//, imports: "fetch serve client adapters config base mod* tunnel*" },
  {
    name: "global",
    files: /^global\//,
    imports: "fetch websocket agent direct client adapters protocol base node: config* tunnel*",
  },
  { name: "fetch", files: /^fetch\//, imports: "agent client adapters config base node: tunnel*" },
  { name: "agent", files: /^agent\//, imports: "direct client adapters base node: config*" },
  { name: "serve", files: /^serve\//, imports: "direct client adapters config protocol base node: tunnel*" },
  { name: "websocket", files: /^websocket\//, imports: "client adapters config base" },
  { name: "direct", files: /^src\/direct\.ts$/, imports: "adapters tunnel config protocol base client*" },
  { name: "env", files: /^env\//, imports: "config protocol base node:" },
  { name: "testing", files: /^testing\//, imports: "config base node: proxies*" },
  { name: "redis", files: /^redis\//, imports: "base proxies*" },
  { name: "admin", files: /^admin\//, imports: "metrics serve config protocol base node: client* request*" },
  { name: "metrics", files: /^metrics\//, imports: "base client* request*" },
  {
    name: "http_proxy",
    files: /^http_proxy\//,
    imports: "adapters attempt tunnel config protocol base",
  },
  { name: "mod", files: /^mod\.ts$/, imports: "client adapters config base request* udp* tunnel* proxies* protocol*" },
  {
    name: "client",
    files: /^src\/(client_of|socks5_client|commands|check)\.ts$/,
    imports: "request attempt tunnel config protocol base udp*",
  },
  { name: "request", files: /^src\/request\//, imports: "udp attempt tunnel pool proxies config protocol base" },
  { name: "udp", files: /^src\/udp\//, imports: "attempt protocol base tunnel* pool*" },
  { name: "attempt", files: /^src\/attempt\//, imports: "tunnel config protocol base proxies*" },
  { name: "tunnel", files: /^src\/tunnel\//, imports: "config protocol base pool* proxies*" },
  { name: "pool", files: /^src\/pool\//, imports: "base" },
  { name: "proxies", files: /^src\/proxies\//, imports: "config base" },
  { name: "adapters", files: /^adapters\//, imports: "config base node: cloudflare:" },
  { name: "config", files: /^src\/config\//, imports: "protocol base proxies*" },
  { name: "protocol", files: /^src\/protocol\//, imports: "base" },
  { name: "base", files: new RegExp(`^src/(${BASE.join("|")})\\.ts$`), imports: "" },
];

// What a program loads that imports an entry and calls nothing: all else is loaded by the first call that needs it.
const LATER =
  /^(src\/(commands|check|request|attempt|tunnel|pool|proxies|udp)|adapters\/(?!runtime|workers\/platform)|node:)/;
const light = ["mod.ts", "fetch/mod.ts"];

const mostLines = 300;

type Kind = "type" | "value" | "dynamic";
type Import = { specifier: string; kind: Kind };

test("every file is in a room, rooms only import those below them, and no file is long", () => {
  const root = new URL("../../", import.meta.url);
  const list = (directory: string) =>
    readdirSync(new URL(directory, root), { recursive: true, encoding: "utf8" }).map((file) => directory + file);
  const { publish } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));
  const directories = publish.include.filter((path: string) => !path.includes(".") && path !== "LICENSE");
  const files = ["mod.ts", ...directories.flatMap((name: string) => list(`${name}/`))];
  const sources = Object.fromEntries(
    files.filter((file) => file.endsWith(".ts")).map((file) => [file, readFileSync(new URL(file, root), "utf8")]),
  );
  assertEquals(faults(sources), []);
  for (const file of Object.keys(sources).filter((file) => /^(\w+\/)?mod\.ts$/.test(file))) {
    const loaded = loadedBy(sources, file);
    const isFine = !loaded.includes("src/socks5_client.ts") ||
      loaded.some((it) => /^(adapters|workers)\/runtime\.ts$/.test(it));
    assertEquals(isFine, true, `${file} says nothing of the runtime`);
  }
  for (const entry of light) assertEquals(loadedBy(sources, entry).filter((file) => LATER.test(file)), []);
  const unused = rooms.flatMap(({ name, imports }) =>
    imports.split(" ").filter((to) => to !== "" && !edges(sources).has(`${name} ${to}`)).map((to) =>
      `${name} imports ${to}`
    )
  );
  assertEquals(unused, [], "edges that no file needs");
});

test("the check of the rooms sees every kind of import", () => {
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

const bad: [files: Record<string, string>, fault: string][] = [
  [{ "src/new.ts": "" }, "src/new.ts is in no room"],
  [{ "src/pool/pool.ts": 'import { a } from "../commands.ts";' }, "src/pool/pool.ts may not import src/commands.ts"],
  [{ "src/pool/pool.ts": 'type A = import("../commands.ts").A;' }, "src/pool/pool.ts may not import src/commands.ts"],
  [{ "src/pool/pool.ts": 'import type net from "node:net";' }, "src/pool/pool.ts may not import node:net"],
  [{ "src/pool/pool.ts": "import(name);" }, "src/pool/pool.ts may not import name"],
  [{ "adapters/bun/mod.ts": 'import ws from "npm:ws";' }, "adapters/bun/mod.ts may not import npm:ws"],
  [{ "mod.ts": 'import { a } from "./src/udp/a.ts";' }, "mod.ts may import nothing but types of src/udp/a.ts"],
  [
    { "src/pool/a.ts": 'import { b } from "./b.ts";', "src/pool/b.ts": 'import { a } from "./a.ts";' },
    "src/pool/a.ts imports itself by way of src/pool/b.ts",
  ],
  [
    { "src/errors.ts": "x();\n".repeat(mostLines + 1) },
    `src/errors.ts has ${mostLines + 1} lines of code, more than ${mostLines}`,
  ],
];

for (const [sources, fault] of bad) {
  test(`the check of the rooms finds: ${fault}`, () => {
    assertEquals(faults(sources).includes(fault), true, faults(sources).join("\n"));
  });
}

test("what an entry loads is found through every file that is loaded with it", () => {
  const sources = {
    "mod.ts": 'import { a } from "./src/a.ts"; import type { T } from "./src/t.ts"; import("./src/later.ts");',
    "src/a.ts": 'export * from "./b.ts";',
    "src/b.ts": 'import "node:net";',
  };
  assertEquals(loadedBy(sources, "mod.ts"), ["mod.ts", "src/a.ts", "src/b.ts", "node:net"]);
});

function faults(sources: Record<string, string>): string[] {
  return Object.entries(sources).flatMap(([file, source]) => {
    const lines = source.split("\n").filter((line) => !/^\s*(\/\/|\/\*\*|\*|$)/.test(line)).length; // docs do not count
    return [
      ...(roomOf(file) === undefined ? [`${file} is in no room`] : []),
      ...(lines > mostLines ? [`${file} has ${lines} lines of code, more than ${mostLines}`] : []),
      ...importsOf(source).flatMap((it) => faultOf(file, it)),
      ...circleOf(sources, file),
    ];
  });
}

function faultOf(file: string, { specifier, kind }: Import): string[] {
  const to = resolved(file, specifier);
  const [from, room] = [roomOf(file), roomOf(to)];
  if (from === undefined || (from === room && room !== "node:")) return [];
  const allowed = rooms.find(({ name }) => name === from)!.imports.split(" ");
  if (allowed.includes(`${room}`)) return [];
  if (!allowed.includes(`${room}*`)) return [`${file} may not import ${to}`];
  return kind === "type" ? [] : [`${file} may import nothing but types of ${to}`];
}

/** The edges between rooms that files make, as the table writes them. */
function edges(sources: Record<string, string>): Set<string> {
  const values = new Set<string>();
  const types = new Set<string>();
  for (const [file, source] of Object.entries(sources)) {
    for (const { specifier, kind } of importsOf(source)) {
      (kind === "type" ? types : values).add(`${roomOf(file)} ${roomOf(resolved(file, specifier))}`);
    }
  }
  return new Set([...values, ...[...types].filter((edge) => !values.has(edge)).map((edge) => `${edge}*`), ...types]);
}

/** A file that loads itself by way of another one. */
function circleOf(sources: Record<string, string>, file: string): string[] {
  const first = importsOf(sources[file]!).filter(({ kind }) => kind === "value")
    .map(({ specifier }) => resolved(file, specifier))
    .find((to) => to in sources && loadedBy(sources, to).includes(file));
  return first === undefined ? [] : [`${file} imports itself by way of ${first}`];
}

/** All that is loaded with an entry, in the order in which it is found. */
function loadedBy(sources: Record<string, string>, entry: string): string[] {
  const loaded = new Set([entry]);
  for (const file of loaded) {
    for (const { specifier, kind } of importsOf(sources[file] ?? "")) {
      if (kind === "value") loaded.add(resolved(file, specifier));
    }
  }
  return [...loaded];
}

function resolved(file: string, specifier: string): string {
  return specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : specifier;
}

function roomOf(file: string): string | undefined {
  if (file === "CLOUDFLARE_SOCKETS") return "cloudflare:"; // by a variable, or no bundler would take it
  return file.startsWith("node:") ? "node:" : rooms.find(({ files }) => files.test(file))?.name;
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
