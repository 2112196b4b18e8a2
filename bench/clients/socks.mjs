import { SocksClient } from "socks";
import { password, username } from "../native/messages.mjs";
import * as nodeNet from "../native/node.mjs";
import { raw } from "./raw.mjs";

export function open({ proxy: { hostname, ...ports }, login }) {
  const proxy = login
    ? { type: 5, host: hostname, port: ports.login, userId: username, password }
    : { type: 5, host: hostname, port: ports.open };
  return raw(nodeNet, async ({ hostname: host, port }) => {
    const { socket } = await SocksClient.createConnection({
      proxy,
      command: "connect",
      destination: { host, port },
    });
    return socket;
  });
}
