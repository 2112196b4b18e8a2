import { socksDispatcher } from "fetch-socks";
import { request } from "undici";
import { password, username } from "../native/messages.mjs";

export function open({ proxy: { hostname, ...ports }, login }) {
  const dispatcher = socksDispatcher(
    login
      ? { type: 5, host: hostname, port: ports.login, userId: username, password }
      : { type: 5, host: hostname, port: ports.open },
  );
  return { firstByte: async () => await (await request("http://http.bench/", { dispatcher })).body.dump() };
}
