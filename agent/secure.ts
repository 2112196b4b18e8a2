import type { Buffer } from "node:buffer";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { ConnDuplex } from "../adapters/duplex.ts";
import { honestCheck } from "../adapters/server_identity.ts";
import { isBytes } from "../src/arguments.ts";

/** What `https:` requests give; `_agentKey` is the agent's name for connections like this one. */
export type SecureOptions = Omit<ConnectionOptions, "host" | "port" | "path"> & {
  host?: string | null | undefined;
  _agentKey?: string | undefined;
};

const EVENTS = ["lookup", "connect", "ready", "timeout"];
const ENDS = "remoteAddress remotePort remoteFamily localAddress localPort localFamily proxy".split(
  " ",
) as (keyof ConnDuplex)[];

/** TLS over a stream, whose errors are its own too, as `node:tls` has it; the stream ends with it. */
export function secureOver(stream: ConnDuplex, options: SecureOptions, sessions: Sessions): TLSSocket {
  // the path is that of the request and no socket's; node:http has set servername, to nothing for an address
  const { path: _, _agentKey: key, session: own, ...given } = options as SecureOptions & { path?: string };
  const session = isBytes(own) ? own : sessions.get(key); // else it is an identity
  // the dot at the end is no part of the name in TLS (RFC 6066 section 3), nor in a certificate
  const [host, servername] = [given.host, given.servername].map((name) => name?.replace(/\.$/, ""));
  // whatever the environment says (NODE_TLS_REJECT_UNAUTHORIZED)
  const rejectUnauthorized = given.rejectUnauthorized !== false;
  const rest = { ...given, host, ...(servername !== undefined && { servername }), rejectUnauthorized };
  const checkServerIdentity = honestCheck(rest.checkServerIdentity);
  const socket = connect({ ...rest, checkServerIdentity, socket: stream, session } as ConnectionOptions);
  socket.on("session", (session) => sessions.set(key, session));
  socket.on("close", (isError) => isError && sessions.delete(key));
  // over a stream node:tls does not tell that it connects
  stream.on("connect", () => Object.assign(socket, { connecting: false }));
  for (const event of EVENTS) stream.on(event, (...args) => socket.emit(event, ...args));
  for (const name of ENDS) Object.defineProperty(socket, name, { get: () => stream[name], configurable: true });
  // what tls has in its hands is no socket of the system; and Bun's own timer for it does not fire
  return Object.assign(socket, {
    connecting: stream.connecting,
    address: () => stream.address(),
    ref: () => (stream.ref(), socket),
    unref: () => (stream.unref(), socket),
    markIdle: (evicted: () => void) => stream.markIdle(evicted),
    markInUse: () => stream.markInUse(),
    setTimeout(timeout: number, listener?: () => void) {
      Object.assign(socket, { timeout: stream.setTimeout(timeout).timeout });
      if (listener) timeout > 0 ? socket.once("timeout", listener) : socket.off("timeout", listener);
      return socket;
    },
  });
}

/** The sessions of TLS to go on with, the last ones; none without a key, since they stand for checked certificates. */
export class Sessions {
  readonly #most: number;
  readonly #kept = new Map<string | undefined, Buffer>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string | undefined): Buffer | undefined {
    return this.#kept.get(key);
  }

  set(key: string | undefined, session: Buffer): void {
    this.delete(key);
    if (key !== undefined && this.#most > 0) this.#kept.set(key, session);
    if (this.#kept.size > this.#most) this.delete(this.#kept.keys().next().value);
  }

  delete(key: string | undefined): void {
    this.#kept.delete(key);
  }
}
