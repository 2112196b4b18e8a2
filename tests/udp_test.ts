import { assertEquals, assertThrows } from "@std/assert";
import { parseTarget } from "../src/address.ts";
import { Fault } from "../src/errors.ts";
import { Reply } from "../src/handshake.ts";
import { canonical, relayOf } from "../src/relay.ts";
import { encodeDatagram, mostPayload, parseDatagram } from "../src/udp.ts";
import { HOSTILE_NAMES } from "./support/hostile_names.ts";
import { test } from "./support/test.ts";

// RFC 1928 section 7: RSV FRAG ATYP DST.ADDR DST.PORT DATA, derived field by field
const datagrams: [target: string, header: string][] = [
  ["192.0.2.1:53", "0000 00 01 c0000201 0035"],
  ["[2001:db8::1]:443", "0000 00 04 20010db8000000000000000000000001 01bb"],
  ["a.test:1", "0000 00 03 06 612e74657374 0001"],
  ["localhost:65535", "0000 00 03 09 6c6f63616c686f7374 ffff"],
  [`${"a.".repeat(127)}b:80`, `0000 00 03 ff ${"612e".repeat(127)}62 0050`],
];

for (const [target, header] of datagrams) {
  const address = parseTarget(target);
  const name = target.length > 40 ? `${target.slice(0, 10)}…` : target;

  test(`a datagram for ${name} is encoded as RFC 1928 says`, () => {
    assertEquals(encodeDatagram(address, hex("68 69")), hex(`${header} 6869`));
    assertEquals(encodeDatagram(address, hex("")), hex(header));
    assertEquals(mostPayload(address), 65_507 - hex(header).length);
  });

  test(`a datagram from ${name} is parsed: whole, empty, with any RSV, and null cut at each byte`, () => {
    const source = { hostname: address.hostname, port: address.port };
    const whole = hex(`${header} 6869`);
    assertEquals(parseDatagram(whole), { data: hex("6869"), source });
    assertEquals(parseDatagram(hex(`fffe ${header.slice(4)}`)), { data: hex(""), source });
    const cut = Array.from({ length: hex(header).length }, (_, length) => parseDatagram(whole.subarray(0, length)));
    assertEquals(cut, cut.map(() => null));
    assertEquals(parseDatagram(whole.subarray(0, -2))?.data, hex(""));
  });
}

const dropped: [what: string, datagram: string][] = [
  ["a fragment", "0000 01 01 c0000201 0035 6869"],
  ["the last of a series", "0000 81 01 c0000201 0035 6869"],
  ["an ATYP that nobody knows", "0000 00 02 c0000201 0035 6869"],
  ["a name without letters", "0000 00 03 00 0035 6869"],
];

for (const [what, datagram] of dropped) {
  test(`${what} is dropped`, () => assertEquals(parseDatagram(hex(datagram)), null));
}

test("what was parsed is a copy, and its source a host name", () => {
  const p = hex("0000 00 03 03 612d62 0035 68");
  const { data, source } = parseDatagram(p)!;
  p.fill(0xff);
  assertEquals({ data, source }, { data: hex("68"), source: { hostname: "a-b", port: 53 } });
  assertEquals(data.buffer.byteLength, 1);
  for (const name of HOSTILE_NAMES) {
    const addr = Array.from(name, (char) => char.charCodeAt(0));
    assertEquals(parseDatagram(Uint8Array.of(0, 0, 0, 3, addr.length, ...addr, 0, 53, 0x68)), null, name);
  }
});

