import { type Address, ATYP, decodeHost, parseHost } from "./address.ts";
import { ProtocolError, type Socks5ErrorCode } from "../errors.ts";
import type { Steps } from "./steps.ts";

/** METHOD, RFC 1928 section 3. */
export const METHOD = { NO_AUTHENTICATION: 0x00, USERNAME_PASSWORD: 0x02, NONE_ACCEPTABLE: 0xff } as const;
/** CMD, RFC 1928 section 4, and those of tor (socks-extensions section 2). */
export const CMD = { CONNECT: 0x01, BIND: 0x02, UDP_ASSOCIATE: 0x03, RESOLVE: 0xf0, RESOLVE_PTR: 0xf1 } as const;

/** UNAME and PASSWD of RFC 1929, 1 to 255 and 0 to 255 bytes. */
export interface UserPass {
  readonly uname: Uint8Array;
  readonly passwd: Uint8Array;
}

/** A reply that grants the request. */
export class Reply {
  readonly atyp: number;
  readonly bndPort: number;
  /** As one number if it is IPv4: an open tunnel keeps its reply, and an array is 200 bytes. */
  readonly #bndAddr: number | Uint8Array;

  constructor(bytes: Uint8Array) {
    const end = replyLength(bytes) - 2;
    this.atyp = bytes[3]!;
    this.bndPort = bytes[end]! << 8 | bytes[end + 1]!;
    this.#bndAddr = this.atyp === ATYP.IPV4
      ? bytes[4]! << 24 | bytes[5]! << 16 | bytes[6]! << 8 | bytes[7]!
      : bytes.slice(this.atyp === ATYP.DOMAIN ? 5 : 4, end);
  }

  /** BND.ADDR, of a domain without its length. */
  get bndAddr(): Uint8Array {
    const addr = this.#bndAddr;
    return typeof addr === "number" ? Uint8Array.of(addr >>> 24, addr >>> 16, addr >>> 8, addr) : addr;
  }

  /** Both as text and number. */
  get bound(): { hostname: string; port: number } {
    return { hostname: decodeHost(this.atyp, this.bndAddr), port: this.bndPort };
  }
}

/** An answer that is not of this protocol: its start says more than that it is malformed. */
export class Foreign extends ProtocolError {
  readonly what: string;
  /** What of it has been read, at least two bytes. */
  readonly start: Uint8Array;

  constructor(code: Socks5ErrorCode, what: string, answer: Uint8Array) {
    super(code, `${what} (${hex(answer[0]!, answer[1]!)})`);
    this.what = what;
    const isRead = (byte: number, i: number) => i < 2 || byte !== 0; // behind what was read there are zeros
    this.start = answer.slice(0, answer.subarray(0, SHORTEST_REPLY).findLastIndex(isRead) + 1);
  }

  /** The same with the printable start of the answer, unless it has one of the `secrets` in it. */
  with(answer: Uint8Array, secrets: readonly Uint8Array[]): ProtocolError {
    const [said] = /^[ -~]*/.exec(latin1(answer))!;
    if (said === "" || secrets.some((secret) => isIn(said, latin1(secret)))) return this;
    const start = JSON.stringify(said.length > MOST_SHOWN ? `${said.slice(0, MOST_SHOWN)}...` : said);
    return new ProtocolError(this.code, `${this.what} (${start}, ${hex(answer[0]!, answer[1]!)})`);
  }
}

const MOST_SHOWN = 60; // characters

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Whether a secret is in a text, or at least three characters of its beginning at the end. */
function isIn(text: string, secret: string): boolean {
  const [all, sought] = [text.toLowerCase(), secret.toLowerCase()];
  if (sought !== "" && all.includes(sought)) return true;
  for (let length = 3; length < sought.length; length++) if (all.endsWith(sought.slice(0, length))) return true;
  return false;
}

const VER = 0x05;

const NOTHING = new Uint8Array();

const SHORTEST_REPLY = 7; // with an empty domain: who reads more may read what comes after it

