// The least that a client can do: a handshake by hand on the runtime's own API.
import { native } from "../native/runtime.mjs";
import { raw } from "./raw.mjs";

export function open({ proxy, login }) {
  const address = {
    hostname: proxy.hostname,
    port: login ? proxy.login : proxy.open,
  };
  return raw(native, (target) => native.tunnel(address, target, login));
}