// proxy, the BND fields (ATYP ADDR PORT), and the relay or why there is none
const relays: [what: string, proxy: string, bound: string, relay: string | RegExp][] = [
  ["its own address", "203.0.113.5", "01 cb007105 1f90", "203.0.113.5:8080"],
  ["another public one", "203.0.113.5", "01 c6336401 1f90", "198.51.100.1:8080"],
  ["public IPv6", "203.0.113.5", "04 20010db8000000000000000000000001 1f90", "2001:db8::1:8080"],
  ["IPv4 in IPv6", "203.0.113.5", "04 00000000000000000000ffffcb007105 1f90", "203.0.113.5:8080"],
  ["0.0.0.0", "203.0.113.5", "01 00000000 1f90", "203.0.113.5:8080"],
  ["0.0.0.0, over IPv6", "2001:db8::5", "01 00000000 1f90", "2001:db8::5:8080"],
  ["::", "203.0.113.5", "04 00000000000000000000000000000000 1f90", "203.0.113.5:8080"],
  ["::, with a zone", "fe80::1%eth0", "04 00000000000000000000000000000000 1f90", "fe80::1%eth0:8080"],
  ["0.0.0.0, where the proxy is a name", "proxy.test", "01 00000000 1f90", /does not tell which address the proxy has/],
  ["port 0", "203.0.113.5", "01 cb007105 0000", /named the port 0/],
  ["a name", "203.0.113.5", "03 01 61 1f90", /a host name as the relay/],
  ["loopback, a public proxy", "203.0.113.5", "01 7f000001 1f90", /127\.0\.0\.1:8080 .* nearer .* allowPrivateRelay/],
  ["loopback in IPv6", "203.0.113.5", "04 00000000000000000000ffff7f000001 1f90", /127\.0\.0\.1:8080 .* nearer/],
  ["::1", "203.0.113.5", "04 00000000000000000000000000000001 1f90", /\[::1\]:8080 .* nearer/],
  ["loopback, a private proxy", "192.168.1.1", "01 7f000001 1f90", /nearer/],
  ["loopback, a proxy on loopback", "127.0.0.1", "01 7f010203 1f90", "127.1.2.3:8080"],
  ["private, a proxy on loopback", "::1", "01 0a000001 1f90", "10.0.0.1:8080"],
  ["private, a private proxy", "192.168.1.1", "01 0a000001 1f90", "10.0.0.1:8080"],
  ["private, a proxy whose address is unknown", "proxy.test", "01 0a000001 1f90", /nearer/],
  ["10/8", "203.0.113.5", "01 0affffff 1f90", /nearer/],
  ["100.64/10", "203.0.113.5", "01 647fffff 1f90", /nearer/],
  ["100.128, which is public", "203.0.113.5", "01 64800000 1f90", "100.128.0.0:8080"],
  ["169.254/16, where clouds keep secrets", "203.0.113.5", "01 a9fea9fe 1f90", /nearer/],
  ["172.16/12", "203.0.113.5", "01 ac1fffff 1f90", /nearer/],
  ["172.32, which is public", "203.0.113.5", "01 ac200000 1f90", "172.32.0.0:8080"],
  ["192.168/16", "203.0.113.5", "01 c0a80001 1f90", /nearer/],
  ["fc00::/7", "203.0.113.5", "04 fdffffffffffffffffffffffffffffff 1f90", /nearer/],
  ["fe80::/10", "203.0.113.5", "04 febfffffffffffffffffffffffffffff 1f90", /nearer/],
  ["multicast", "127.0.0.1", "01 e0000001 1f90", /the address of nobody/],
  ["broadcast", "127.0.0.1", "01 ffffffff 1f90", /the address of nobody/],
  ["0.0.0.1", "127.0.0.1", "01 00000001 1f90", /the address of nobody/],
  ["ff02::1", "::1", "04 ff020000000000000000000000000001 1f90", /the address of nobody/],
];

for (const [what, proxy, bound, expected] of relays) {
  test(`a reply that names a relay: ${what}`, () => {
    const find = (allowPrivate: boolean) => relayOf(new Reply(hex(`050000 ${bound}`)), { proxy, allowPrivate });
    if (typeof expected === "string") {
      const { hostname, port, isIpv6 } = find(false);
      assertEquals([`${hostname}:${port}`, isIpv6], [expected, hostname.includes(":")]);
    } else {
      const { code, message } = assertThrows(() => find(false), Fault);
      assertEquals([code, expected.test(message)], ["SOCKS5_PROXY_BAD_REPLY", true], message);
      if (/nearer/.test(message)) assertEquals(find(true).port, 8080);
      else assertThrows(() => find(true), Fault);
    }
  });
}

test("addresses are compared in one form", () => {
  assertEquals(["::ffff:127.0.0.1", "0:0::1", "FE80::1%eth0", "no address"].map(canonical), [
    "127.0.0.1",
    "::1",
    "fe80::1%eth0",
    "no address",
  ]);
});

function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/[\da-f]{2}/g) ?? [], (byte) => Number.parseInt(byte, 16));
}
