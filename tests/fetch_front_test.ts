import { assertEquals, assertThrows } from "@std/assert";
import { type AddressInfo, Server } from "node:net";
import { Aliases } from "../fetch/aliases.ts";
import { text } from "./support/contract.ts";
import { withFetch } from "./support/fetch_stage.ts";
import { connectRaw } from "./support/raw_client.ts";
import { test } from "./support/test.ts";

const hasNone = !("Deno" in globalThis || "Bun" in globalThis) && "Node needs no front";

test("the front of a fetch lets nobody else in, and ends with the fetch", async () => {
  const servers: Server[] = [];
  const { listen } = Server.prototype;
  // deno-lint-ignore no-explicit-any -- to see which port the front has
  Server.prototype.listen = function (this: Server, ...args: any[]): any {
    servers.push(this);
    return Reflect.apply(listen, this, args);
  };
  try {
    await withFetch((_, response) => response.end("hello"), {}, async ({ fetch, proxy }) => {
      servers.length = 0;
      assertEquals(await (await fetch("http://a.test/")).text(), "hello");
      const [front] = servers;
      const { address, port } = front!.address() as AddressInfo;
      assertEquals([servers.length, address], [1, "127.0.0.1"]);
      const { length } = proxy.connections;
      const socks = await connectRaw({ hostname: address, port });
      await socks.write(Uint8Array.of(5, 1, 0));
      assertEquals([...(await socks.finish()).bytes], [5, 0xff]);
      const http = await connectRaw({ hostname: address, port });
      await http.write(new TextEncoder().encode("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n"));
      assertEquals(text((await http.finish()).bytes).split("\r\n")[0], "HTTP/1.1 407 Proxy Authentication Required");
      assertEquals(proxy.connections.length, length);
      await fetch.close();
      assertEquals(front!.listening, false);
    });
  } finally {
    Server.prototype.listen = listen;
  }
}, { skip: hasNone });

test("an alias stands for one origin, always the same, and never for the front itself", () => {
  const aliases = new Aliases();
  const alias = (url: string) => aliases.aliasOf(new URL(url), 20_001);
  const urls = ["http://a.test/", "https://a.test/", "http://a.test:81/", "http://[::1]/"];
  assertEquals(urls.map(alias), ["127.0.0.1:20000", "127.0.0.1:20002", "127.0.0.1:20003", "127.0.0.1:20004"]);
  assertEquals(alias("http://a.test/other"), "127.0.0.1:20000");
  assertEquals(aliases.originOf("127.0.0.1:20003"), { protocol: "http:", hostname: "a.test", port: "81" });
  assertEquals(aliases.originOf("127.0.0.1:20004"), { protocol: "http:", hostname: "[::1]", port: "" });
  assertThrows(() => aliases.originOf("127.0.0.1:20001"), TypeError);
});

test("aliases do not run out", () => {
  const aliases = new Aliases();
  const all = Array.from({ length: 100_000 }, (_, i) => aliases.aliasOf(new URL(`http://${i}.test/`), 30_000));
  assertEquals([new Set(all).size, all.at(-1)], [100_000, "127.0.2.1:28929"]);
});
