import { createFetch } from "../../fetch/mod.ts";
import { byFetch } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const options = {
    tls: { caCerts: [setup.proxy.ca] },
    client: { pool: { maxOpen: Infinity } },
  };
  return byFetch(behind, createFetch(proxyUrl(setup, "socks5h"), options));
}
