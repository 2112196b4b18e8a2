import { assertEquals, assertRejects } from "@std/assert";
import { withFetch } from "../support/fetch_stage.ts";
import { test } from "../support/test.ts";
import type { Answer } from "../support/http_server.ts";

// "HTTP-redirect fetch" of the Fetch standard.

/** Answers `/302/…` with that status and the rest as location, and all else with what it got. */
const redirecting: Answer = async (request, response) => {
  const [, status, location] = /^\/(\d{3})\/(.*)$/.exec(request.url!) ?? [];
  let body = "";
  for await (const chunk of request) body += chunk;
  const { authorization, cookie, "content-type": type } = request.headers;
  if (status) response.writeHead(Number(status), { location: decodeURIComponent(location!) }).end("ignored");
  else response.end(JSON.stringify({ method: request.method, body, authorization, cookie, type }));
};

const rows: [status: number, method: string, then: string, body: string][] = [
  [301, "GET", "GET", ""],
  [301, "POST", "GET", ""],
  [301, "PUT", "PUT", "text"],
  [302, "POST", "GET", ""],
  [303, "POST", "GET", ""],
  [303, "PUT", "GET", ""],
  [307, "POST", "POST", "text"],
  [308, "PUT", "PUT", "text"],
];

for (const [status, method, then, left] of rows) {
  test(`after ${status}, ${method} becomes ${then} ${left ? "with" : "without"} a body`, async () => {
    await withFetch(redirecting, {}, async ({ fetch }) => {
      const body = method === "GET" ? null : "text";
      const response = await fetch(`http://a.test/${status}/%2Fend`, { method, body });
      const type = left ? { type: "text/plain;charset=UTF-8" } : {};
      assertEquals(await response.json(), { method: then, body: left, ...type });
      assertEquals([response.url, response.redirected, response.status], ["http://a.test/end", true, 200]);
    });
  });
}

test("a Request with a body of its own is redirected with it", async () => {
  await withFetch(redirecting, {}, async ({ fetch, web }) => {
    const request = new Request("http://a.test/307/%2Fend", { method: "POST", body: "text" });
    assertEquals((await (await fetch(request)).json()).body, "text");
    assertEquals(web.seen.map(({ headers }) => headers["content-length"]), ["4", "4"]);
  });
});

test("a form is redirected with its boundary", async () => {
  await withFetch(redirecting, {}, async ({ fetch }) => {
    const body = new FormData();
    body.set("name", "value");
    const got = await (await fetch("http://a.test/307/%2Fend", { method: "POST", body })).json();
    const boundary = /boundary="?([^"]+)"?$/.exec(got.type)?.[1];
    assertEquals(got.body.split("\r\n")[0], `--${boundary}`);
  });
});

test("a redirect to the same host uses the connection again", async () => {
  await withFetch(redirecting, {}, async ({ fetch, web }) => {
    await (await fetch("http://a.test/302/%2Fend")).text();
    assertEquals([web.seen.length, web.accepted], [2, 1]);
  });
});

test("a body that comes bit by bit is sent as it comes, on a Request, too", async () => {
  await withFetch(redirecting, {}, async ({ fetch, web }) => {
    const up = new TransformStream<Uint8Array, Uint8Array>();
    const init = { method: "POST", body: up.readable, duplex: "half" } as RequestInit;
    const fetching = fetch(new Request("http://a.test/end", init));
    const writer = up.writable.getWriter();
    await writer.write(new TextEncoder().encode("one, "));
    await web.until(() => web.seen.length === 1);
    await writer.write(new TextEncoder().encode("two"));
    await writer.close();
    assertEquals((await (await fetching).json()).body, "one, two");
  });
});

test("a body that is a stream cannot be redirected", async () => {
  await withFetch(redirecting, {}, async ({ fetch }) => {
    const init = () => ({ method: "POST", body: streamOf("text"), duplex: "half" }) as RequestInit;
    await assertRejects(() => fetch("http://a.test/307/%2Fend", init()), TypeError);
    assertEquals((await (await fetch("http://a.test/303/%2Fend", init())).json()).method, "GET");
  });
});

test("authorization stays with its origin", async () => {
  await withFetch(redirecting, {}, async ({ fetch }) => {
    const headers = { authorization: "Bearer secret" };
    const same = await (await fetch("http://a.test/302/%2Fend", { headers })).json();
    assertEquals(same.authorization, "Bearer secret");
    for (const other of ["http://b.test/end", "http://a.test:81/end"]) {
      const got = await (await fetch(`http://a.test/302/${encodeURIComponent(other)}`, { headers })).json();
      assertEquals(got.authorization, undefined);
    }
  });
});

test("twenty redirects are followed, and no more", async () => {
  let left = 0;
  const answer: Answer = (_, response) => {
    if (left-- > 0) response.writeHead(302, { location: `/${left}` }).end();
    else response.end("the end");
  };
  await withFetch(answer, {}, async ({ fetch }) => {
    left = 20;
    assertEquals(await (await fetch("http://a.test/")).text(), "the end");
    left = 1000;
    await assertRejects(() => fetch("http://a.test/"), TypeError);
  });
});

test("a redirect to what is no web is refused, and one without a location is an answer", async () => {
  await withFetch(redirecting, {}, async ({ fetch, proxy }) => {
    for (const location of ["file:///etc/hostname", "data:,x", "ftp://a.test/"]) {
      await assertRejects(() => fetch(`http://a.test/302/${encodeURIComponent(location)}`), TypeError);
    }
    assertEquals(new Set(proxy.connections.map(({ request }) => request?.hostname)), new Set(["a.test"]));
  });
  await withFetch((_, response) => response.writeHead(302).end(), {}, async ({ fetch }) => {
    const response = await fetch("http://a.test/");
    assertEquals([response.status, await response.text()], [302, ""]);
  });
});

test("a copy of an answer is of the same URL", async () => {
  await withFetch(redirecting, {}, async ({ fetch }) => {
    const response = await fetch("http://a.test/302/%2Fend#part");
    const copy = response.clone();
    assertEquals([copy.url, copy.redirected, copy.status], ["http://a.test/end", true, 200]);
    assertEquals(await copy.text(), await response.text());
  });
});

function streamOf(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
}
