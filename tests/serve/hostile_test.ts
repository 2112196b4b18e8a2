import { assert, assertEquals, assertMatch } from "@std/assert";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { readAll, text } from "../support/contract.ts";
import { latin1, readHead, scripted, withLocalProxy } from "../support/serve_stage.ts";
import { withTarget } from "../support/stage.ts";
import { startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const H = "Host: web.test\r\n";
const post = (fields: string, body = "") => `POST http://web.test/ HTTP/1.1\r\n${H}${fields}\r\n${body}`;
const get = (target: string, version = "HTTP/1.1") => `GET ${target} ${version}\r\n${H}\r\n`;

// what a client says, and the status of the answer: nothing of it goes to a proxy
const requests: Record<string, [said: string, status: number]> = {
  // whom it is for (RFC 9112 section 3.2)
  "origin form, as a web page makes a browser send": [get("/"), 400],
  "asterisk form": [`OPTIONS * HTTP/1.1\r\n${H}\r\n`, 400],
  "authority form without CONNECT": [get("web.test:80"), 400],
  "absolute form with CONNECT": [`CONNECT http://web.test:80/ HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT without a port": [`CONNECT web.test HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with port 0": [`CONNECT web.test:0 HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with port 65536": [`CONNECT web.test:65536 HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with IPv6 without brackets": [`CONNECT ::1:80 HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with a zone id": [`CONNECT [fe80::1%eth0]:80 HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with a user": [`CONNECT user@web.test:80 HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with a path": [`CONNECT web.test:80/x HTTP/1.1\r\n${H}\r\n`, 400],
  "CONNECT with a body": [`CONNECT web.test:80 HTTP/1.1\r\n${H}Content-Length: 3\r\n\r\nabc`, 400],
  "CONNECT in chunks": [`CONNECT web.test:80 HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  "https in absolute form": [get("https://web.test/"), 400],
  "another scheme": [get("ftp://web.test/"), 400],
  "user and password in the URL": [get("http://user:pass@web.test/"), 400],
  "a fragment": [get("http://web.test/#x"), 400],
  "a backslash, which some take for a slash": [get("http://web.test\\@evil.test/"), 400],
  "an escape in the host": [get("http://web%2etest/"), 400],
  "no host": [get("http:///x"), 400],
  "a port that is none": [get("http://web.test:8x/"), 400],
  "an IPv4 address of another notation": [get("http://0x7f.1/"), 400],
  "no Host": ["GET http://web.test/ HTTP/1.1\r\n\r\n", 400],
  "two Host": [`GET http://web.test/ HTTP/1.1\r\n${H}${H}\r\n`, 400],
  // the request line
  "HTTP/0.9": ["GET http://web.test/\r\n\r\n", 400],
  "HTTP/2's preface": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
  "HTTP/1.2": [get("http://web.test/", "HTTP/1.2"), 505],
  "a version in lower case": [get("http://web.test/", "http/1.1"), 400],
  "two spaces": [`GET  http://web.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  "a tab for a space": [`GET\thttp://web.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  "a space at the end": [`GET http://web.test/ HTTP/1.1 \r\n${H}\r\n`, 400],
  "a space in the target": [get("http://web.test/a b"), 400],
  "a byte in the host that is no ASCII": [get("http://w\xe9b.test/"), 400],
  "a byte in the host of CONNECT that is no ASCII": [`CONNECT w\xe9b.test:80 HTTP/1.1\r\n${H}\r\n`, 400],
  "a control character in the target": [get("http://web.test/\x1f"), 400],
  "DEL in the target": [get("http://web.test/\x7f"), 400],
  "another alphabet's space for a space": [`GET\xa0http://web.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  "a method that is no token": [`G(T http://web.test/ HTTP/1.1\r\n${H}\r\n`, 400],
  "two empty lines": [`\r\n\r\n${get("http://web.test/")}`, 400],
  "TLS": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  "SOCKS4": ["\x04\x01\x00\x50\x7f\x00\x00\x01\x00", 400],
  // lines (RFC 9112 sections 2.2 and 5)
  "LF alone": [get("http://web.test/").replaceAll("\r", ""), 400],
  "one LF alone": [`GET http://web.test/ HTTP/1.1\n${H}\r\n`, 400],
  "LF alone at the end of the head": [`GET http://web.test/ HTTP/1.1\r\n${H}\n`, 400],
  "CR in a value": [post("X: a\rb\r\n"), 400],
  "CR CR LF": [`GET http://web.test/ HTTP/1.1\r\r\n${H}\r\n`, 400],
  "NUL in a value": [post("X: a\0b\r\n"), 400],
  "DEL in a value": [post("X: a\x7fb\r\n"), 400],
  "a folded line": [post("X: a\r\n b\r\n"), 400],
  "a space before the first field": [`GET http://web.test/ HTTP/1.1\r\n ${H}\r\n`, 400],
  "a space before the colon": [post("Content-Length : 3\r\n", "abc"), 400],
  "no colon": [post("Content-Length\r\n"), 400],
  "no name": [post(": x\r\n"), 400],
  "a name that is no token": [post("Content\x0b-Length: 3\r\n", "abc"), 400],
  // framing (RFC 9112 section 6.3)
  "both lengths": [post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400],
  "both lengths, the other way round": [post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"), 400],
  "lengths that differ": [post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400],
  "lengths that differ, in one line": [post("Content-Length: 3, 4\r\n", "abcd"), 400],
  "lengths that differ in writing": [post("Content-Length: 3\r\nContent-Length: 03\r\n", "abc"), 400],
  "an empty length": [post("Content-Length:\r\n"), 400],
  "a length with a sign": [post("Content-Length: +3\r\n", "abc"), 400],
  "a negative length": [post("Content-Length: -3\r\n", "abc"), 400],
  "a length in hex": [post("Content-Length: 0x3\r\n", "abc"), 400],
  "a length with a fraction": [post("Content-Length: 3.0\r\n", "abc"), 400],
  "a length beyond all": [post("Content-Length: 99999999999999999999\r\n"), 400],
  "a length with another alphabet's space": [post("Content-Length: \xa03\r\n", "abc"), 400],
  "chunked in HTTP/1.0": [`POST http://web.test/ HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  "chunked twice": [post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501],
  "chunked twice, in two lines": [
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    501,
  ],
  "chunked, then something else": [post("Transfer-Encoding: chunked, identity\r\n"), 501],
  "gzip, then chunked": [post("Transfer-Encoding: gzip, chunked\r\n"), 501],
  "a coding that only looks like chunked": [post("Transfer-Encoding: xchunked\r\n"), 501],
  "identity": [post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), 400],
  "identity alone": [post("Transfer-Encoding: identity\r\n"), 501],
  "chunked in quotes": [post('Transfer-Encoding: "chunked"\r\n'), 501],
  "chunked behind another alphabet's space": [post("Transfer-Encoding: \xa0chunked\r\n"), 501],
  "an empty coding": [post("Transfer-Encoding:\r\n"), 501],
  // size
  "a request line that is too long": [get(`http://web.test/${"a".repeat(2_000)}`), 431],
  "a field that is too long": [post(`X: ${"a".repeat(2_000)}\r\n`), 431],
  "too many fields": [post("X: y\r\n".repeat(300)), 431],
  "a line without an end": ["GET ".padEnd(2_000, "x"), 431],
};

for (const [name, [said, status]] of Object.entries(requests)) {
  test(`hostile request: ${name} is answered ${status}`, () =>
    withLocalProxy({ serve: { maxHead: 1_024 } }, async ({ dial, proxy }) => {
      const raw = await dial(said);
      assertMatch(await readHead(raw), new RegExp(`^HTTP/1.1 ${status} [A-Z].*\r\n[^]*\r\nConnection: close\r\n`));
      raw.end();
      assertEquals((await raw.finish()).ending, "end");
      assertEquals(proxy.connections.length, 0);
    }));
}

test("hostile request: user and password in the URL are called by their name", () =>
  withLocalProxy({}, async ({ ask }) => {
    assertMatch(await ask(get("http://user:pass@web.test/")), /the URL must have no user name and password\n$/);
  }));

// bodies that turn out to be malformed once the request is on its way: what came before is sent, and nothing behind it
const bodies: Record<string, string> = {
  "a size that is no number": "x\r\nabc\r\n0\r\n\r\n",
  "a size with a prefix": "0x3\r\nabc\r\n0\r\n\r\n",
  "a negative size": "-3\r\nabc\r\n0\r\n\r\n",
  "no size": "\r\nabc\r\n0\r\n\r\n",
  "a size beyond all": "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
  "a space before the size": " 3\r\nabc\r\n0\r\n\r\n",
  "a size that ends in LF alone": "3\nabc\r\n0\r\n\r\n",
  "a space behind the size": "3 \r\nabc\r\n0\r\n\r\n",
  "CR CR LF behind the size": "3\r\r\nabc\r\n0\r\n\r\n",
  "a trailer that ends in LF alone": "3\r\nabc\r\n0\r\nX: y\n\r\n",
  "LF alone at the end": "3\r\nabc\r\n0\r\n\n",
  "a chunk that is longer": "3\r\nabcd\r\n0\r\n\r\n",
  "a chunk that is shorter": "3\r\nab\r\n0\r\n\r\n",
  "a chunk that ends in LF alone": "3\r\nabc\n0\r\n\r\n",
  "a chunk that is followed by anything but CR LF": "3\r\nabcXX0\r\n\r\n",
  "CR in an extension": "3;a\rb\r\nabc\r\n0\r\n\r\n",
  "an extension without an end": `3;${"a".repeat(5_000)}`,
  "a trailer that is no field": "3\r\nabc\r\n0\r\nx y\r\n\r\n",
  "a folded trailer": "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
  "trailers that are too long": `3\r\nabc\r\n0\r\n${"X: y\r\n".repeat(300)}\r\n`,
};

for (const [name, body] of Object.entries(bodies)) {
  test(`hostile chunks: ${name}`, () =>
    withTarget(
      scripted("\r\n0\r\n\r\n", ""),
      (target) =>
        withLocalProxy({ proxy: { rules: () => target }, serve: { maxHead: 1_024 } }, async ({ dial }) => {
          const raw = await dial(post("Transfer-Encoding: chunked\r\n", body));
          assertMatch(await readHead(raw), /^HTTP\/1.1 400 /);
          raw.end();
          assertEquals((await raw.finish()).ending, "end");
          assertMatch(target.received, /^(POST [^]*\r\n\r\n(3\r\nabc\r\n)?)?(2\r\nab\r\n)?$/);
          assert(!target.received.includes("0\r\n\r\n"));
        }),
    ));
}

test("a client that ends within a body is gone, and its request with it", () =>
  withTarget(
    scripted("\r\n\r\nabcde", ""),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial(post("Content-Length: 5\r\n", "abc"));
        await until(() => target.received.endsWith("abc"));
        raw.end();
        await target.until(() => target.open === 0);
        assertEquals((await raw.finish()).ending, "end");
      }),
  ));

const OK = "HTTP/1.1 200 OK\r\n";

// what a target answers before its head is whole: 502
const answers: Record<string, string> = {
  "nothing": "",
  "half a head": "HTTP/1.1 200 OK\r\nX: y\r\n",
  "no status line": "hello\r\n\r\n",
  "HTTP/2": "HTTP/2 200\r\n\r\n",
  "ICY": "ICY 200 OK\r\n\r\n",
  "a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
  "a status of four digits": "HTTP/1.1 2000 OK\r\n\r\n",
  "status 099": "HTTP/1.1 099 OK\r\n\r\n",
  "status 000": "HTTP/1.1 000 OK\r\n\r\n",
  "CR alone": "HTTP/1.1 200 OK\rX: y\r\r",
  "CR CR LF": "HTTP/1.1 200 OK\r\r\n\r\n",
  "CR in the reason": "HTTP/1.1 200 O\rK\r\n\r\n",
  "NUL in the reason": "HTTP/1.1 200 O\0K\r\n\r\n",
  "a space before the first field": `${OK} X: y\r\n\r\n`,
  "a folded line with CR": `${OK}X: y\r\n z\rSet-Cookie: evil\r\n\r\n`,
  "a line without a colon": `${OK}hello\r\n\r\n`,
  "NUL in a value": `${OK}X: a\0b\r\n\r\n`,
  "CR in a value": `${OK}X: a\rSet-Cookie: evil\r\n\r\n`,
  "both lengths": `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "both lengths, with identity": `${OK}Transfer-Encoding: identity, chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n`,
  "both lengths, one of them folded": `${OK}Content-Length:\r\n 2\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  "chunked twice": `${OK}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
  "a length of two folded numbers": `${OK}Content-Length: 2\r\n 3\r\n\r\nok`,
  "lengths that differ, one with a space before the colon": `${OK}Content-Length: 2\r\nContent-Length : 3\r\n\r\nok`,
  "lengths that differ": `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`,
  "a length that is none": `${OK}Content-Length: two\r\n\r\nok`,
  "another coding": `${OK}Transfer-Encoding: gzip\r\n\r\nok`,
  "101, unasked": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
  "a head that is too long": `${OK}${"X: y\r\n".repeat(300)}\r\n`,
  "an answer before the answer that is too long": `HTTP/1.1 103 Hints\r\n${"X: y\r\n".repeat(300)}\r\n`,
};

for (const [name, answer] of Object.entries(answers)) {
  test(`hostile answer: ${name} is a 502`, () =>
    withTarget(
      startTarget((socket) => socket.once("data", () => socket.end(latin1(answer)))),
      (target) =>
        withLocalProxy({ proxy: { rules: () => target }, serve: { maxHead: 1_024 } }, async ({ dial }) => {
          const raw = await dial(get("http://web.test/"));
          assertMatch(await readHead(raw), /^HTTP\/1.1 502 /);
          raw.end();
          assertEquals((await raw.finish()).ending, "end");
        }),
    ));
}

// what a target answers behind its head: the client must not take what it has for the whole
const torn: Record<string, string> = {
  "a body that ends too early": "Content-Length: 9\r\n\r\nabc",
  "chunks without the last": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
  "a chunk that ends too early": "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
  "a size that is no number": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
  "CR CR LF behind a size": "Transfer-Encoding: chunked\r\n\r\n3\r\r\nabc\r\n0\r\n\r\n",
  "CR in a trailer": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: a\rb\r\n\r\n",
  "no trailers": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
  "a trailer that is none": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx y\r\n\r\n",
};

for (const [name, answer] of Object.entries(torn)) {
  test(`hostile answer: ${name} resets the client`, () =>
    withTarget(
      startTarget((socket) => socket.once("data", () => socket.end(`${OK}${answer}`))),
      (target) =>
        withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
          assertEquals((await (await dial(get("http://web.test/"))).finish()).ending, "reset");
        }),
    ));
}

test("an answer until the end that breaks off resets the client", () =>
  withTarget(
    startTarget((socket) => {
      socket.once(
        "data",
        () => socket.write(`${OK}\r\nabc`, () => socket.once("data", () => socket.resetAndDestroy())),
      );
    }),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial }) => {
        const raw = await dial(post("Content-Length: 6\r\n", "abc"));
        await readHead(raw);
        await raw.write(latin1("def"));
        assertEquals((await raw.finish()).ending, "reset");
      }),
  ));

test("a head that does not come in time is a 408, and who says nothing is hung up on", () =>
  withLocalProxy({ serve: { headTimeout: 50 } }, async ({ dial }) => {
    const [silent, slow, socks] = [
      await dial(),
      await dial("GET http://web.test/ HTTP/1.1\r\n"),
      await dial("\x05\x01"),
    ];
    assertMatch(await readHead(slow), /^HTTP\/1.1 408 /);
    slow.end();
    for (const raw of [silent, slow, socks]) assertEquals((await raw.finish()).ending, "end");
  }));

test("what is behind a request that was refused is thrown away, however much it is", () =>
  withLocalProxy({}, async ({ localProxy, proxy }) => {
    const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
    await conn.write(latin1(get("/") + get("http://web.test/")));
    for (let i = 0; i < 256; i++) await conn.write(new Uint8Array(65_536));
    await conn.closeWrite();
    assertMatch(
      text(await readAll(conn, 1_000)),
      /^HTTP\/1.1 400 [^]*\r\n\r\nBad request: this is a proxy and no server[^\n]*\n$/,
    );
    conn.close();
    assertEquals(proxy.connections.length, 0);
  }));
