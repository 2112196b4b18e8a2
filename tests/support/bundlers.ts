import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { quick } from "./test.ts";

/** The directory of the project. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** The commands. */
export const esbuild: string = join(ROOT, "node_modules/.bin/esbuild");
export const rollup: string = join(ROOT, "node_modules/.bin/rollup");

/** Why there are none of them. */
export const missing: string | false = quick ||
  (existsSync(esbuild) && existsSync(rollup) ? false : "esbuild and rollup are not installed");

/** One script of a program in TypeScript, without what nobody uses; it gets what is of Node from a `require`. */
export function bundled(program: string): Promise<string> {
  const flags = ["--bundle", "--minify", "--format=cjs", "--platform=node", "--log-level=error", "--loader=ts"];
  return run([esbuild, ...flags], program);
}

/** What a command writes, which runs in the project and is given `input`. */
export async function run([command, ...args]: [string, ...string[]], input = ""): Promise<string> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(input);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => output += chunk);
  const [code] = await once(child, "close");
  assertEquals(code, 0, command);
  return output;
}
