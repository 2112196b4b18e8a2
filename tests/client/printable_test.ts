import { assert, assertEquals } from "@std/assert";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { outcomeOf } from "../../cli/outcome.ts";
import { Socks5Client, Socks5Error } from "../../mod.ts";
import { printable, socks5Error } from "../../src/errors.ts";
import { parseTarget } from "../../src/protocol/address.ts";
import { certificates } from "../support/certificates.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { failure, withProxy, withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";

// right-to-left override, zero-width space, joiner, byte order mark, a filler, a variation selector, a tag, CSI, separators
const UNSEEN = ["\u202e", "\u200b", "\u200d", "\ufeff", "\u3164", "\ufe0f", "\u{e0041}", "\x9b", "\u2028", "\u00a0"];

/** Nothing of what is shown, printed or looked into changes the look of a terminal. */
function assertSeen(error: unknown): void {
  const { Deno } = globalThis as { Deno?: { inspect(value: unknown, options: object): string } };
  const options = { depth: 20, showHidden: true };
  const all = [inspect(error, options), Deno?.inspect(error, options) ?? ""];
  for (let it = error as Error | undefined; it instanceof Error; it = it.cause as Error | undefined) {
    all.push(String(it), it.message, it.stack ?? "");
  }
  for (const text of all) {
    const unseen = text.split(/[\n\r\t]/).map((line) => line.match(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0\u3164\ufe0f]/u))
      .find(Boolean);
    assert(!unseen, `${unseen?.[0].codePointAt(0)?.toString(16)} in ${JSON.stringify(text)}`);
  }
}

test("what cannot be seen is escaped, and all else is as it was", () => {
  for (const it of UNSEEN) assertEquals(printable(`a${it}b`), `a\\u{${it.codePointAt(0)!.toString(16)}}b`);
  for (const it of ["", "plain", "Grüße, 日本語", "a\\b", '"', "…"]) assertEquals(printable(it), it);
  assertEquals(printable("a\r\n\tb\0"), "a\\u{d}\\u{a}\\u{9}b\\u{0}");
});

test("a message and its causes are printable, and a cause that is stays the same", () => {
  const fine = new Error("fine", { cause: new TypeError("also") });
  assertEquals(socks5Error("SOCKS5_PROXY_HUNG_UP", "x", { phase: "dial", cause: fine }).cause, fine);
  for (const it of UNSEEN) {
    const inner = Object.assign(new Error("inner"), { path: `/run/${it}`, code: "ENOENT" });
    const error = socks5Error("SOCKS5_PROXY_HUNG_UP", `x${it}`, {
      phase: "dial",
      cause: new TypeError(`outer ${it}`, { cause: inner }),
    });
    assertSeen(error);
    const { name, message, cause } = error.cause as Error;
    assertEquals([name, message], ["TypeError", printable(`outer ${it}`)]);
    assertEquals((cause as { code?: string }).code, "ENOENT");
  }
});

test("a cause that is its own cause, or that cannot be looked at, is no crash", () => {
  const loop = new Error("loop");
  loop.cause = loop;
  assertEquals(socks5Error("SOCKS5_PROXY_HUNG_UP", "x", { phase: "dial", cause: loop }).cause, loop);
  const broken = Object.defineProperty(new Error("broken"), "path", {
    enumerable: true,
    get: () => {
      throw new Error("no");
    },
  });
  assertEquals(socks5Error("SOCKS5_PROXY_HUNG_UP", "x", { phase: "dial", cause: broken }).cause, undefined);
});

test("the path of a proxy is shown escaped, wherever it is", async () => {
  for (const it of UNSEEN.filter((it) => it !== "\x9b")) {
    const path = join(tmpdir(), `socks5-none-${it}`);
    for (const spec of [{ path }, `socks5h://localhost${path.split("/").map(encodeURIComponent).join("/")}`]) {
      const client = new Socks5Client(spec, { retry: 0 });
      const error = await failure(client.connect("example.com:80"));
      assertSeen(error);
      assertEquals(error.proxy, printable(path));
      for (const shown of [client.stats(), await client.check("example.com:80")]) {
        assertEquals(printable(JSON.stringify(shown)), JSON.stringify(shown));
      }
      assertSeen(outcomeOf(error).line);
      await client.close();
    }
  }
});

test("what certificates are called is shown escaped", async () => {
  const { authority } = certificates();
  for (const it of UNSEEN) {
    const names = [[0x82, `evil${it}.example`]] as [number, string][];
    for (
      const others of [
        [],
        names.map(([tag, name]) => [tag, String.fromCharCode(...new TextEncoder().encode(name))] as [number, string]),
      ]
    ) {
      const certificate = authority.issue(`evil ${it}`, { others });
      await withTarget(startTls({ certificate }), (target) =>
        withProxy({ rules: () => target }, async ({ url }) => {
          for (const transport of [undefined, nodeTransport]) {
            const client = new Socks5Client(url, { retry: 0, transport });
            const error = await failure(client.connect("good.example:443", { tls: { caCerts: [authority.cert] } }));
            assertEquals(error.code, "SOCKS5_TLS_WRONG_NAME");
            assertSeen(error);
            await client.close();
          }
        }));
    }
  }
});

test("what a lookup and an argument are called is shown escaped", async () => {
  for (const it of UNSEEN) {
    const transport = new FakeTransport(socks5());
    transport.addresses = [`192.0.2.1${it}`];
    const client = new Socks5Client("socks5h://a.test", { transport, retry: 0, dns: "local" });
    const error = await client.connect("example.com:80").catch((error: unknown) => error);
    assert(error instanceof Error);
    if (error instanceof Socks5Error) assertSeen(error);
    try {
      parseTarget(`a${it}b:80`);
    } catch (error) {
      assertEquals(printable((error as Error).message), (error as Error).message);
    }
  }
});

test("the command line shows errors of others escaped", () => {
  for (const it of UNSEEN) {
    for (const error of [new Error(`a${it}b`), new TypeError(`a${it}b`)]) {
      assertEquals(outcomeOf(error).line, `a${printable(it)}b`);
    }
  }
});
