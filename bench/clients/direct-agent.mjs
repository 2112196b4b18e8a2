import http from "node:http";
import https from "node:https";
import { byAgents } from "./requests.mjs";
import { besides } from "./sites.mjs";

export function open({ proxy, keepAlive }) {
  const agents = {
    http: new http.Agent({ keepAlive }),
    https: new https.Agent({ keepAlive, ca: proxy.ca }),
  };
  return byAgents(besides(proxy), agents);
}
