// The runtime's own fetch without a proxy; on Node that of undici, since its own takes no certificate.
import * as undici from "undici";
import { name } from "../native/runtime.mjs";
import { byDispatcher, byFetch } from "./requests.mjs";
import { besides } from "./sites.mjs";

const ways = {
  node: (origin, ca) =>
    byDispatcher(
      origin,
      undici,
      new undici.Agent({ connect: { ca } }),
      "fetch",
    ),
  bun: (origin, ca) => byFetch(origin, fetch, { tls: { ca } }),
  deno: (origin, ca) =>
    byFetch(origin, fetch, {
      client: Deno.createHttpClient({ caCerts: [ca] }),
    }),
};

export function open({ proxy }) {
  return ways[name](besides(proxy), proxy.ca);
}
