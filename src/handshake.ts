import { type Address, ATYP, decodeHost } from "./address.ts";
import { Fault, type Socks5ErrorCode } from "./errors.ts";

/** METHOD, RFC 1928 section 3. */
export const METHOD = { NO_AUTHENTICATION: 0x00, USERNAME_PASSWORD: 0x02, NONE_ACCEPTABLE: 0xff } as const;
/** CMD, RFC 1928 section 4. */
export const CMD = { CONNECT: 0x01, BIND: 0x02, UDP_ASSOCIATE: 0x03 } as const;

/** "Send these bytes, hand me exactly `read` of the answer." */
export interface Step {
  write?: Uint8Array;
  read: number;
  /** The answer hoped for, where only one is. */
  expect?: Uint8Array;
}

/** A piece of the handshake: yields steps, is given their answers, returns what it found out or throws a `Fault`. */
export type Steps<T> = Generator<Step, T, Uint8Array>;

/** UNAME and PASSWD of RFC 1929, 1 to 255 and 0 to 255 bytes. */
export interface UserPass {
  readonly uname: Uint8Array;
  readonly passwd: Uint8Array;
}

/** BND.ADDR and BND.PORT of a reply. */
export interface Reply {
  readonly bndAddr: string;
  readonly bndPort: number;
}

const VER = 0x05;

/** Offers `methods`, in one message; gives the METHOD chosen (RFC 1928 section 3). */
export function* select(methods: readonly number[]): Steps<number> {
  const [only, ...others] = methods;
  const [ver, method] = yield {
    write: Uint8Array.of(VER, methods.length, ...methods),
    read: 2,
    ...(only !== undefined && others.length === 0 && { expect: Uint8Array.of(VER, only) }),
  };
  if (ver !== VER) throw notSocks5(ver!, method!);
  if (method === METHOD.NONE_ACCEPTABLE) {
    const offered = methods.includes(METHOD.USERNAME_PASSWORD) ? "" : ": it wants credentials, and none were given";
    throw new Fault(
      "SOCKS5_AUTH_NO_METHOD",
      `the proxy accepts no authentication method that was offered (05 FF)${offered}`,
    );
  }
  if (!methods.includes(method!)) {
    throw new Fault("SOCKS5_PROXY_BAD_METHOD", `the proxy chose a method that was not offered (${hex(VER, method!)})`);
  }
  return method!;
}

/** Sends user name and password (RFC 1929 section 2). The VER of the answer is not looked at: some servers say 5. */
export function* userPass({ uname, passwd }: UserPass): Steps<void> {
  const answer = yield {
    write: Uint8Array.of(0x01, uname.length, ...uname, passwd.length, ...passwd),
    read: 2,
    expect: Uint8Array.of(0x01, 0x00),
  };
  if (answer[1] !== 0) {
    throw new Fault("SOCKS5_AUTH_REFUSED", `the proxy refused the user name or password (STATUS ${hex(answer[1]!)})`);
  }
}

/** Asks for `cmd` with DST.ADDR and DST.PORT and gives the reply (RFC 1928 section 4). */
export function* request(cmd: number, { atyp, addr, port }: Address): Steps<Reply> {
  const dstAddr = atyp === ATYP.DOMAIN ? [addr.length, ...addr] : addr;
  const head = yield { write: Uint8Array.of(VER, cmd, 0x00, atyp, ...dstAddr, port >> 8, port & 0xff), read: 2 };
  return yield* reply(head);
}

/** Takes a reply (RFC 1928 section 6); RSV is not looked at, and any ATYP may come back whatever was asked. */
export function* reply(head?: Uint8Array): Steps<Reply> {
  const [ver, rep] = head ?? (yield { read: 2 });
  if (ver !== VER) {
    throw new Fault("SOCKS5_PROXY_BAD_REPLY", `the reply of the proxy is malformed (${hex(ver!, rep!)})`);
  }
  if (rep !== 0x00) throw refusal(rep!); // before BND.ADDR: refusals are often cut short after REP
  const [, atyp, first] = yield { read: 3 };
  const length = atyp === ATYP.IPV4 ? 4 : atyp === ATYP.IPV6 ? 16 : atyp === ATYP.DOMAIN ? first! + 1 : 0;
  if (length === 0) {
    throw new Fault("SOCKS5_PROXY_BAD_REPLY", `the reply of the proxy has an unknown ATYP (${hex(atyp!)})`);
  }
  const rest = yield { read: length + 1 };
  const addr = rest.subarray(0, -2);
  return {
    bndAddr: decodeHost(atyp!, atyp === ATYP.DOMAIN ? addr : Uint8Array.of(first!, ...addr)),
    bndPort: rest.at(-2)! << 8 | rest.at(-1)!,
  };
}

/** REP, RFC 1928 section 6. */
export const REP: Readonly<Record<number, readonly [Socks5ErrorCode, string]>> = {
  0x01: ["SOCKS5_TARGET_FAILED", "general failure of the proxy"],
  0x02: ["SOCKS5_TARGET_NOT_ALLOWED", "not allowed by the rules of the proxy"],
  0x03: ["SOCKS5_TARGET_NET_UNREACHABLE", "network unreachable"],
  0x04: ["SOCKS5_TARGET_HOST_UNREACHABLE", "host unreachable"],
  0x05: ["SOCKS5_TARGET_REFUSED", "connection refused by the target"],
  0x06: ["SOCKS5_TARGET_TTL_EXPIRED", "TTL expired"],
  0x07: ["SOCKS5_TARGET_BAD_COMMAND", "the proxy does not support the command"],
  0x08: ["SOCKS5_TARGET_BAD_ADDRESS_TYPE", "the proxy does not support the address type"],
};

function refusal(rep: number): Fault {
  const [code, text] = REP[rep] ?? ["SOCKS5_TARGET_UNKNOWN_REPLY" as const, "a reason of the proxy's own"];
  return new Fault(code, `${text} (REP ${hex(rep)})`, rep);
}

function notSocks5(ver: number, second: number): Fault {
  const text = String.fromCharCode(ver, second);
  const who = text === "HT"
    ? "an HTTP server"
    : text === "SS"
    ? "an SSH server"
    : ver === 0x15
    ? "a TLS server"
    : ver === 0x00 || ver === 0x04
    ? "a SOCKS4 server"
    : null;
  const got = `${/^[ -~]+$/.test(text) ? `${JSON.stringify(text)}, ` : ""}${hex(ver, second)}`;
  return new Fault(
    "SOCKS5_PROXY_NOT_SOCKS5",
    `${who === null ? "what answered is not a SOCKS5 proxy" : `${who} answered`} (${got})`,
  );
}

function hex(...bytes: number[]): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}
