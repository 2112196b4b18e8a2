import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { createFetch, type FetchTls } from "../../fetch/mod.ts";
import { certificates, type Issued } from "../support/certificates.ts";
import { causeOf, withFetch } from "../support/fetch_stage.ts";
import { TlsError } from "../../mod.ts";
import { test } from "../support/test.ts";
import type { Answer } from "../support/http_server.ts";

const { authority, otherAuthority, names, ips, expired, stranger, client } = certificates();
const trusting: FetchTls = { caCerts: [otherAuthority.cert, authority.cert] };

const hello: Answer = (_, response) => response.end("hello");

const accepted: [what: string, cert: Issued, url: string][] = [
  ["a name", names, "https://example.com/"],
  ["a name and a port", names, "https://target.example:8443/"],
  ["a wildcard", names, "https://any.wild.example/"],
  ["an IP address", ips, "https://127.0.0.1/"],
  ["an IPv6 address", ips, "https://[::1]/"],
];

for (const [what, cert, url] of accepted) {
  test(`HTTPS with a certificate for ${what}, over one connection that is kept`, async () => {
    await withFetch(hello, { tls: cert, fetch: { tls: trusting } }, async ({ fetch, web, proxy }) => {
      for (let i = 0; i < 3; i++) {
        const response = await fetch(url);
        assertEquals([await response.text(), response.url], ["hello", url]);
      }
      assertEquals([web.accepted, proxy.connections.length], [1, 1]);
      assertEquals(web.seen[0]!.headers.host, new URL(url).host);
    });
  });
}

const refused: [what: string, cert: Issued, url: string, tls: FetchTls | undefined][] = [
  ["for another name", names, "https://other.example/", trusting],
  ["for another IP address", ips, "https://127.0.0.2/", trusting],
  ["that has expired", expired, "https://localhost/", trusting],
  ["of an authority that is not trusted", names, "https://example.com/", undefined],
  ["of another authority than the trusted one", stranger, "https://localhost/", { caCerts: [authority.cert] }],
];

for (const [what, cert, url, tls] of refused) {
  test(`HTTPS with a certificate ${what} is refused, also after a redirect`, async () => {
    await withFetch(hello, { tls: cert, fetch: { tls } }, async ({ fetch, web }) => {
      assertInstanceOf(await causeOf(fetch(url)), TlsError);
      assertEquals(web.seen.length, 0);
    });
    let port = 0;
    const redirect: Answer = (_, response) => response.writeHead(302, { location: url }).end();
    await withFetch(hello, { tls: cert }, async ({ web }) => {
      const rules = (target: string) => ({ port: target === "a.test:80" ? port : web.port });
      await withFetch(redirect, { fetch: { tls }, proxy: { rules } }, async ({ fetch, web: first }) => {
        port = first.port;
        await assertRejects(() => fetch("http://a.test/"), TypeError);
        assertEquals([first.seen.length, web.seen.length], [1, 0]);
      });
    });
  });
}

test("HTTPS is not spoken with what has no TLS", async () => {
  await withFetch(hello, { fetch: { tls: trusting } }, async ({ fetch, web }) => {
    await assertRejects(() => fetch("https://example.com/"), TypeError);
    assertEquals(web.seen.length, 0);
  });
});

test("the client's certificate is shown to who asks for it", async () => {
  const server = { ...names, ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  const own = { ...trusting, cert: client.cert, key: client.key };
  await withFetch(hello, { tls: server, fetch: { tls: own } }, async ({ fetch, client, web }) => {
    assertEquals(await (await fetch("https://example.com/")).text(), "hello");
    const without = createFetch(client, { tls: trusting });
    await assertRejects(() => without("https://example.com/"), TypeError);
    await without.close();
    assertEquals(web.seen.length, 1);
  });
});
