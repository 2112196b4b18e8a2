import { assertEquals, assertMatch } from "@std/assert";
import type { Conn, Socks5Conn } from "../../mod.ts";
import { serve } from "../../serve/mod.ts";
import { bytes, text } from "../support/contract.ts";
import { characters, readHead, scripted, withLocalProxy } from "../support/serve_stage.ts";
import { connectRaw } from "../support/raw_client.ts";
import { withTarget } from "../support/stage.ts";
import { startEcho, startSilent, startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";

const GET = "GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n";
const GET_SENT = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

type Case = { said?: string; sent?: string; answer?: string; ends?: boolean; told?: string; then?: "end" };

// what a client says and the target gets; what the target answers and the client is told
const cases: Record<string, Case> = {
  "a request with a body and an answer with one": {
    said: "POST http://web.test/a?b=c HTTP/1.1\r\nHost: web.test\r\nContent-Length: 3\r\nX-Y: \xe9 z \r\n\r\nabc",
    sent: "POST /a?b=c HTTP/1.1\r\nHost: web.test\r\nX-Y: \xe9 z\r\nContent-Length: 3\r\n\r\nabc",
    answer: "HTTP/1.1 201 Created so\r\nContent-Length: 4\r\nX-Z: 1\r\nX-Z: 2\r\n\r\nwxyz",
    told: "HTTP/1.1 201 Created so\r\nX-Z: 1\r\nX-Z: 2\r\nContent-Length: 4\r\n\r\nwxyz",
  },
  "an empty line before the request": { said: `\r\n${GET}` },
  "a path that is missing, and a query": {
    said: "GET http://web.test?q HTTP/1.1\r\nHost: web.test\r\n\r\n",
    sent: "GET /?q HTTP/1.1\r\nHost: web.test\r\n\r\n",
  },
  "OPTIONS for the whole server": {
    said: "OPTIONS http://web.test HTTP/1.1\r\nHost: web.test\r\n\r\n",
    sent: "OPTIONS * HTTP/1.1\r\nHost: web.test\r\n\r\n",
  },
  "upper case, a port that is meant anyway, and a Host that disagrees": {
    said: "GET HTTP://WEB.test:80/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
  },
  "a port of its own": {
    said: "GET http://web.test:8080/ HTTP/1.1\r\nHost: x\r\n\r\n",
    sent: "GET / HTTP/1.1\r\nHost: web.test:8080\r\n\r\n",
  },
  "fields for one connection, which end here": {
    said: "GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nConnection: X-One , x-two\r\nX-ONE: 1\r\nX-Two: 2\r\n" +
      "X-Three: 3\r\nProxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: h2c\r\n" +
      "Proxy-Authorization: Basic eDp5\r\n\r\n",
    sent: "GET / HTTP/1.1\r\nHost: web.test\r\nX-Three: 3\r\n\r\n",
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-One\r\nX-One: 1\r\nKeep-Alive: timeout=1\r\n" +
      "Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Two: 2\r\n\r\nok",
    told: "HTTP/1.1 200 OK\r\nX-Two: 2\r\nContent-Length: 2\r\n\r\nok",
  },
  "lengths that agree": {
    said: "POST http://web.test/ HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi",
    sent: "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi",
  },
  "a body of no length": {
    said: "POST http://web.test/ HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n",
    sent: "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n",
    answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    told: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
  },
  "chunks with extensions and trailers, both ways": {
    said: "POST http://web.test/ HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: Chunked\r\n\r\n" +
      '003;a="b"\r\nabc\r\nA\r\n0123456789\r\n0;c\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n',
    sent: "POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "3\r\nabc\r\na\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
    answer:
      "HTTP/1.1 200 OK\r\nTrailer: X-U\r\nTransfer-Encoding: chunked\r\n\r\n1 ; x\r\n!\r\n000\r\nX-U: 2\r\nHost: h\r\n\r\n",
    told: "HTTP/1.1 200 OK\r\nTrailer: X-U\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX-U: 2\r\n\r\n",
  },
  "an answer until the end": {
    answer: "HTTP/1.0 200 OK\r\n\r\nall",
    ends: true,
    told: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n",
  },
  "an answer until the end, to HTTP/1.0": {
    said: "GET http://web.test/ HTTP/1.0\r\n\r\n",
    sent: "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n",
    answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall",
    ends: true,
    told: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall",
    then: "end",
  },
  "chunks, to HTTP/1.0, which gets nothing of what comes before": {
    said: "GET http://web.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    sent: "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n",
    answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\n\r\n",
    told: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    then: "end",
  },
  "answers before the answer": {
    answer: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n${OK}`,
    told: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`,
  },
  "HEAD, whose answer has a length and no body": {
    said: GET.replace("GET", "HEAD"),
    sent: GET_SENT.replace("GET", "HEAD"),
    answer: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
  },
  "204, which has no body whatever it says": {
    answer: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    told: "HTTP/1.1 204 No Content\r\n\r\n",
  },
  "304, which has a length and no body": {
    answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
    told: "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n",
  },
  "bytes above 7F in the path": {
    said: "GET http://web.test/\xc3\xa9?\xff HTTP/1.1\r\nHost: web.test\r\n\r\n",
    sent: "GET /\xc3\xa9?\xff HTTP/1.1\r\nHost: web.test\r\n\r\n",
  },
  "status 999": { answer: "HTTP/1.1 999 Request denied\r\nContent-Length: 2\r\n\r\nok" },
  "an answer whose lines end in LF alone": {
    answer: "HTTP/1.1 200 OK\nX: y\nContent-Length: 2\n\nok",
    told: "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
  },
  "chunks of an answer whose lines end in LF alone, or in spaces": {
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n1  \r\n!\r\n0 \nX-T: 1\n\n",
    told: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
  },
  "identity and a length": {
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
    told: OK,
  },
  "identity until the end": {
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    ends: true,
    told: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
  },
  "chunks of HTTP/1.0": {
    answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    told: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
  },
  "an answer with a folded field, a space before a colon, a name that is none and a control character": {
    answer: "HTTP/1.1  200 \x01OK\r\nX: a\r\n\t b \r\nX Y(z): 1\r\n: 2\r\nY: \x1bc\r\nContent-Length : 2\r\n\r\nok",
    told: "HTTP/1.1 200 \x01OK\r\nX: a b\r\nY: \x1bc\r\nContent-Length: 2\r\n\r\nok",
  },
  "a connection that the client wants closed": {
    said: GET.replace("\r\n\r\n", "\r\nConnection: Close\r\n\r\n"),
    sent: GET_SENT.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    told: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    then: "end",
  },
};

for (const [name, it] of Object.entries(cases)) {
  const { said = GET, sent = GET_SENT, answer = OK, ends = false, then } = it;
  const told = it.told ?? answer;
  test(`plain HTTP: ${name}`, () =>
    withTarget(
      scripted(sent, answer, { ends }),
      (target) =>
        withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
          const raw = await dial(said);
          assertEquals(characters(await raw.read(told.length)), told);
          if (then !== "end") raw.end();
          assertEquals(await raw.finish(), { bytes: new Uint8Array(), ending: "end" });
          assertEquals(target.received, sent);
        }),
    ));
}

