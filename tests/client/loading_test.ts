import { assertEquals, assertRejects } from "@std/assert";
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createTestFleet, type TestProxy } from "../../testing/mod.ts";
import { startWeb } from "../support/http_server.ts";
import { withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The package without one of its files. */
interface Incomplete {
  main: typeof import("../../mod.ts");
  fetching: typeof import("../../fetch/mod.ts");
  /** Brings the file back. */
  complete(): void;
}

/** Runs `use` with a copy of the package without `file`. */
async function without(file: string, use: (it: Incomplete) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    for (const it of ["src", "adapters", "agent", "fetch", "mod.ts"]) {
      cpSync(join(ROOT, it), join(directory, it), { recursive: true });
    }
    writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
    const [here, away] = [join(directory, file), join(directory, "away")];
    renameSync(here, away);
    const load = (it: string) => import(pathToFileURL(join(directory, it)).href);
    const [main, fetching] = [await load("mod.ts"), await load("fetch/mod.ts")];
    await use({ main, fetching, complete: () => renameSync(away, here) });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A file that is loaded late, and a call that needs it. */
const LATE: Record<string, (it: Incomplete, proxy: TestProxy) => { call(): Promise<unknown>; close(): Promise<void> }> =
  {
    "src/commands.ts": ({ main }, proxy) => {
      const client = new main.Socks5Client(proxy.url);
      return { call: async () => (await client.connect("web.test:80")).close(), close: () => client.close() };
    },
    "src/proxies/shared_fleet.ts": ({ main }, proxy) => {
      const client = new main.Socks5Client(proxy.url, { shared: createTestFleet() });
      return { call: async () => (await client.connect("web.test:80")).close(), close: () => client.close() };
    },
    "fetch/fetcher.ts": ({ fetching }, proxy) => {
      const fetch = fetching.createFetch(proxy.url);
      return { call: async () => (await fetch("http://web.test/")).text(), close: () => fetch.close() };
    },
  };

const NOT_FOUND = /not found|cannot find/i;

/** Runs `use` with a proxy, and a site behind it. */
async function withSite(use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  const web = await startWeb((_, response) => response.end());
  try {
    await withProxy({ rules: { "web.test:80": { port: web.port } } }, use);
  } finally {
    await web.close();
  }
}

for (const [file, calling] of Object.entries(LATE)) {
  test(
    `${file}: the calls that cannot load it fail, and the next one tries again`,
    () =>
      without(file, (it) =>
        withSite(async (proxy) => {
          const { call, close } = calling(it, proxy);
          for (let i = 0; i < 2; i++) await assertFails(call);
          it.complete();
          await call();
          await close();
        })),
    { skip: "Deno" in globalThis && "Deno remembers that a file was missing" },
  );
}

test("suspend() alone of a client whose store cannot be loaded leaves no rejection behind", () =>
  without("src/proxies/shared_fleet.ts", async ({ main }) => {
    const shared = createTestFleet();
    const [client, other] = ["socks5h://a.test", "socks5h://b.test"].map((it) => new main.Socks5Client(it, { shared }));
    client!.suspend("a.test:1080", { for: 1_000 });
    await assertFails(() => other!.connect("web.test:80"));
    assertEquals(client!.stats().proxies[0]!.suspended.length, 1);
    await Promise.all([client!.close(), other!.close()]);
  }));

/** A call that rejects since a file is missing. */
async function assertFails(call: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(call, Error);
  assertEquals(NOT_FOUND.test(error.message), true, error.message);
}
