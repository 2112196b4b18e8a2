import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseTarget } from "../../src/protocol/address.ts";
import { ProtocolError } from "../../src/errors.ts";
import { Reply } from "../../src/protocol/messages.ts";
import { canonical, relayOf } from "../../src/udp/relay_address.ts";
import { encodeDatagram, mostPayload, parseDatagram } from "../../src/protocol/datagram.ts";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { test } from "../support/test.ts";

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
  ["its own address", "9.9.9.9", "01 09090909 1f90", "9.9.9.9:8080"],
  ["its own address, of documentation", "203.0.113.5", "01 cb007105 1f90", "203.0.113.5:8080"],
  ["another public one", "9.9.9.9", "01 08080808 1f90", "8.8.8.8:8080"],
  ["public IPv6", "9.9.9.9", "04 26200000000000000000000000000001 1f90", "2620::1:8080"],
  ["IPv4 in IPv6", "9.9.9.9", "04 00000000000000000000ffff09090909 1f90", "9.9.9.9:8080"],
  ["0.0.0.0", "9.9.9.9", "01 00000000 1f90", "9.9.9.9:8080"],
  ["0.0.0.0, over IPv6", "2001:db8::5", "01 00000000 1f90", "2001:db8::5:8080"],
  ["::", "9.9.9.9", "04 00000000000000000000000000000000 1f90", "9.9.9.9:8080"],
  ["::, with a zone", "fe80::1%eth0", "04 00000000000000000000000000000000 1f90", "fe80::1%eth0:8080"],
  ["0.0.0.0, where the proxy is a name", "proxy.test", "01 00000000 1f90", /does not tell which address the proxy has/],
  ["port 0", "9.9.9.9", "01 09090909 0000", /named the port 0/],
  ["a name", "9.9.9.9", "03 01 61 1f90", /a host name as the relay/],
  ["loopback, a public proxy", "9.9.9.9", "01 7f000001 1f90", /127\.0\.0\.1:8080 .* nearer .* allowPrivateRelay/],
  ["loopback in IPv6", "9.9.9.9", "04 00000000000000000000ffff7f000001 1f90", /127\.0\.0\.1:8080 .* nearer/],
  ["::1", "9.9.9.9", "04 00000000000000000000000000000001 1f90", /\[::1\]:8080 .* nearer/],
  ["loopback, a private proxy", "192.168.1.1", "01 7f000001 1f90", /nearer/],
  ["loopback, a proxy on the link", "169.254.1.1", "01 7f000001 1f90", /nearer/],
  ["a port of a socket, a proxy on loopback", "127.0.0.1", "01 7f010203 8000", "127.1.2.3:32768"],
  ["its own port, a proxy on loopback", "127.0.0.1", "01 7f000001 0438", "127.0.0.1:1080"],
  ["a port of a service, a proxy on loopback", "127.0.0.1", "01 7f000001 1f90", /another service of this machine/],
  ["a port of a service, a proxy on ::1", "::1", "04 00000000000000000000000000000001 0035", /another service/],
  ["a port of a service at 0.0.0.0, a proxy on loopback", "127.0.0.1", "01 00000000 7fff", /another service/],
  ["private, a proxy on loopback", "::1", "01 0a000001 1f90", "10.0.0.1:8080"],
  ["private, a private proxy", "192.168.1.1", "01 0a000001 1f90", "10.0.0.1:8080"],
  ["private, a proxy whose address is unknown", "proxy.test", "01 0a000001 1f90", /nearer/],
  ["private, a proxy at an address of documentation", "203.0.113.5", "01 0a000001 1f90", /nearer/],
  ["10/8", "9.9.9.9", "01 0affffff 1f90", /nearer/],
  ["100.64/10", "9.9.9.9", "01 647fffff 1f90", /nearer/],
  ["100.128, which is public", "9.9.9.9", "01 64800000 1f90", "100.128.0.0:8080"],
  ["169.254/16, where clouds keep secrets", "9.9.9.9", "01 a9fea9fe 1f90", /nearer/],
  ["169.254.169.254, a private proxy", "192.168.1.1", "01 a9fea9fe 0050", /nearer/],
  ["169.254.169.254, a proxy on loopback", "127.0.0.1", "01 a9fea9fe 0050", /nearer/],
  ["169.254/16, a proxy there", "169.254.1.1", "01 a9fe0202 1f90", "169.254.2.2:8080"],
  ["172.16/12", "9.9.9.9", "01 ac1fffff 1f90", /nearer/],
  ["172.32, which is public", "9.9.9.9", "01 ac200000 1f90", "172.32.0.0:8080"],
  ["192.168/16", "9.9.9.9", "01 c0a80001 1f90", /nearer/],
  ["192.0.0/24", "192.168.1.1", "01 c0000008 1f90", /reserved/],
  ["192.0.2/24", "192.168.1.1", "01 c0000201 1f90", /reserved/],
  ["192.88.99/24", "9.9.9.9", "01 c0586301 1f90", /reserved/],
  ["198.18/15", "192.168.1.1", "01 c613ffff 1f90", /reserved/],
  ["198.51.100/24", "203.0.113.5", "01 c6336401 1f90", /reserved/],
  ["203.0.113/24", "203.0.113.5", "01 cb007106 1f90", /reserved/],
  ["192.31.196/24, which is reached from everywhere", "9.9.9.9", "01 c01fc401 1f90", "192.31.196.1:8080"],
  ["fc00::/7", "9.9.9.9", "04 fdffffffffffffffffffffffffffffff 1f90", /nearer/],
  ["fc00::/7, a private proxy", "192.168.1.1", "04 fd000000000000000000000000000001 1f90", "fd00::1:8080"],
  ["fe80::/10", "9.9.9.9", "04 febfffffffffffffffffffffffffffff 1f90", /nearer/],
  ["fe80::/10, a private proxy", "fd00::1", "04 fe800000000000000000000000000001 1f90", /nearer/],
  ["2001:db8::/32", "2620::1", "04 20010db8000000000000000000000001 1f90", /reserved/],
  ["3fff::/20", "2620::1", "04 3fff0000000000000000000000000001 1f90", /reserved/],
  ["2001:2::/48, of benchmarks", "2620::1", "04 20010002000000000000000000000001 1f90", /reserved/],
  [
    "5f00::/16, and all that is not global unicast",
    "2620::1",
    "04 5f000000000000000000000000000001 1f90",
    /reserved/,
  ],
  ["100::/64, where all is discarded", "::1", "04 01000000000000000000000000000001 1f90", /no address of a host/],
  ["NAT64 of a public address", "2620::1", "04 0064ff9b000000000000000008080808 1f90", "64:ff9b::808:808:8080"],
  ["NAT64 of loopback", "2620::1", "04 0064ff9b00000000000000007f000001 1f90", /nearer/],
  ["NAT64 of 169.254.169.254", "192.168.1.1", "04 0064ff9b0000000000000000a9fea9fe 1f90", /nearer/],
  ["NAT64 of 10/8", "2620::1", "04 0064ff9b00000000000000000a000001 1f90", /nearer/],
  ["NAT64 of multicast", "::1", "04 0064ff9b0000000000000000e0000001 1f90", /no address of a host/],
  ["NAT64 of a network", "2620::1", "04 0064ff9b000100000000000008080808 1f90", /reserved/],
  ["NAT64 of a network, of 169.254.169.254", "fd00::1", "04 0064ff9b0001000000000000a9fea9fe 1f90", /nearer/],
  ["6to4 of a public address", "2620::1", "04 20020808080800000000000000000001 1f90", "2002:808:808::1:8080"],
  ["6to4 of 192.168/16", "2620::1", "04 2002c0a8000100000000000000000001 1f90", /nearer/],
  ["Teredo of a private client", "2620::1", "04 20010000080808080000000ff5fffffe 1f90", /nearer/],
  ["Teredo of a private server", "2620::1", "04 200100000a0000010000000ff7f7f7f7 1f90", /nearer/],
  ["Teredo of public ones", "2620::1", "04 20010000080808080000000ff7f7f7f7 1f90", "2001:0:808:808:0:f:f7f7:f7f7:8080"],
  ["ISATAP of loopback", "2620::1", "04 262000000000000000005efe7f000001 1f90", /nearer/],
  ["ISATAP of 10/8, marked as global", "2620::1", "04 262000000000000002005efe0a000001 1f90", /nearer/],
  ["multicast", "127.0.0.1", "01 e0000001 1f90", /no address of a host/],
  ["broadcast", "127.0.0.1", "01 ffffffff 1f90", /no address of a host/],
  ["240/4", "127.0.0.1", "01 f0000001 1f90", /no address of a host/],
  ["0.0.0.1", "127.0.0.1", "01 00000001 1f90", /no address of a host/],
  ["IPv4 in ::/96", "2620::1", "04 00000000000000000000000008080808 1f90", /no address of a host/],
  ["ff02::1", "::1", "04 ff020000000000000000000000000001 1f90", /no address of a host/],
];

for (const [what, proxy, bound, expected] of relays) {
  test(`a reply that names a relay: ${what}`, () => {
    const find = (allowPrivate: boolean) =>
      relayOf(new Reply(hex(`050000 ${bound}`)), { proxy, port: 1080, allowPrivate });
    if (typeof expected === "string") {
      const { hostname, port, isIpv6 } = find(false);
      assertEquals([`${hostname}:${port}`, isIpv6], [expected, hostname.includes(":")]);
    } else {
      const { code, message } = assertThrows(() => find(false), ProtocolError);
      assertEquals([code, expected.test(message)], ["SOCKS5_PROXY_BAD_REPLY", true], message);
      if (/allowPrivateRelay/.test(message)) assert(find(true).port > 0);
      else assertThrows(() => find(true), ProtocolError);
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
