import * as undici from "undici";
import { createConnector } from "../../fetch/mod.ts";
import { byDispatcher } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const options = {
    tls: { caCerts: [setup.proxy.ca] },
    client: { pool: { maxOpen: Infinity } },
  };
  const connect = createConnector(proxyUrl(setup, "socks5h"), options);
  return byDispatcher(behind, undici, new undici.Agent({ connect }), setup.way);
}
