// No proxy: a connection of the runtime's own API to the target.
import { native } from "../native/runtime.mjs";
import { raw } from "./raw.mjs";

export function open({ proxy: { hostname, direct } }) {
  return raw(
    native,
    ({ hostname: target }) => native.connect({ hostname, port: direct[target.split(".")[0]] }),
  );
}
