import type { TestFault } from "./faults.ts";
import type { TestConnection, TestCredentials } from "./log.ts";

/**
 * Where a target is really connected to (`hostname` is `"127.0.0.1"` by default), the REP code that refuses it,
 * `"echo"` for a target that sends back what it gets, or `"silence"` for no reply at all.
 */
export type TestRule =
  | { readonly hostname?: string | undefined; readonly port: number }
  | { readonly rep: number }
  | "echo"
  | "silence";

/** One fault, or several that add up. */
export type TestFaults = TestFault | readonly TestFault[] | undefined;

/** How a test proxy behaves. A function of the caller's that throws ends the connection, and `close()` or `until()` throws it. */
export interface TestProxyOptions {
  /**
   * Where it listens: `"127.0.0.1"` (default), `"::1"` or `"localhost"`; anything else only with `credentials`, since
   * it leads to this machine's loopback.
   */
  hostname?: string | undefined;
  /** Default: a free one, kept over `stop()` and `start()`. */
  port?: number | undefined;
  /** The path of a unix socket, on which it listens instead. */
  path?: string | undefined;
  /** Who may come in, or a function that gives the status byte (0 lets in). Default: everyone, without a password. */
  credentials?: TestCredentials | ((given: Readonly<Record<"username" | "password", string>>) => number) | undefined;
  /** The methods taken, the liked best first. Default: `[2]` with credentials, else `[0]`; `[2, 0]` is tor's. */
  methods?: readonly number[] | undefined;
  /**
   * What becomes of targets, written as they are asked for: `"example.test:80"`, `"[2001:db8::1]:443"`. Default:
   * loopback is connected to, other names are refused with 4 and other addresses with 2.
   */
  rules?: Readonly<Record<string, TestRule>> | ((target: string) => TestRule | undefined) | undefined;
  /** Carries datagrams, too. Default: UDP ASSOCIATE is refused with 7. */
  udp?: TestUdp | undefined;
  /**
   * What goes wrong: one fault on every connection; of a list, the nth entry on the nth connection, so that those
   * after it work; or what a function says, which is asked at each step.
   */
  faults?: TestFault | readonly TestFaults[] | ((connection: TestConnection) => TestFaults) | undefined;
  /**
   * `"datagram"`: one receive is one message, its rest is dropped and a fragment refused, as with microsocks.
   * `"overwrite"`: the method reply is lost when the password came with the greeting, as with tor. Default: `"stream"`.
   */
  framing?: "stream" | "datagram" | "overwrite" | undefined;
  /** `"cut"`: the client's FIN ends the tunnel at once, as with most proxies. Default: `"carry"`. */
  halfClose?: "carry" | "cut" | undefined;
  /** Closes a connection without a request after that many milliseconds since the accept. Default: `Infinity`. */
  handshakeTimeout?: number | undefined;
}

/** What a relay sends to the client: these bytes, from its own port or from a stranger's. */
export interface TestDatagram {
  /** The header of RFC 1928 section 7 and the data, as wrong as they may be. */
  bytes: Uint8Array;
  /** Whether they come from another port than the relay's. Default: `false`. */
  stranger?: boolean | undefined;
}

/** How datagrams are carried. */
export interface TestUdp {
  /** Where datagrams for targets such as `"dns.example:53"` really go. Default: loopback is let through, all else lost. */
  rules?: Readonly<Record<string, { readonly hostname?: string | undefined; readonly port: number }>> | undefined;
  /** Is given each datagram for the client, header and all, and says what is sent. Default: that. */
  answer?: ((right: Uint8Array) => readonly TestDatagram[]) | undefined;
  /** Gathers what came from clients, header and all. */
  received?: Uint8Array[] | undefined;
  /** Gathers the ports that the relays were bound to. */
  ports?: number[] | undefined;
  /** Gathers the ports that clients sent from. */
  clients?: number[] | undefined;
}
