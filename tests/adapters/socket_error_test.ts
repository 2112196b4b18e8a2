import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { ConnDuplex } from "../../adapters/duplex.ts";
import { socketError } from "../../adapters/socket_error.ts";
import { Socks5Error, type Socks5ErrorCode } from "../../mod.ts";
import { socks5Error } from "../../src/errors.ts";
import { tablesOf } from "../support/papers.ts";
import { test } from "../support/test.ts";

/** The rows of the table: what Node calls it, and what the client does. */
const rows = tablesOf("docs/agent.md")["Error codes"]!.map((row) => {
  const [node, ours] = Object.values(row);
  return {
    node: node!.slice(1, -1),
    ours: ours!.match(/(?<!or )`[A-Z_0-9]+`/g)!.map((code) => `SOCKS5_${code.slice(1, -1)}`),
  };
});

test("the table of docs/agent.md is what a socket's error has for a code, and no code is missing in it", () => {
  for (const { node, ours } of rows) {
    for (const code of ours) {
      const error = socks5Error(code as Socks5ErrorCode, "Cannot connect", { phase: "dial" });
      const { code: got, message, cause } = socketError(error) as Error & { code: string };
      assertEquals([code, got, message], [code, node, "Cannot connect"]);
      assertStrictEquals(cause, error);
    }
  }
  const documented = tablesOf("docs/errors.md")["Codes"]!.map((row) => row["Code"]!.replaceAll("`", ""));
  assertEquals(rows.flatMap(({ ours }) => ours).toSorted(), documented.toSorted());
});

test("what the system said counts where there is more than one way to say it, that of an inner hop, too", () => {
  const of = (code: Socks5ErrorCode, cause: unknown) => socks5Error(code, "m", { phase: "dial", cause });
  const system = (code: string) => Object.assign(new Error("s"), { code });
  const got = (error: Error) => (socketError(error) as { code?: string }).code;
  assertEquals(got(of("SOCKS5_PROXY_UNREACHABLE", system("ENOTFOUND"))), "ENOTFOUND");
  assertEquals(got(of("SOCKS5_PROXY_UNREACHABLE", system("ERR_SOMETHING"))), "ECONNREFUSED");
  assertEquals(got(of("SOCKS5_PROXY_UNREACHABLE", new Error("failed to lookup"))), "ECONNREFUSED");
  assertEquals(got(of("SOCKS5_CONN_RESET", system("EPIPE"))), "EPIPE");
  assertEquals(got(of("SOCKS5_TARGET_REFUSED", system("EPIPE"))), "ECONNREFUSED");
  assertEquals(got(of("SOCKS5_PROXY_UNREACHABLE", of("SOCKS5_TARGET_TTL_EXPIRED", undefined))), "ETIMEDOUT");
});

test("what is no error of the client stays what it is: reasons of signals, faults of the caller, errors of others", async () => {
  for (const reason of [new TypeError("t"), new DOMException("a", "AbortError"), "text", undefined, null]) {
    assertStrictEquals(socketError(reason), reason);
  }
  const own = new Error("mine");
  const stream = new ConnDuplex(() => Promise.reject(own));
  const told = new Promise((resolve) => stream.once("error", resolve));
  stream.connect();
  assertStrictEquals(await told, own);
});

test("a stream tells a failure of its tunnel by the code of Node, whether it opens, reads, writes or ends", async () => {
  const reset = socks5Error("SOCKS5_CONN_RESET", "it broke", { phase: "transfer" });
  const fails = () => Promise.reject(reset);
  const never = () => new Promise<never>(() => {});
  const conn = { read: never, write: never, closeWrite: never, close() {} };
  const cases: [open: () => Promise<typeof conn>, use: (stream: ConnDuplex) => unknown][] = [
    [fails, (stream) => stream.connect()],
    [() => Promise.resolve({ ...conn, read: fails }), (stream) => stream.resume()],
    [() => Promise.resolve({ ...conn, write: fails }), (stream) => stream.write("x")],
    [() => Promise.resolve({ ...conn, closeWrite: fails }), (stream) => stream.end()],
  ];
  for (const [open, use] of cases) {
    const stream = new ConnDuplex(open);
    const told = new Promise<Error & { code?: string }>((resolve) => stream.once("error", resolve));
    use(stream);
    const { code, message, cause } = await told;
    assertEquals([code, message], ["ECONNRESET", "it broke"]);
    assertInstanceOf(cause, Socks5Error);
  }
});
