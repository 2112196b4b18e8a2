import * as undici from "undici";
import { byDispatcher } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const requestTls = { ca: setup.proxy.ca };
  const dispatcher = new undici.Socks5ProxyAgent(proxyUrl(setup, "socks5"), {
    requestTls,
  });
  return {
    ...byDispatcher(behind, undici, dispatcher, setup.way),
    firstByte: async () =>
      await (await undici.request("http://http.bench/", { dispatcher })).body
        .dump(),
  };
}
