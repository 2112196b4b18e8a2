import { assertEquals } from "@std/assert";
import { platform } from "node:process";
import { fileURLToPath } from "node:url";
import { quick, test } from "../support/test.ts";
import { run, runtimes } from "../support/tools.mjs";

const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const program = fileURLToPath(new URL("../soak.mjs", import.meta.url));

test(
  "socks5 serve under load loses nothing: its list is read again, proxies die and come back, files run out",
  async () => {
    const { ok, output } = await run(runtimes.node, [program, "--quick", "--runtime", runtime]);
    assertEquals(ok, true, output);
  },
  { skip: quick || (platform !== "linux" && "it reads /proc") },
);
