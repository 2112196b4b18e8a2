import * as undici from "undici";
import { byDispatcher } from "./requests.mjs";
import { besides } from "./sites.mjs";

export function open({ proxy, way }) {
  return byDispatcher(
    besides(proxy),
    undici,
    new undici.Agent({ connect: { ca: proxy.ca } }),
    way,
  );
}
