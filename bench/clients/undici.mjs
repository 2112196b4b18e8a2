import { request, Socks5ProxyAgent } from "undici";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const dispatcher = new Socks5ProxyAgent(proxyUrl(setup, "socks5"));
  return { firstByte: async () => await (await request("http://http.bench/", { dispatcher })).body.dump() };
}
