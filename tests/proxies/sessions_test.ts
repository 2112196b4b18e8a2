import { assert, assertEquals } from "@std/assert";
import { type ProxySpec, Socks5Client } from "../../mod.ts";
import { hash, murmur3, score } from "../../src/proxies/sessions.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { tablesOf } from "../support/papers.ts";
import { test } from "../support/test.ts";

const words = (text: string) => hash(text).map((word) => (word >>> 0).toString(16).padStart(8, "0")).join(" ");

test("the hash of a session is MurmurHash3 (x86, 32 bits), with seed 0 and with seed 1", () => {
  // what the algorithm's own program gives
  const vectors = { "test": "ba6bd213", "Hello, world!": "c0363e43" };
  for (const [text, word] of Object.entries(vectors)) assertEquals(words(text).split(" ")[0], word, text);
  assertEquals(words(""), "00000000 514e28b7");
});

test("MurmurHash3 gives the verification value that its authors have published", () => {
  const keys = Uint8Array.from({ length: 256 }, (_, i) => i);
  const hashes = new DataView(new ArrayBuffer(4 * 256)); // of keys of 0 to 255 bytes, each with a seed of its own
  for (let i = 0; i < 256; i++) hashes.setInt32(4 * i, murmur3(keys.subarray(0, i), 256 - i), true);
  assertEquals(murmur3(new Uint8Array(hashes.buffer), 0) >>> 0, 0xb0f57ee3);
});

test("hashes and scores are those that docs/design.md has", () => {
  const vectors = tablesOf("docs/design.md")["The proxy of a session"]!;
  assertEquals(vectors.length, 3);
  for (const vector of vectors) {
    const cell = (column: string) => vector[column]!.replaceAll("`", "");
    const [session, proxy] = [cell("Session"), cell("Identity of the proxy")];
    assertEquals([words(session), words(proxy)], [cell("Hash of the session"), cell("Hash of the proxy")]);
    const found = score(hash(session), hash(proxy), Number(cell("Weight")));
    const difference = Math.abs(found / Number(cell("Score")) - 1);
    assert(difference < 1e-12, `${session} at ${proxy}: ${found}`); // logarithms differ in the last bits
  }
});

test("every score is more than 0 and finite, that of the highest and the lowest hash too", () => {
  const highest = 0x331da083; // which is mixed to 32 ones
  for (const word of [0, highest]) {
    const found = score([word, word], [0, 0], 1);
    assert(found > 0 && found < Infinity, `${found}`);
  }
});

test("a session goes to the proxy with the highest score, which depends on label, or address and user, and on weight", async () => {
  const list: [ProxySpec, identity: string, weight: number][] = [
    ["socks5h://proxy.example", "proxy.example:1080", 1],
    ["socks5h://us%C3%A9r:pass@[2001:db8::1]:1081", "[2001:db8::1]:1081@usér", 1],
    [{ url: "socks5h://user:pass@10.0.0.7", label: "de-1", weight: 2 }, "de-1", 2],
    [{ url: "socks5h://10.0.0.8", weight: 0 }, "10.0.0.8:1080", 0],
  ];
  const client = new Socks5Client(list.map(([proxy]) => proxy), { transport: new FakeTransport(socks5()) });
  const taken = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const session = `session ${i} ß`;
    const scores = list.map(([, identity, weight]) => score(hash(session), hash(identity), weight));
    const [, best] = list[scores.indexOf(Math.max(...scores))]!;
    const conn = await client.connect("example.com:80", { session });
    conn.close();
    assertEquals(conn.proxy, best.replace(/@.*/, ""));
    taken.add(best);
  }
  assertEquals(taken.size, 3);
  await client.close();
});
