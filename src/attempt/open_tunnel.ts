import type { Proxy } from "../config/proxy_url.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { ProtocolError } from "../errors.ts";
import { type Address, ATYP } from "../protocol/address.ts";
import { CMD, command, type Reply, select, userPass } from "../protocol/messages.ts";
import type { Step, Steps } from "../protocol/steps.ts";
import type { Rounds } from "../proxies/rounds.ts";
import type { AttemptScope, Scope } from "../scope.ts";
import { settle } from "../settle.ts";
import type { TlsOptions } from "../transport.ts";
import { ProxyConn } from "../tunnel/proxy_conn.ts";
import { upgradeTls } from "../tunnel/upgrade_tls.ts";
import { converse, withoutWrites } from "./converse.ts";
import {
  dial,
  type Dialer,
  type Identity,
  negotiateAndAuthenticate,
  openProxyConn,
  withOneMethod,
} from "./handshake.ts";
import { type NumberedAddress, TargetAddresses } from "./local_dns.ts";

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

/** One attempt of a call, at one proxy. */
export interface Attempt<S> {
  readonly call: Call<S>;
  readonly proxy: Proxy;
  readonly identity: Identity;
  /** Its deadline, which owns what is opened. */
  readonly scope: Scope;
  /** How many milliseconds it has until the request is sent. */
  readonly limit: number;
  /** The address that it asks for, if this machine has looked it up. */
  found: NumberedAddress | undefined;
}

/** How tunnels are opened: how proxies are dialed, and which of them take all messages at once. */
export interface Opener<S> extends Dialer<S> {
  readonly pipelining: Pipelining;
}

/** Opens a tunnel in the order of RFC 1928: dial, negotiate, authenticate, request; then TLS with the target. */
export function openTunnel<S>(opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const { call } = it;
  if (call.addresses !== undefined && it.found === undefined) return openToAddress(opener, it, call.addresses);
  const warm = call.takeWarm();
  const opening = warm === undefined ? open(opener, it) : openOver(warm, opener, it);
  return call.args.tls === null ? opening : withTls(opener, it, opening, call.args.tls);
}

/** Over a new connection. */
function open<S>(opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const isPipelined = opener.settings.handshake === "pipelined" && it.call.cmd === CMD.CONNECT &&
    it.identity.custom.length === 0 && // what those say depends on what is answered
    opener.pipelining.verdict(it.proxy) !== false;
  return isPipelined ? openPipelined(opener, it) : openInSequence(opener, it);
}

/** Each message waits for the answer to the one before. */
function openInSequence<S>(opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const { identity, proxy, scope, scope: { attempt } } = it;
  return scope.run(identity.custom.length > 0 ? withCustomMethod() : inOneConversation());

  async function withCustomMethod(): Promise<ProxyConn<S>> {
    const conn = await openProxyConn(attempt, opener, proxy, identity);
    return await sendRequest(attempt, opener, it, conn);
  }

  /** Without a second conversation, which is 3 % of the CPU of a dial. */
  async function inOneConversation(): Promise<ProxyConn<S>> {
    const conn = new ProxyConn(await dial(attempt, opener, proxy), proxy);
    const steps = handshake(attempt, it, identity, it.call.args.data);
    return becomeTunnel(opener, it, conn, await converse(conn.conn, steps, identity.secrets));
  }
}

/** Over a warm connection; one that has died is replaced, unless bytes of the caller were on it. */
async function openOver<S>(warm: ProxyConn<S>, opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const { call, scope } = it;
  scope.attempt.own(warm);
  try {
    if (call.args.data !== undefined) await scope.run(settle()); // what is written on a dead one is lost
    if (!warm.readable) return await scope.run(sendRequest(scope.attempt, opener, it, warm));
  } catch (error) {
    const isReply = error instanceof ProtocolError && error.code !== "SOCKS5_PROXY_HUNG_UP";
    if (isReply || error instanceof TypeError || scope.ended !== undefined || call.committed) throw error;
  }
  scope.begin(it.limit);
  return await open(opener, it);
}

/** In one write; in sequence on a new connection if anything but a whole reply comes of it. */
async function openPipelined<S>(opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const { call, scope } = it;
  const note = (works: boolean) => opener.pipelining.note(it.proxy, works);
  try {
    const conn = await scope.run(atOnce(scope.attempt, opener, it));
    note(true);
    return conn;
  } catch (error) {
    if (isRefusal(error)) note(true);
    const isSent = scope.attempt.phase !== "dial";
    if (isRefusal(error) || scope.isOver || call.committed || !isSent) throw error;
  }
  scope.begin(it.limit);
  try {
    const conn = await openInSequence(opener, it);
    note(false);
    return conn;
  } catch (error) {
    if (isRefusal(error)) note(false);
    throw error;
  }
}

