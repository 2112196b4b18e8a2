// Writes every example of the papers as a file that a compiler takes: node tests/support/write_examples.ts DIRECTORY
// Under `own` are those that need the package alone, under `libraries` those that import others, and those that are for
// one runtime under its name.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Block, blocks, docComments } from "./markdown.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { name, publish } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")) as {
  name: string;
  publish: { include: string[] };
};

const directory = process.argv[2]!;
for (const kind of ["own", "libraries", "deno", "bun"]) mkdirSync(join(directory, kind), { recursive: true });

write(
  "around.ts",
  `// What examples have from around them that begin in the middle of something.
import type { Socks5Client, Socks5Conn } from "${name}";
import type * as fetching from "${name}/fetch";

declare global {
  const client: Socks5Client;
  const conn: Socks5Conn;
  const free: Set<Socks5Conn>;
  const createConnector: typeof fetching.createConnector;
  function readLine(conn: Socks5Conn): Promise<string>;
}
`,
);

write(
  "own/std_assert.d.ts",
  `// What examples use of @std/assert, which npm does not have.
declare module "@std/assert" {
  export function assert(condition: unknown): asserts condition;
  export function assertEquals<T>(actual: T, expected: T): void;
  export function assertRejects(fn: () => Promise<unknown>, type: abstract new (...args: never[]) => Error, message?: string): Promise<unknown>;
}
`,
);

for (const file of publish.include.flatMap(list)) {
  const text = readFileSync(join(root, file), "utf8");
  for (const block of blocks(file.endsWith(".md") ? text : docComments(text))) {
    if (block.info[0] !== "ts") continue;
    write(`${kindOf(block)}/${file.replace(/\W/g, "_")}_${block.line}.ts`, compilable(block.code));
  }
}

function write(path: string, text: string): void {
  writeFileSync(join(directory, path), text);
}

function kindOf({ info, code }: Block): string {
  const others = [...code.matchAll(/^import .* from "([^"]+)"/gm)]
    .filter(([, from]) => !/^(jsr:)?@x\/socks5|^node:|^@std\//.test(from!));
  return ["deno", "bun"].find((runtime) => info.includes(runtime)) ?? (others.length > 0 ? "libraries" : "own");
}

/** A module of its own, with the package under the name that npm knows. */
function compilable(example: string): string {
  const code = example.replaceAll(`jsr:${name}`, name);
  return /^import /m.test(code) ? code : `export async function example(): Promise<unknown> {\n${code}return;\n}\n`;
}

function list(path: string): string[] {
  if (path.endsWith(".ts") || path.endsWith(".md")) return [path];
  if (path.includes(".") || path === "LICENSE") return [];
  return readdirSync(join(root, path), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|md)$/.test(file)).map((file) => `${path}/${file}`).sort();
}
