import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { watched } from "./leaks.ts";
import { quick, test } from "./test.ts";

test("test() passes what leaves nothing behind", async () => {
  const timer = setTimeout(() => {}, 60_000);
  await new Promise((resolve) => setTimeout(resolve, 1));
  clearTimeout(timer);
});

test("a timer that was left fails the test", async () => {
  const error = await assertRejects(() => watched(() => void setTimeout(() => {}, 60_000)), Error);
  assertMatch(error.message, /a setTimeout of 60000 ms was left[^]*leaks_test\.ts/);
});

test("an interval that was left fails the test", async () => {
  const error = await assertRejects(() => watched(() => void setInterval(() => {}, 1)), Error);
  assertMatch(error.message, /a setInterval of 1 ms was left[^]*leaks_test\.ts/);
});

test("a timer from before fake time can be cleared after it", async () => {
  await watched(() => {
    const timer = setTimeout(() => {}, 60_000);
    new FakeTime().restore();
    clearTimeout(timer);
  });
});

test("a timer that was left after fake time fails the test", async () => {
  const leak = () => {
    new FakeTime().restore();
    setTimeout(() => {}, 60_000);
  };
  await assertRejects(() => watched(leak), Error, "a setTimeout of 60000 ms was left");
});

test("fake time that was left on fails the test and is restored", async () => {
  await assertRejects(() => watched(() => void new FakeTime(0)), Error, "fake time was left on");
  assertEquals(Date.now() > 0, true);
});

test("a leak fails its test alone, does not hold up the run, and a skip shows its reason", () => {
  // With NODE_TEST_CONTEXT set, Node would take the child for a part of its own run.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const run = spawnSync(process.execPath, [...runner(), here("fixture.ts")], {
    encoding: "utf8",
    timeout: 30_000,
    env: { ...env, NO_COLOR: "1" },
  });
  const output = run.stdout + run.stderr;
  assertMatch(output, /forgotten/);
  assertMatch(output, /a skipped test \[skipped: for this reason\]/);
  assertMatch(output, /a socket was left open: tcp6? of port \d+/);
  assertMatch(output, /\b2 failed|\bfail 2\b|\b2 fail\b/);
  assertMatch(output, /\b2 passed|\bpass 2\b|\b2 pass\b/);
  assertMatch(output, /\b1 ignored|\bskipped 1\b|\b1 skip\b/);
}, { skip: quick || (process.platform !== "linux" && "sockets are counted on Linux") });

test("a socket that takes some turns to close passes", async () => {
  await watched(async () => {
    const server = net.createServer((socket) => socket.end());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as net.AddressInfo;
    const socket = net.connect(port, "127.0.0.1").resume();
    await once(socket, "connect");
    server.close();
  });
});

test("a test that does not end fails", async () => {
  await assertRejects(() => watched(() => new Promise(() => {}), 20), Error, "did not end within 20 ms");
});

test("an error of the test itself is the one that is seen", async () => {
  const fails = () => {
    setTimeout(() => {}, 60_000);
    throw new RangeError("its own");
  };
  await assertRejects(() => watched(fails), RangeError, "its own");
});

function runner(): string[] {
  if ("Bun" in globalThis) return ["test", "--preload", here("../offline/bun.mjs")];
  if (!("Deno" in globalThis)) return ["--test", "--import", here("../offline/node.mjs")];
  const offline = import.meta.resolve("@std/assert").startsWith("file:");
  const map = offline ? ["--import-map", here("../offline/import_map.json")] : [];
  return ["test", "--allow-all", "--no-check", "--no-lock", ...map];
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
