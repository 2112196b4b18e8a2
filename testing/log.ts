import type { TestStep } from "./faults.ts";

/** User name and password as RFC 1929 has them. */
export interface TestCredentials {
  /** Up to 255 bytes of UTF-8. */
  readonly username: string;
  /** Up to 255 bytes of UTF-8. Default: none, which is the empty one. */
  readonly password?: string | undefined;
}

/** What a client asked for, as it was on the wire. */
export interface TestRequest {
  /** CMD: 1 is CONNECT. */
  readonly cmd: number;
  /** ATYP: 1 is IPv4, 3 a name, 4 IPv6. */
  readonly atyp: number;
  /** The name, or the address as text: `"example.test"`, `"127.0.0.1"`, `"2001:db8::1"`. */
  readonly hostname: string;
  /** 0 to 65535. */
  readonly port: number;
}

/** What one client did on its connection, so far. */
export interface TestConnection {
  /** 0 for the first connection. */
  readonly index: number;
  /** How far it came. */
  readonly step: TestStep;
  /** The bytes of the handshake as they arrived, receive by receive. */
  readonly received: readonly Uint8Array[];
  /** The methods offered. */
  readonly methods: readonly number[] | null;
  /** The credentials presented, right or wrong. */
  readonly credentials: Readonly<Record<"username" | "password", string>> | null;
  /** What it asked for. */
  readonly request: TestRequest | null;
  /** The REP code that was sent. */
  readonly rep: number | null;
  /** Bytes of the tunnel from the client. */
  readonly sent: number;
  /** Bytes of the tunnel from the target. */
  readonly delivered: number;
  /** Who ended it first: the client, by an end or a reset; the proxy; the target. */
  readonly endedBy: "client" | "client-reset" | "proxy" | "target" | null;
  /** Whether the client's connection is open. */
  readonly open: boolean;
}

/** The log of a connection while it is written. */
export type Log = { -readonly [K in keyof TestConnection]: TestConnection[K] } & { received: Uint8Array[] };

/** The log of a connection that was just accepted. */
export function newLog(index: number): Log {
  return {
    index,
    step: "accept",
    received: [],
    methods: null,
    credentials: null,
    request: null,
    rep: null,
    sent: 0,
    delivered: 0,
    endedBy: null,
    open: true,
  };
}