test("plain HTTP, cut at each byte", () =>
  withTarget(
    scripted(cases["chunks with extensions and trailers, both ways"]!.sent!, OK),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial();
        for (const byte of cases["chunks with extensions and trailers, both ways"]!.said!) await raw.write(bytes(byte));
        assertEquals(text(await raw.read(OK.length)), OK);
        raw.close();
        await raw.finish();
      }),
  ));

/** Answers each request with a number of its own and of its connection; `?close` hangs up afterwards. */
function numbering(): ReturnType<typeof startTarget> {
  let connections = 0;
  return startTarget((socket) => {
    const connection = ++connections;
    let requests = 0;
    let received = "";
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      for (let end = received.indexOf("\r\n\r\n"); end >= 0; end = received.indexOf("\r\n\r\n")) {
        const [line] = received.split("\r\n");
        received = received.slice(end + 4);
        const body = `${connection}.${++requests} ${line!.split(" ")[1]}`;
        if (line!.includes("?stale") && requests > 1) return void socket.destroy();
        const last = line!.includes("?last") ? "Connection: close\r\n" : "";
        const more = line!.includes("?more") ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL" : "";
        socket.write(`HTTP/1.1 200 OK\r\n${last}Content-Length: ${body.length}\r\n\r\n${body}${more}`);
        if (line!.includes("?close")) socket.end();
      }
    });
  });
}

