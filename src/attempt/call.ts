import type { RequestArgs } from "../config/request_args.ts";
import { ATYP } from "../protocol/address.ts";
import { CMD } from "../protocol/messages.ts";
import type { Rounds } from "../proxies/rounds.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { TargetAddresses } from "./target_addresses.ts";

/** What the attempts of one request have in common. */
export class Call<S> {
  readonly cmd: number;
  readonly args: RequestArgs;
  /** `"host:port"` of the target; an association has none. */
  readonly target: string | null;
  /** What it does with the target, for messages: `"connect to"`. */
  readonly verb: string;
  readonly rounds: Rounds;
  /** The addresses of the target, if this machine looks them up. */
  readonly addresses: TargetAddresses | undefined;
  /** A warm connection for the next attempt. */
  warm: ProxyConn<S> | undefined;
  /** Whether the last attempt had one. */
  spentWarm = false;
  /** Whether bytes of the caller are on their way: whatever fails from then on is final. */
  committed = false;

  constructor(cmd: number, args: RequestArgs, rounds: Rounds, dns: "proxy" | "local") {
    const { address } = args;
    this.cmd = cmd;
    this.args = args;
    this.target = cmd === CMD.UDP_ASSOCIATE ? null : address.name;
    this.verb = VERBS[cmd]!;
    this.rounds = rounds;
    const isLocal = dns === "local" && address.atyp === ATYP.DOMAIN && cmd < CMD.RESOLVE;
    this.addresses = isLocal ? new TargetAddresses(address) : undefined;
  }

  /** The warm connection, once. */
  takeWarm(): ProxyConn<S> | undefined {
    const { warm } = this;
    this.warm = undefined;
    this.spentWarm = warm !== undefined;
    return warm;
  }
}

const VERBS: Readonly<Record<number, string>> = {
  [CMD.CONNECT]: "connect to",
  [CMD.BIND]: "bind for",
  [CMD.UDP_ASSOCIATE]: "associate",
  [CMD.RESOLVE]: "resolve",
  [CMD.RESOLVE_PTR]: "resolve",
};
