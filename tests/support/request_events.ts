import type { RequestEvent, Socks5Event } from "../../src/events.ts";

/** A listener for the events of requests, and not for those of proxies. */
export function ofRequests(listener: (event: RequestEvent) => void): (event: Socks5Event) => void {
  return (event) => event.id === undefined ? undefined : listener(event);
}
