import { type FakeConn, FakeTransport, type Script } from "./fake.ts";

/** A message of the handshake. */
export type Message = "greeting" | "password" | "request";

/** What a {@linkcode stream} does; whatever is left out stays right. */
export interface StreamOptions {
  /** Answers a message in its own way: `false` leaves it to the right answer. */
  answer?: (message: Message, conn: FakeConn, bytes: readonly number[]) => boolean | void;
  /** What the target does with bytes that come behind the handshake. */
  target?: Script;
}

/** Fake proxies by their host names. */
export interface FakeProxies {
  readonly transport: FakeTransport;
  /** What each proxy does, or the error of a dial to it; may be changed. */
  readonly scripts: Record<string, Script | Error>;
  /** Each dial: where to, and when on the clock of `performance.now()`. */
  readonly dials: { readonly to: string; readonly at: number }[];
  /** How many connections to that proxy are open. */
  open(name: string): number;
  /** When the connection was opened. */
  openedAt(conn: FakeConn): number;
}

/** Proxies that do what `scripts` say. */
export function fakeProxies(scripts: Record<string, Script | Error> = { a: stream() }): FakeProxies {
  const lives = new Map<FakeConn, { name: string; script: Script; openedAt: number }>();
  const transport = new FakeTransport((conn, written) => lives.get(conn)!.script(conn, written));
  const connect = transport.connect.bind(transport);
  const dials: FakeProxies["dials"] = [];
  transport.connect = async (to, options) => {
    const name = "hostname" in to ? to.hostname : to.path;
    const script = scripts[name]!;
    dials.push({ to: name, at: performance.now() });
    const conn = await connect(to, options);
    if (script instanceof Error) throw (conn.close(), script);
    lives.set(conn, { name, script, openedAt: performance.now() });
    return conn;
  };
  return {
    transport,
    scripts,
    dials,
    open: (name) => transport.conns.filter((conn) => !conn.closed && lives.get(conn)?.name === name).length,
    openedAt: (conn) => lives.get(conn)!.openedAt,
  };
}

const ANSWERS: Record<Message, number[]> = {
  greeting: [5, 0],
  password: [1, 0],
  request: [5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
};

/**
 * A proxy that takes everything, as `socks5()`, and reads a stream: of messages that come together each is answered in
 * turn, and what comes behind the request is the target's.
 */
export function stream({ answer = () => false, target = () => {} }: StreamOptions = {}): Script {
  const lines = new WeakMap<FakeConn, { next: Message | "open"; rest: number[] }>();
  return (conn, written) => {
    const line = lines.get(conn) ?? { next: "greeting", rest: [] };
    lines.set(conn, line);
    line.rest.push(...written);
    for (let length = 0; line.next !== "open" && (length = lengthOf(line.next, line.rest)) > 0;) {
      const message = line.next;
      const bytes = line.rest.splice(0, length);
      const wantsPassword = message === "greeting" && bytes.includes(2, 2);
      line.next = message === "request" ? "open" : wantsPassword ? "password" : "request";
      if (answer(message, conn, bytes) === true) continue;
      conn.push(...(wantsPassword ? [5, 2] : ANSWERS[message]));
    }
    if (line.next === "open" && line.rest.length > 0) target(conn, Uint8Array.from(line.rest.splice(0)));
  };
}

/** How long the message at the start of `bytes` is; 0 while it is not whole. */
function lengthOf(message: Message, bytes: readonly number[]): number {
  const length = message === "greeting"
    ? 2 + (bytes[1] ?? 0)
    : message === "password"
    ? 3 + (bytes[1] ?? 0) + (bytes[2 + (bytes[1] ?? 0)] ?? 0)
    : 6 + (bytes[3] === 1 ? 4 : bytes[3] === 4 ? 16 : 1 + (bytes[4] ?? 0));
  return bytes.length > 2 && bytes.length >= length ? length : 0;
}
