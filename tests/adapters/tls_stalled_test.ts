import { assert, assertEquals } from "@std/assert";
import { setImmediate } from "node:timers/promises";
import { certificates } from "../support/certificates.ts";
import { startSilent, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { type Path, paths } from "../support/tls_paths.ts";
import { startTls } from "../support/tls_targets.ts";

const caCerts = [certificates().authority.cert];

/** Gives up so many handshakes at once, after the target has heard of them. */
async function giveUp({ transport, start }: Path, { hostname, port }: Target, names: string[]): Promise<void> {
  await Promise.all(names.map(async (serverName) => {
    const conn = await transport.connect({ hostname, port });
    const starting = start(conn, { serverName, caCerts }).then(() => assert(false), () => {});
    for (let i = 0; i < 10; i++) await setImmediate(); // the handshake has begun
    conn.close();
    await starting;
  }));
}

for (const path of paths.filter(({ name }) => name !== "denoTransport")) {
  test(`${path.name}: handshakes that are given up at the same time are all closed`, async () => {
    const target = await startSilent();
    await giveUp(path, target, new Array(120).fill("localhost"));
    await target.until(() => target.open === 0);
    await target.close();
  });
}

const deno = paths.find(({ name }) => name === "denoTransport");
if (deno !== undefined) {
  /** The names for which Deno's own API starts TLS meanwhile. */
  const natively = async (use: () => Promise<void>): Promise<string[]> => {
    const { startTls } = Deno;
    const names: string[] = [];
    Deno.startTls = (conn, options) => {
      names.push(options!.hostname!);
      return startTls(conn, options);
    };
    try {
      await use();
    } finally {
      Deno.startTls = startTls;
    }
    return names;
  };

  /** Whether Deno's own API does it for that name. */
  const isNative = async (target: Target, serverName: string): Promise<boolean> => {
    const { hostname, port } = target;
    const conn = await deno.transport.connect({ hostname, port });
    const names = await natively(async () => (await deno.start(conn, { serverName, caCerts })).close());
    return names.length === 1;
  };

  test("denoTransport: a handshake that is given up leads to node:tls for that name, for ten minutes", async () => {
    const [silent, target] = [await startSilent(), await startTls()];
    const { now } = performance;
    try {
      assert(await isNative(target, "localhost"));
      await giveUp(deno, silent, ["localhost"]);
      assert(!await isNative(target, "localhost"));
      assert(await isNative(target, "127.0.0.1"));
      performance.now = () => now.call(performance) + 600_001;
      assert(await isNative(target, "localhost"));
    } finally {
      performance.now = now;
    }
    await silent.close();
    await target.until(() => target.open === 0);
    await target.close();
  });

  test("denoTransport: of all that are given up at most 100 stay open, whatever their names", async () => {
    const [silent, target] = [await startSilent(), await startTls()];
    const names = Array.from({ length: 150 }, (_, i) => `name-${i}.example`);
    const native = await natively(() => giveUp(deno, silent, names));
    assertEquals(native.length, 100);
    await silent.until(() => silent.open <= native.length);
    assert(!await isNative(target, "127.0.0.1"));
    await silent.close();
    await target.until(() => target.open === 0);
    await target.close();
  });
}
