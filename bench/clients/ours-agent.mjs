import { Socks5Agent } from "../../agent/mod.ts";
import { byAgents } from "./requests.mjs";
import { behind } from "./sites.mjs";
import { proxyUrl } from "./url.mjs";

export function open(setup) {
  const client = { pool: { maxOpen: Infinity } };
  const agent = new Socks5Agent(proxyUrl(setup, "socks5h"), {
    keepAlive: setup.keepAlive,
    ca: setup.proxy.ca,
    client,
  });
  return byAgents(behind, { http: agent, https: agent });
}
