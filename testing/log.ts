import type { TestStep } from "./faults.ts";

/** User name and password (RFC 1929). */
export interface TestCredentials {
  /** Up to 255 bytes of UTF-8. */
  readonly username: string;
  /** Up to 255 bytes of UTF-8. Default: none, which is the empty one. */
  readonly password?: string | undefined;
}

/** The request of a client, as it was on the wire. */
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

/** The log of one connection, up to now. */
export interface TestConnection {
  /** 0 for the first connection. */
  readonly index: number;
  /** The last step that it reached. */
  readonly step: TestStep;
  /** The bytes of the handshake, one array for each chunk that arrived. */
  readonly received: readonly Uint8Array[];
  /** The methods that the client offered, or `null` before the greeting. */
  readonly methods: readonly number[] | null;
  /** The credentials that the client sent, right or wrong, or `null`. */
  readonly credentials: Readonly<Record<"username" | "password", string>> | null;
  /** The request, or `null` before it. */
  readonly request: TestRequest | null;
  /** The REP code that the proxy sent, or `null` before a reply. */
  readonly rep: number | null;
  /** The number of bytes that the client sent through the tunnel. */
  readonly sent: number;
  /** The number of bytes that the target sent through the tunnel. */
  readonly delivered: number;
  /** Who ended the connection first: the client, by an end or a reset; the proxy; the target. `null` while it is open. */
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