/** Offers `methods`, in one message; gives the METHOD chosen (RFC 1928 section 3). */
export function* select(methods: readonly number[], message: Uint8Array = greeting(methods)): Steps<number> {
  const answer = yield { write: message, have: 2 };
  const method = answer[1]!;
  if (answer[0] !== VER) throw new Foreign("SOCKS5_PROXY_NOT_SOCKS5", strangerOf(answer[0]!, method), answer);
  if (method === METHOD.NONE_ACCEPTABLE) {
    const isAnonymous = methods.every((offered) => offered === METHOD.NO_AUTHENTICATION);
    throw new ProtocolError(
      "SOCKS5_AUTH_NO_METHOD",
      `the proxy accepts no authentication method that was offered (05 FF)${
        isAnonymous ? ": it wants credentials, and none were given" : ""
      }`,
    );
  }
  if (!methods.includes(method)) {
    throw new ProtocolError(
      "SOCKS5_PROXY_BAD_METHOD",
      `the proxy chose a method that was not offered (${hex(VER, method)})`,
    );
  }
  return method;
}

/** The message that offers `methods`. */
export function greeting(methods: readonly number[]): Uint8Array {
  const message = new Uint8Array(2 + methods.length);
  message[0] = VER;
  message[1] = methods.length;
  for (let i = 0; i < methods.length; i++) message[2 + i] = methods[i]!;
  return message;
}

/** Sends user name and password (RFC 1929 section 2). The VER of the answer may be 5, which some servers say. */
export function* userPass({ uname, passwd }: UserPass): Steps<void> {
  const answer = yield {
    write: Uint8Array.of(0x01, uname.length, ...uname, passwd.length, ...passwd),
    have: 2,
  };
  if (answer[0] !== 0x01 && answer[0] !== VER) {
    throw new Foreign(
      "SOCKS5_PROXY_BAD_REPLY",
      "the answer of the proxy to user name and password is malformed",
      answer,
    );
  }
  if (answer[1] !== 0) {
    throw new ProtocolError(
      "SOCKS5_AUTH_REFUSED",
      `the proxy refused the user name or password (STATUS ${hex(answer[1]!)})`,
    );
  }
}

/** Asks for `cmd` with DST.ADDR and DST.PORT, in one message with `data`, and gives the reply (RFC 1928 section 4). */
export function command(cmd: number, address: Address, data: Uint8Array = NOTHING): Steps<Reply> {
  if (cmd >= CMD.RESOLVE) return resolved(cmd, reply(encodeRequest(cmd, address, data)));
  if (cmd === CMD.BIND) return named(reply(encodeRequest(cmd, address)));
  return reply(encodeRequest(cmd, address, data));
}

/** Takes a reply (RFC 1928 section 6), after `write`; RSV is not looked at, any ATYP may come back whatever was asked. */
export function* reply(write?: Uint8Array): Steps<Reply> {
  const start = yield write === undefined
    ? { have: 2, most: SHORTEST_REPLY }
    : { write, have: 2, most: SHORTEST_REPLY };
  if (start[0] !== VER) throw new Foreign("SOCKS5_PROXY_BAD_REPLY", "the reply of the proxy is malformed", start);
  if (start[1] !== 0x00) throw refusal(start[1]!); // before BND.ADDR: refusals are often cut short after REP
  const head = yield { have: 5, most: SHORTEST_REPLY };
  if (addressLength(head) < 0) {
    throw new ProtocolError("SOCKS5_PROXY_BAD_REPLY", `the reply of the proxy has an unknown ATYP (${hex(head[3]!)})`);
  }
  return new Reply(yield { have: replyLength(head) });
}

/** The replies of BIND, which are of use only with an address or a name. */
export function* named(replying: Steps<Reply> = reply()): Steps<Reply> {
  const answer = yield* replying;
  if (answer.bound.hostname !== "") return answer;
  throw new ProtocolError("SOCKS5_PROXY_BAD_REPLY", "the reply of the proxy has what is no host name");
}

