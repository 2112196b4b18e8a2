import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { quick, test } from "../support/test.ts";

const flags: Record<string, string[]> = {
  Deno: ["run", "--quiet", "--no-check", "--no-lock", "--v8-flags=--expose-gc", "--allow-all"],
  Bun: [],
};

test(
  "what was let go is gone: requests of open tunnels, clients, contexts of TLS with a private key; a session at rest is small",
  async () => {
    const runtime = ["Deno", "Bun"].find((name) => name in globalThis);
    const program = fileURLToPath(new URL("../support/memory_program.ts", import.meta.url));
    const args = [...(runtime ? flags[runtime]! : ["--expose-gc"]), program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 40_000 });
    const dead = new Map(stdout.trim().split("\n").map((line) => line.split(": ") as [string, string]));
    assertEquals(dead.get("contexts of owners that are there"), "0");
    assertLess(Number(dead.get("bytes of a session of a fetch at rest")), 2_048, stdout);
    const least = runtime === "Bun" ? 15 : 20; // Bun takes some words on its stack for references
    for (const what of ["signals of open tunnels", "clients", "contexts of owners that are gone"]) {
      assertGreaterOrEqual(Number(dead.get(what)), least, `${what}: ${stdout}`);
    }
  },
  { skip: quick },
);
