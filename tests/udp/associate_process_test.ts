import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createGate } from "../../testing/mod.ts";
import { withProxy } from "../support/stage.ts";
import { quick, test } from "../support/test.ts";
import { startUdpEcho, until } from "../support/udp_targets.ts";

const isDeno = "Deno" in globalThis;

test("an association keeps the process alive until it ends, unless unref() says otherwise", async () => {
  await using echo = await startUdpEcho();
  const gate = createGate();
  await withProxy({
    udp: {},
    faults: [[{ fault: "wait", at: "transfer", for: gate.pass }, { fault: "close", at: "transfer" }]],
  }, async (proxy) => {
    const running = run(["--allow-net"], proxy.url, "ref", echo.address);
    await until(() => echo.received.length === 3);
    gate.open();
    assertEquals(await running, ["received 3", "ended with null"]);
    assertEquals(await run(["--allow-net"], proxy.url, "unref", echo.address), ["received 3", "nobody waits"]);
  });
}, { skip: quick });

test("what Deno does not permit is an error that can be caught", async () => {
  await using echo = await startUdpEcho();
  await withProxy({ udp: {} }, async (proxy) => {
    const at = `127.0.0.1:${proxy.port}`;
    assertEquals(await run([`--allow-net=${at}`], proxy.url, "", echo.address), ["SOCKS5_LOCAL_NOT_PERMITTED"]);
    assertEquals(await run([`--allow-net=${at},0.0.0.0:0`], proxy.url, "", echo.address), ["SOCKS5_PROXY_UNREACHABLE"]);
  });
}, { skip: quick || (!isDeno && "it is for deno") });

/** What the program prints, line by line. */
async function run(flags: string[], ...args: string[]): Promise<string[]> {
  const program = fileURLToPath(new URL("../support/udp_program.ts", import.meta.url));
  const deno = ["run", "--quiet", "--no-prompt", "--no-check", "--no-lock", ...flags];
  const all = [...(isDeno ? deno : []), program, ...args];
  const { stdout } = await promisify(execFile)(process.execPath, all, { timeout: 20_000 });
  return stdout.trim().split("\n");
}
