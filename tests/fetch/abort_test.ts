import { assertEquals, assertRejects } from "@std/assert";
import { createFetch } from "../../fetch/mod.ts";
import { withFetch } from "../support/fetch_stage.ts";
import type { TestFault, TestStep } from "../../testing/mod.ts";
import { test } from "../support/test.ts";
import type { Answer } from "../support/http_server.ts";

const hello: Answer = (_, response) => response.end("hello");
const reason = new RangeError("a reason of the caller's own");

const steps: [what: string, step: TestStep, fault: TestFault, schemes: string[]][] = [
  ["of the greeting", "negotiate", { fault: "silence", at: "negotiate" }, ["http", "https"]],
  ["of the password", "authenticate", { fault: "silence", at: "authenticate" }, ["http", "https"]],
  ["of the request", "request", { fault: "silence", at: "request" }, ["http", "https"]],
  ["of TLS", "request", { fault: "false-success", then: "silence" }, ["https"]],
];

for (const [what, step, fault, schemes] of steps) {
  for (const scheme of schemes) {
    test(`an abort in the step ${what} rejects ${scheme} with the reason and ends the handshake`, async () => {
      const faults = [fault];
      const proxy = { credentials: { username: "a", password: "b" }, faults };
      await withFetch(hello, { proxy }, async ({ fetch, proxy }) => {
        const abort = new AbortController();
        const fetching = fetch(`${scheme}://a.test/`, { signal: abort.signal }).catch((error) => error);
        await proxy.until(() => proxy.connections[0]?.step === step);
        abort.abort(reason);
        assertEquals(await fetching, reason);
        await proxy.until(() => proxy.open === 0);
      });
    }, { skip: what === "of TLS" && "Deno" in globalThis && "Deno leaves it open when TlsConn.close() interrupts it" });
  }
}

const moments: [what: string, answer: Answer, method: string][] = [
  ["a small body", hello, "GET"],
  ["a body of many parts", (_, response) => response.end(new Uint8Array(1_000_000)), "GET"],
  ["no body", hello, "HEAD"],
  ["a redirect", (request, response) => {
    if (request.url === "/end") response.end("hello");
    else response.writeHead(302, { location: "/end" }).end("ignored");
  }, "GET"],
];

for (const [what, answer, method] of moments) {
  test(`an abort so many microtasks after an answer with ${what} came rejects with the reason, or comes too late`, async () => {
    await withFetch(answer, {}, async ({ client, proxy }) => {
      for (let hops = 0; hops < 40; hops++) {
        const abort = new AbortController();
        const fetch = createFetch({
          async connect(target, options) {
            const conn = await client.connect(target, options);
            const read = conn.read.bind(conn);
            return Object.assign(conn, {
              async read(p: Uint8Array) {
                const n = await read(p);
                after(hops, () => abort.abort(reason));
                return n;
              },
            });
          },
        });
        const got = fetch("http://a.test/", { method, signal: abort.signal }).then((response) => response.bytes());
        const result = await got.catch((error) => error);
        assertEquals(result === reason || result instanceof Uint8Array, true, `after ${hops}: ${result}`);
        await fetch.close();
      }
      await proxy.until(() => proxy.open === 0);
    });
  });
}

/** Calls after so many microtasks. */
function after(hops: number, done: () => void): void {
  if (hops === 0) done();
  else queueMicrotask(() => after(hops - 1, done));
}

test("an abort while the answer is awaited closes the connection", async () => {
  await withFetch(() => {}, {}, async ({ fetch, proxy, web }) => {
    const abort = new AbortController();
    const fetching = fetch("http://a.test/", { signal: abort.signal }).catch((error) => error);
    await web.until(() => web.seen.length === 1);
    abort.abort(reason);
    assertEquals(await fetching, reason);
    await proxy.until(() => proxy.open === 0);
  });
});

test("an abort in the middle of a body closes the connection", async () => {
  await withFetch((_, response) => response.write("the beginning"), {}, async ({ fetch, proxy }) => {
    const abort = new AbortController();
    const response = await fetch("http://a.test/", { signal: abort.signal });
    const reader = response.body!.getReader();
    await reader.read();
    const reading = reader.read().catch((error) => error);
    abort.abort(reason);
    assertEquals(await reading, reason);
    await proxy.until(() => proxy.open === 0);
  });
});

