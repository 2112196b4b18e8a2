import { once } from "node:events";
import bsocks from "bsocks";
import * as nodeNet from "../native/node.mjs";
import { raw } from "./raw.mjs";

export function open({ proxy }) {
  return raw(nodeNet, async ({ hostname, port }) => {
    const socket = bsocks.connect(
      `${proxy.hostname}:${proxy.open}`,
      port,
      hostname,
    );
    await once(socket, "connect");
    return socket;
  });
}
