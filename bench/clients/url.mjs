import { password, username } from "../native/messages.mjs";

/** The proxy of a setup as a URL. */
export function proxyUrl({ proxy, login }, scheme) {
  const { hostname } = proxy;
  return login
    ? `${scheme}://${username}:${password}@${hostname}:${proxy.login}`
    : `${scheme}://${hostname}:${proxy.open}`;
}
