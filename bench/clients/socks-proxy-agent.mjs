import { get } from "node:http";
import { SocksProxyAgent } from "socks-proxy-agent";
import { byAgents } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const { keepAlive = false, proxy: { ca } } = setup;
  const agent = new SocksProxyAgent(proxyUrl(setup, "socks5h"), {
    keepAlive,
    ca,
  });
  return {
    ...byAgents(behind, { http: agent, https: agent }),
    firstByte: () =>
      new Promise((resolve, reject) => {
        get("http://http.bench/", { agent }, (response) => {
          response.destroy();
          resolve();
        }).on("error", reject);
      }),
  };
}
