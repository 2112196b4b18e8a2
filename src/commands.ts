import type { CheckReport } from "./check.ts";
import type { AssociateArgs, CheckArgs, RequestArgs } from "./config/request_args.ts";
import { CMD } from "./protocol/messages.ts";
import type { Core } from "./request/core.ts";
import { request } from "./request/request.ts";
import type { Socks5Conn } from "./tunnel/socks5_conn.ts";
import { Tunnel } from "./tunnel/tunnel.ts";
import type { Association } from "./udp/association.ts";

// What a client can do, loaded by the first request.
export { bind } from "./request/bind.ts";
export { Core } from "./request/core.ts";

/** CONNECT (RFC 1928 section 4). */
export function connect<S>(core: Core<S>, args: RequestArgs): Promise<Socks5Conn<S>> {
  return request(core, CMD.CONNECT, args, ({ conn, lease, reused }) => {
    return new Tunnel(conn, lease, core, reused, args.reuse);
  });
}

/** RESOLVE and RESOLVE_PTR of tor. */
export function resolve<S>(core: Core<S>, args: RequestArgs, what: "name" | "address"): Promise<string> {
  return request(core, what === "name" ? CMD.RESOLVE : CMD.RESOLVE_PTR, args, ({ conn, lease }) => {
    lease.destroy("holder");
    return conn.reply!.bound.hostname;
  });
}

/** UDP ASSOCIATE (RFC 1928 section 7). */
export async function associate<S>(core: Core<S>, args: AssociateArgs): Promise<Association> {
  const { associate } = await import("./request/associate.ts");
  return (await associate(core, args)).handOver(args.signal);
}

/** Tries proxies. */
export async function check<S>(core: Core<S>, args: CheckArgs): Promise<CheckReport[]> {
  const { check } = await import("./check.ts");
  return await check(core, args);
}
