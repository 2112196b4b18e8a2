import { once } from "node:events";
import SocksConnection from "socksjs";
import { password, username } from "../native/messages.mjs";
import * as nodeNet from "../native/node.mjs";
import { raw } from "./raw.mjs";

export function open({ proxy: { hostname, ...ports }, login }) {
  const through = login
    ? { host: hostname, port: ports.login, user: username, pass: password }
    : { host: hostname, port: ports.open };
  return raw(
    { ...nodeNet, close: (socket) => socket.dispose() },
    async ({ hostname: host, port }) => {
      const socket = SocksConnection.connect({ host, port }, through);
      await once(socket, "connect");
      return socket;
    },
  );
}