/** What tor says to RESOLVE is an address, and to RESOLVE_PTR a name. */
function* resolved(cmd: number, replying: Steps<Reply>): Steps<Reply> {
  const answer = yield* replying;
  const host = parseHost(answer.bound.hostname);
  const isName = typeof host !== "string" && host.atyp === ATYP.DOMAIN;
  if (cmd === CMD.RESOLVE ? answer.atyp !== ATYP.DOMAIN : isName) return answer;
  const want = cmd === CMD.RESOLVE ? "an address" : "a name";
  throw new ProtocolError(
    "SOCKS5_PROXY_BAD_REPLY",
    `the reply of the proxy should have ${want}, and has ${answer.bound.hostname || "what is no host name"}`,
  );
}

function encodeRequest(cmd: number, { atyp, addr, port }: Address, data: Uint8Array = NOTHING): Uint8Array {
  const at = atyp === ATYP.DOMAIN ? 5 : 4;
  const end = at + addr.length;
  const message = new Uint8Array(end + 2 + data.length);
  // byte by byte: arrays in between are 1 µs of a dial
  message[0] = VER;
  message[1] = cmd;
  message[3] = atyp;
  message[4] = addr.length;
  message.set(addr, at);
  message[end] = port >> 8;
  message[end + 1] = port & 0xff;
  if (data.length > 0) message.set(data, end + 2);
  return message;
}

function replyLength(head: Uint8Array): number {
  return 4 + (head[3] === ATYP.DOMAIN ? 1 : 0) + addressLength(head) + 2;
}

function addressLength(head: Uint8Array): number {
  const atyp = head[3]!;
  return atyp === ATYP.IPV4 ? 4 : atyp === ATYP.IPV6 ? 16 : atyp === ATYP.DOMAIN ? head[4]! : -1;
}

/** REP, RFC 1928 section 6, and those of tor for onion services (proposal 304). */
export const REP: Readonly<Record<number, readonly [Socks5ErrorCode, string]>> = {
  0x01: ["SOCKS5_TARGET_FAILED", "general failure of the proxy"],
  0x02: ["SOCKS5_TARGET_NOT_ALLOWED", "not allowed by the rules of the proxy"],
  0x03: ["SOCKS5_TARGET_NET_UNREACHABLE", "network unreachable"],
  0x04: ["SOCKS5_TARGET_HOST_UNREACHABLE", "host unreachable"],
  0x05: ["SOCKS5_TARGET_REFUSED", "connection refused by the target"],
  0x06: ["SOCKS5_TARGET_TTL_EXPIRED", "TTL expired"],
  0x07: ["SOCKS5_TARGET_BAD_COMMAND", "the proxy does not support the command"],
  0x08: ["SOCKS5_TARGET_BAD_ADDRESS_TYPE", "the proxy does not support the address type"],
  0xf0: ["SOCKS5_TARGET_ONION_NOT_FOUND", "the descriptor of the onion service was not found"],
  0xf1: ["SOCKS5_TARGET_ONION_IS_INVALID", "the descriptor of the onion service is invalid"],
  0xf2: ["SOCKS5_TARGET_ONION_INTRO_FAILED", "the introduction to the onion service failed"],
  0xf3: ["SOCKS5_TARGET_ONION_REND_FAILED", "the rendezvous with the onion service failed"],
  0xf4: ["SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH", "the onion service wants a key, and the proxy has none"],
  0xf5: ["SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH", "the onion service wants another key than that of the proxy"],
  0xf6: ["SOCKS5_TARGET_ONION_BAD_ADDRESS", "the onion address is invalid"],
  0xf7: ["SOCKS5_TARGET_ONION_INTRO_TIMEDOUT", "the introduction to the onion service timed out"],
};

function refusal(rep: number): ProtocolError {
  const [code, text] = REP[rep] ?? ["SOCKS5_TARGET_UNKNOWN_REPLY" as const, "the proxy refused with a code of its own"];
  return new ProtocolError(code, `${text} (REP ${hex(rep)})`, rep);
}

function strangerOf(ver: number, second: number): string {
  const text = String.fromCharCode(ver, second);
  if (text === "HT") return "an HTTP server answered";
  if (text === "SS") return "an SSH server answered";
  if (ver === 0x15) return "a TLS server answered";
  return ver === 0x00 || ver === 0x04 ? "a SOCKS4 server answered" : "what answered is not a SOCKS5 proxy";
}

/** Bytes as they stand in messages. */
export function hex(...bytes: number[]): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}