const get = (path: string, host = "web.test", method = "GET") =>
  `${method} http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

async function readAnswer(raw: Parameters<typeof readHead>[0]): Promise<string> {
  const length = /Content-Length: (\d+)/.exec(await readHead(raw))![1];
  return text(await raw.read(Number(length)));
}

test("requests that are sent in one go are answered in their order, on one connection to the target", () =>
  withTarget(numbering(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
      const raw = await dial(get("/a") + get("/b") + get("/c") + get("/d", "other.test") + get("/e"));
      const answers = [];
      for (let i = 0; i < 5; i++) answers.push(await readAnswer(raw));
      assertEquals(answers, ["1.1 /a", "1.2 /b", "1.3 /c", "2.1 /d", "3.1 /e"]);
      assertEquals(proxy.connections.length, 3);
      raw.end();
      assertEquals((await raw.finish()).ending, "end");
    })));

test("answers without a body are followed by the next, whatever length they speak of", () => {
  const heads = ["204 No Content", "304 Not Modified", "200 OK", "200 OK"];
  const web = startTarget((socket) => {
    socket.on(
      "data",
      () => socket.write(`HTTP/1.1 ${heads.shift()}\r\nContent-Length: ${heads.length ? 5 : 0}\r\n\r\n`),
    );
    socket.on("end", () => socket.end());
  });
  return withTarget(web, (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
      const raw = await dial();
      for (const [method, status] of [["GET", 204], ["GET", 304], ["HEAD", 200], ["GET", 200]]) {
        await raw.write(bytes(get("/", "web.test", String(method))));
        assertMatch(await readHead(raw), new RegExp(`^HTTP/1.1 ${status} `));
      }
      assertEquals(proxy.connections.length, 1);
      raw.close();
      await raw.finish();
    }));
});

test("a target that hung up in between, or said what nobody asked for, is connected to anew", () =>
  withTarget(numbering(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
      const raw = await dial(get("/a?close"));
      assertEquals(await readAnswer(raw), "1.1 /a?close");
      await proxy.until(() => proxy.open === 0);
      await raw.write(bytes(get("/b?more")));
      assertEquals(await readAnswer(raw), "2.1 /b?more");
      await proxy.until(() => proxy.open === 0);
      await raw.write(bytes(get("/c")));
      assertEquals(await readAnswer(raw), "3.1 /c");
      raw.close();
      await raw.finish();
    })));

test("a target that rests makes room for who waits, and is connected to anew", () =>
  withTarget(numbering(), (target) =>
    withLocalProxy(
      { proxy: { rules: () => target }, client: { timeout: 3_000, pool: { maxOpen: 1 } } },
      async ({ dial, client }) => {
        const [one, two] = [await dial(get("/a")), await dial()];
        assertEquals(await readAnswer(one), "1.1 /a");
        assertEquals(client.stats().idle, 1);
        await two.write(bytes(get("/b")));
        assertEquals(await readAnswer(two), "2.1 /b");
        await one.write(bytes(get("/c")));
        assertEquals(await readAnswer(one), "3.1 /c");
        await one.write(bytes(get("/d")));
        assertEquals(await readAnswer(one), "3.2 /d");
        for (const raw of [one, two]) {
          raw.close();
          await raw.finish();
        }
      },
    )));

test("a target that says more than it was asked, or that this is the last, is not asked again", () =>
  withTarget(numbering(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
      const raw = await dial(get("/a?more") + get("/b?last") + get("/c"));
      for (const answer of ["1.1 /a?more", "2.1 /b?last", "3.1 /c"]) assertEquals(await readAnswer(raw), answer);
      assertEquals(proxy.connections.length, 3);
      raw.close();
      await raw.finish();
    })));

test("a target that hangs up on the second request is asked again, but for what may not be repeated", () =>
  withTarget(numbering(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
      const raw = await dial(get("/a") + get("/b?stale") + get("/c?stale", "web.test", "POST"));
      assertEquals(await readAnswer(raw), "1.1 /a");
      assertEquals(await readAnswer(raw), "2.1 /b?stale");
      assertEquals(await raw.finish(), { bytes: new Uint8Array(), ending: "reset" });
    })));

test("Expect: 100-continue goes to the target, and its answer comes back before the body", () =>
  withTarget(
    startTarget((socket) => {
      socket.once("data", (head) => {
        assertMatch(
          head.toString(),
          /^PUT \/ HTTP\/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\nContent-Length: 4/,
        );
        socket.write("HTTP/1.1 100 Continue\r\n\r\n");
        socket.once("data", (body) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${body}`));
      });
    }),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial(
          "PUT http://web.test/ HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        assertEquals(await readHead(raw), "HTTP/1.1 100 Continue\r\n\r\n");
        await raw.write(bytes("body"));
        assertEquals(await readAnswer(raw), "body");
        raw.end();
        await raw.finish();
      }),
  ));