const reads: [how: string, read: (response: Response) => Promise<unknown>][] = [
  ["text()", (response) => response.text()],
  ["json()", (response) => response.json()],
  ["bytes()", (response) => response.bytes()],
  ["arrayBuffer()", (response) => response.arrayBuffer()],
  ["blob()", (response) => response.blob()],
  ["body", (response) => response.body!.getReader().read()],
  ["clone()", (response) => response.clone().text()],
];

for (const [how, read] of reads) {
  test(`an abort before ${how} makes a body fail that came with its head, and one after it does not`, async () => {
    await withFetch((_, response) => response.end('"hello"'), {}, async ({ fetch }) => {
      const ask = (signal?: AbortSignal) => fetch("http://a.test/", { signal: signal ?? null });
      const abort = new AbortController();
      const [early, touched] = [await ask(abort.signal), await ask(abort.signal)];
      const { body } = touched;
      const reading = read(await ask(abort.signal));
      await reading;
      abort.abort(reason);
      assertEquals(await read(early).catch((error) => error), reason);
      assertEquals(await body!.getReader().read().catch((error) => error), reason);
      const [, other] = [await reading, await ask()];
      assertEquals(other.bodyUsed, false);
      await read(other);
      assertEquals(other.bodyUsed, how !== "clone()");
      if (how === "clone()") assertEquals(await other.text(), '"hello"');
      else await assertRejects(() => other.text(), TypeError);
    });
  });
}

test("a response is passed on with its body, whether or not somebody has looked at it", async () => {
  await withFetch(hello, {}, async ({ fetch }) => {
    for (const look of [false, true]) {
      const response = await fetch("http://a.test/");
      if (look) assertEquals(response.body!.locked, false);
      assertEquals(await new Response(response.body, response).text(), "hello");
      assertEquals(response.bodyUsed, true);
    }
  });
});

test("an abort in the middle of what is sent closes the connection", async () => {
  await withFetch(() => {}, {}, async ({ fetch, proxy, web }) => {
    const abort = new AbortController();
    const up = new TransformStream<Uint8Array, Uint8Array>();
    const init = { method: "POST", body: up.readable, duplex: "half", signal: abort.signal } as RequestInit;
    const fetching = fetch("http://a.test/", init).catch((error) => error);
    const writer = up.writable.getWriter();
    await writer.write(new TextEncoder().encode("the beginning"));
    await web.until(() => web.seen.length === 1);
    abort.abort(reason);
    assertEquals(await fetching, reason);
    await proxy.until(() => proxy.open === 0);
    await writer.close().catch(() => {});
  });
});

test("a body that is cancelled closes the connection", async () => {
  await withFetch((_, response) => response.write("the beginning"), {}, async ({ fetch, proxy }) => {
    const response = await fetch("http://a.test/");
    await response.body!.cancel();
    await proxy.until(() => proxy.open === 0);
  });
});

test("what was aborted before opens nothing", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy }) => {
    const error = await fetch("http://a.test/", { signal: AbortSignal.abort(reason) }).catch((error) => error);
    assertEquals([error, proxy.connections.length], [reason, 0]);
  });
});

test("a signal of a Request counts, and so does a timeout", async () => {
  await withFetch(() => {}, {}, async ({ fetch, proxy }) => {
    const request = new Request("http://a.test/", { signal: AbortSignal.timeout(50) });
    const error = await assertRejects(() => fetch(request), Error);
    assertEquals(error.name, "TimeoutError");
    await proxy.until(() => proxy.open === 0);
  });
});

test("an abort is no matter of another request to the same host", async () => {
  const faults = [{ fault: "silence", at: "request" } as const];
  await withFetch(hello, { proxy: { faults } }, async ({ fetch, proxy }) => {
    const abort = new AbortController();
    const aborted = fetch("http://a.test/", { signal: abort.signal }).catch((error) => error);
    await proxy.until(() => proxy.connections[0]?.step === "request");
    const other = fetch("http://a.test/").then((response) => response.text());
    assertEquals(await other, "hello");
    abort.abort(reason);
    assertEquals(await aborted, reason);
    assertEquals(await (await fetch("http://a.test/")).text(), "hello");
  });
});
