import type { TestFault } from "./faults.ts";
import type { TestConnection, TestCredentials } from "./log.ts";

/**
 * What the proxy does with a target: connects to another address (`hostname`: `"127.0.0.1"` by default), refuses with a REP
 * code (0 to 255), `"echo"` sends back what the client sends, `"silence"` sends no reply.
 */
export type TestRule =
  | { readonly hostname?: string | undefined; readonly port: number }
  | { readonly rep: number }
  | "echo"
  | "silence";

/** One fault, several that add up, or none. */
export type TestFaults = TestFault | readonly TestFault[] | undefined;

/** How a test proxy behaves. If a function in the options throws, the connection ends, and `close()` or `until()` rejects with the error. */
export interface TestProxyOptions {
  /**
   * The address to listen on: `"127.0.0.1"` (default), `"::1"` or `"localhost"`; any other only with `credentials`, since
   * the proxy connects to this machine's loopback.
   */
  hostname?: string | undefined;
  /** The port to listen on, 0 to 65535. Default: 0, a free one, which `start()` after `stop()` takes again. */
  port?: number | undefined;
  /** The path of a unix socket to listen on instead. Not together with `hostname` or `port`. */
  path?: string | undefined;
  /** The credentials to accept, or a function that returns STATUS (RFC 1929), of which 0 accepts. Default: no authentication. */
  credentials?: TestCredentials | ((given: Readonly<Record<"username" | "password", string>>) => number) | undefined;
  /** The methods to accept, in the order of preference. Default: `[2]` with credentials, else `[0]`; `[2, 0]` is tor's. */
  methods?: readonly number[] | undefined;
  /**
   * Rules by target, as clients ask for it: `"example.test:80"`, `"[2001:db8::1]:443"`. Default: the proxy connects to
   * loopback, and refuses other names with REP 4 and other addresses with REP 2.
   */
  rules?: Readonly<Record<string, TestRule>> | ((target: string) => TestRule | undefined) | undefined;
  /** Serves UDP ASSOCIATE. Default: the proxy refuses it with REP 7. */
  udp?: TestUdp | undefined;
  /**
   * Faults: one for every connection; a list, whose nth entry is for the nth connection, so that later ones work; or a
   * function that is called at each step. Default: none.
   */
  faults?: TestFault | readonly TestFaults[] | ((connection: TestConnection) => TestFaults) | undefined;
  /**
   * `"datagram"`: one receive is one message, its rest is dropped and a fragment refused, as with microsocks.
   * `"overwrite"`: the method reply is lost when the password came with the greeting, as with tor. Default: `"stream"`.
   */
  framing?: "stream" | "datagram" | "overwrite" | undefined;
  /** `"cut"`: the client's FIN ends the tunnel at once, as with most proxies. Default: `"carry"`. */
  halfClose?: "carry" | "cut" | undefined;
  /** Closes a connection that has sent no request this many milliseconds after the accept. Default: `Infinity`. */
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
