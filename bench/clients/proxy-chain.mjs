import { Server } from "proxy-chain";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const upstreamProxyUrl = proxyUrl(setup, "socks5h");
  const server = new Server({
    host: "127.0.0.1",
    port: 0,
    prepareRequestFunction: () => ({ upstreamProxyUrl }),
  });
  return {
    async listen() {
      await server.listen();
      return { port: server.port };
    },
  };
}