/** All messages at once, then all answers. */
async function atOnce<S>(attempt: AttemptScope, opener: Opener<S>, it: Attempt<S>): Promise<ProxyConn<S>> {
  const { call, call: { args: { data } }, scope } = it;
  const identity = withOneMethod(it.identity);
  const begun = performance.now();
  const conn = new ProxyConn(await dial(attempt, opener, it.proxy), it.proxy);
  const now = performance.now();
  const isProven = opener.pipelining.verdict(it.proxy) === true;
  if (!isProven) scope.extend(Math.min(patience(now - begun), scope.deadline - now));
  attempt.enter("request"); // it leaves with the greeting: attempts beside this one end here
  attempt.enter("negotiate"); // what is waited for is the answer to the greeting
  await conn.write(allMessages(identity, addressOf(it)));
  const steps = handshake(attempt, it, identity, undefined, isProven);
  becomeTunnel(opener, it, conn, await converse(withoutWrites(conn), steps, identity.secrets));
  if (data === undefined) return conn;
  attempt.enter("transfer");
  call.committed = true;
  await conn.write(data);
  return conn;
}

/** To an address of the target that this machine has looked up. */
async function openToAddress<S>(opener: Opener<S>, it: Attempt<S>, addresses: TargetAddresses): Promise<ProxyConn<S>> {
  it.found = await addresses.take(it.proxy, it.scope, opener.transport, it.limit);
  return await openTunnel(opener, it);
}

/** With TLS, within the same attempt. */
async function withTls<S>(
  opener: Opener<S>,
  { scope }: Attempt<S>,
  opening: Promise<ProxyConn<S>>,
  tls: TlsOptions,
): Promise<ProxyConn<S>> {
  const conn = await opening;
  await upgradeTls(scope, conn, tls, opener.startTls);
  return conn;
}

/** Asks for the target over a connection that is authenticated. */
async function sendRequest<S>(
  attempt: AttemptScope,
  opener: Opener<S>,
  it: Attempt<S>,
  conn: ProxyConn<S>,
): Promise<ProxyConn<S>> {
  const steps = requestSteps(attempt, it, it.call.args.data);
  return becomeTunnel(opener, it, conn, await converse(conn, steps, it.identity.secrets));
}

/** Negotiates, authenticates and asks for the target. */
function* handshake<S>(
  attempt: AttemptScope,
  it: Attempt<S>,
  identity: Identity,
  data: Uint8Array | undefined,
  mayExtend = true,
): Steps<Reply> {
  yield* negotiateAndAuthenticate(attempt, identity);
  return yield* requestSteps(attempt, it, data, mayExtend);
}

/** The request (RFC 1928 section 4). The proxy may take its time for the reply if nothing else is left to try. */
function* requestSteps<S>(
  attempt: AttemptScope,
  it: Attempt<S>,
  data: Uint8Array | undefined,
  mayExtend = true,
): Steps<Reply> {
  const { call, call: { addresses, rounds }, found, scope } = it;
  attempt.enter("request"); // from here on it is alone: a race ends the attempts beside it
  if (data !== undefined) call.committed = true;
  const isLast = rounds.isLast && (found === undefined || addresses!.isLast(found));
  if ((isLast || call.committed) && mayExtend) scope.extend(Infinity);
  return yield* command(call.cmd, addressOf(it), data);
}

function becomeTunnel<S>(
  { settings }: Opener<S>,
  { call }: Attempt<S>,
  conn: ProxyConn<S>,
  reply: Reply,
): ProxyConn<S> {
  conn.becomeTunnel(call.target ?? "", reply, settings.maxLifetime);
  return conn;
}

function addressOf<S>({ call, found }: Attempt<S>): Address {
  return found?.address ?? call.args.address;
}

function isRefusal(error: unknown): boolean {
  return error instanceof ProtocolError && error.rep !== null;
}

/** How long a verdict counts, in milliseconds. */
const REMEMBERED = 600_000;

/** Which proxies take all messages of the handshake in one write: some drop what comes after the first. */
export class Pipelining {
  readonly #verdicts = new WeakMap<Proxy, { works: boolean; until: number }>();

  /** Whether it works with the proxy, as far as that is known. */
  verdict(proxy: Proxy): boolean | undefined {
    const known = this.#verdicts.get(proxy);
    return known !== undefined && known.until > performance.now() ? known.works : undefined;
  }

  note(proxy: Proxy, works: boolean): void {
    this.#verdicts.set(proxy, { works, until: performance.now() + REMEMBERED });
  }
}

/** How long a proxy that took `ms` to connect may take to answer, as long as nothing is known of it. */
function patience(ms: number): number {
  return Math.max(500, 10 * ms);
}

/** All messages of an identity that offers one method. */
function allMessages({ methods, credentials }: Identity, target: Address): Uint8Array {
  return Uint8Array.of(
    ...messageOf(select(methods)),
    ...(credentials === null ? [] : messageOf(userPass(credentials))),
    ...messageOf(command(CMD.CONNECT, target)),
  );
}

/** The message of a conversation: it leaves in the first step. */
function messageOf(steps: Steps<unknown>): Uint8Array {
  return (steps.next().value as Step).write!;
}
