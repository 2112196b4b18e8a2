import { serve } from "../../serve/mod.ts";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const client = { pool: { maxOpen: Infinity } };
  return {
    listen: async () => ({
      port: (await serve(proxyUrl(setup, "socks5h"), {
        client,
        maxClients: Infinity,
      })).port,
    }),
  };
}
