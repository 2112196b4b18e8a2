import { assertEquals } from "@std/assert";
import { connect } from "node:net";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { runtimeTransport } from "../../adapters/runtime.ts";
import { Socks5Client, type Transport } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, text } from "../support/contract.ts";
import { withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";
import { startUdpEcho } from "../support/udp_targets.ts";

const unspecified = {
  fault: "answer",
  at: "request",
  bytes: (right: Uint8Array) => right.with(4, 0).with(7, 0),
} as const;

const transports: [name: string, transport: Transport][] = [
  ["the runtime's transport", runtimeTransport],
  ["node:net", nodeTransport],
  ["a transport without TLS", {
    ...runtimeTransport,
    async connect(to, options) {
      const conn = await runtimeTransport.connect(to, options);
      return {
        remoteAddress: conn.remoteAddress,
        read: (p) => conn.read(p),
        write: (p) => conn.write(p),
        closeWrite: () => conn.closeWrite(),
        close: () => conn.close(),
      };
    },
  }],
];

for (const [name, transport] of transports) {
  test(`${name}: with TLS to the proxy, 0.0.0.0 is where the proxy was connected, and closing ends it`, async () => {
    await using echo = await startUdpEcho();
    await withProxy({ udp: {}, faults: [unspecified] }, async (proxy) => {
      const tlsProxy = await startTls({}, (socket) => {
        const behind = connect(proxy.port, "127.0.0.1");
        socket.pipe(behind).pipe(socket);
        behind.on("error", () => socket.destroy());
        socket.on("close", () => behind.destroy());
      });
      const tls = { caCerts: [certificates().authority.cert] };
      const client = new Socks5Client({ hostname: "localhost", port: tlsProxy.port, tls }, { retry: 0, transport });
      try {
        const association = await client.associate();
        assertEquals(association.relay.hostname, "127.0.0.1");
        await association.send(bytes("in the clear"), echo.address);
        assertEquals(text((await association.receive())!.data), "in the clear");
        association.close();
        await tlsProxy.until(() => tlsProxy.open === 0);
      } finally {
        await client.close();
        await tlsProxy.close();
      }
    });
  });
}
