import { get } from "node:http";
import { SocksProxyAgent } from "socks-proxy-agent";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const agent = new SocksProxyAgent(proxyUrl(setup, "socks5h"));
  return {
    firstByte: () =>
      new Promise((resolve, reject) => {
        get("http://http.bench/", { agent }, (response) => {
          response.destroy();
          resolve();
        }).on("error", reject);
      }),
  };
}
