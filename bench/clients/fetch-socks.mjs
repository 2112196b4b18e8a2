import { socksDispatcher } from "fetch-socks";
import * as undici from "undici";
import { password, username } from "../native/messages.mjs";
import { byDispatcher } from "./requests.mjs";
import { behind } from "./sites.mjs";

export function open({ proxy: { hostname, ca, ...ports }, login, way }) {
  const dispatcher = socksDispatcher(
    login
      ? {
        type: 5,
        host: hostname,
        port: ports.login,
        userId: username,
        password,
      }
      : { type: 5, host: hostname, port: ports.open },
    { connect: { ca } },
  );
  return {
    ...byDispatcher(behind, undici, dispatcher, way),
    firstByte: async () =>
      await (await undici.request("http://http.bench/", { dispatcher })).body
        .dump(),
  };
}
