import { byFetch } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const client = Deno.createHttpClient({
    proxy: { url: proxyUrl(setup, "socks5h") },
    caCerts: [setup.proxy.ca],
  });
  return byFetch(behind, fetch, { client });
}
