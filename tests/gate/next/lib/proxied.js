// The ways to a target, each of which leads through the proxy; what comes of one is a text.
import { Socks5Client } from "@x/socks5";
import { Socks5Agent } from "@x/socks5/agent";
import { createFetch } from "@x/socks5/fetch";
import { get } from "node:http";

const { PROXY, TARGET } = process.env;
const client = new Socks5Client(PROXY, { retry: 0 });
export const fetch = createFetch(client);
const agent = new Socks5Agent(client);

const text = async (url, init) => (await fetch(url, init)).text();

const known = {
  fetch: (url) => text(url),
  revalidate: (url) => text(url, { next: { revalidate: 60, tags: ["a"] } }),
  forced: (url) => text(url, { cache: "force-cache" }),
  request: (url) => text(new Request(url, { headers: { authorization: "Bearer secret" } })),
  post: (url) => text(url, { method: "POST", body: new Response("posted").body, duplex: "half" }),
  global: async (url) => (await globalThis.fetch(url, { cache: "force-cache" })).text(),
  redirect: (url) => text(`${url}?redirect`),
  agent: (url) =>
    new Promise((resolve, reject) => {
      get(
        url,
        { agent },
        (response) => response.toArray().then((all) => resolve(Buffer.concat(all).toString()), reject),
      )
        .on("error", reject);
    }),
  async connect(url) {
    const { hostname, port, pathname } = new URL(url);
    const conn = await client.connect({ hostname, port: Number(port || 80) });
    await conn.write(new TextEncoder().encode(`GET ${pathname} HTTP/1.0\r\n\r\n`));
    const answer = await new Response(conn.readable).text();
    conn.close();
    return answer.slice(answer.indexOf("\r\n\r\n") + 4);
  },
};

/** Each takes a path of the target, and gives the answer or the code of the `Socks5Error`. */
export const ways = Object.fromEntries(
  Object.entries(known).map(([name, ask]) => [name, (path) => ask(TARGET + path).catch(codeOf)]),
);

function codeOf(error) {
  const codes = [error, error.cause].map((it) => it?.code);
  return codes.find((code) => code?.startsWith("SOCKS5_")) ?? String(error);
}