test("an answer that comes before the body ends the connection after it, and is not lost", () =>
  withTarget(
    startTarget((socket) =>
      socket.once("data", () => socket.end("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"))
    ),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial(
          `PUT http://web.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n${"x".repeat(9_999)}`,
        );
        assertEquals(
          await readHead(raw),
          "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        );
        assertEquals(text(await raw.read(2)), "no");
        raw.end();
        assertEquals((await raw.finish()).ending, "end");
      }),
  ));

test("a WebSocket opens by a plain upgrade, and bytes go both ways from then on", () =>
  withTarget(
    scripted(
      "GET /ws HTTP/1.1\r\nHost: web.test\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: a\r\n\r\ndown",
    ),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial(
          "GET http://web.test/ws HTTP/1.1\r\nHost: web.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
            "Sec-WebSocket-Key: k\r\n\r\n",
        );
        assertEquals(
          await readHead(raw),
          "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assertEquals(text(await raw.read(4)), "down");
        await raw.write(bytes("up"));
        raw.end();
        assertEquals((await raw.finish()).ending, "end");
        assertEquals(target.received.endsWith("\r\n\r\nup"), true);
      }),
  ));

test("a client that goes before its answer is there takes the connection to the target with it", () =>
  withTarget(startSilent(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
      const [ends, resets] = [await dial(GET), await dial(GET)];
      await target.until(() => target.open === 2);
      ends.end();
      await proxy.until(() => proxy.open === 1);
      resets.reset();
      await proxy.until(() => proxy.open === 0);
      await Promise.all([ends.finish(), resets.finish()]);
    })));

test("close({ drain }) lets an answer come, and says that it is the last", () => {
  const asked = Promise.withResolvers<() => void>();
  return withTarget(
    startTarget((socket) => socket.once("data", () => asked.resolve(() => socket.end(OK)))),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, localProxy }) => {
        const raw = await dial(GET);
        const answer = await asked.promise;
        const closing = localProxy.close({ drain: 10_000 });
        answer();
        assertEquals(await readHead(raw), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
        assertEquals(text(await raw.read(2)), "ok");
        raw.end();
        assertEquals((await raw.finish()).ending, "end");
        await closing;
      }),
  );
});

test("an echo is no answer", () =>
  withTarget(startEcho(), (target) =>
    withLocalProxy({ proxy: { rules: () => target } }, async ({ ask }) => {
      assertMatch(
        await ask(GET),
        /^HTTP\/1.1 502 Bad Gateway\r\n[^]*\r\n\r\nBad response: the status line is malformed\n$/,
      );
    })));

test("plain HTTP: a head and the body that came with it go to the target in one write", async () => {
  const written: string[] = [];
  const [asked, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<null>()];
  let reads = 0;
  const target: Conn = {
    async read(p) {
      await asked.promise;
      if (++reads > 1) return await closed.promise;
      p.set(bytes(OK));
      return OK.length;
    },
    write(p) {
      written.push(text(p));
      asked.resolve();
      return Promise.resolve(p.length);
    },
    closeWrite: () => Promise.resolve(),
    close: () => closed.resolve(null),
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const raw = await connectRaw({ hostname: localProxy.hostname, port: localProxy.port });
  await raw.write(bytes(`${GET.replace("GET", "POST").trimEnd()}\r\nContent-Length: 3\r\n\r\nabc`));
  assertEquals(text(await raw.read(OK.length)), OK);
  assertEquals(written, [`${GET_SENT.replace("GET", "POST").trimEnd()}\r\nContent-Length: 3\r\n\r\nabc`]);
  raw.close();
  await raw.finish();
  await localProxy.close();
});
