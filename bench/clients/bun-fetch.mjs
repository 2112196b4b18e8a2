import { byFetch } from "./requests.mjs";
import { behind } from "./sites.mjs";

export function open({ proxy: { hostname, http, ca } }) {
  return byFetch(behind, fetch, {
    proxy: `http://${hostname}:${http}`,
    tls: { ca },
  });
}
