import { type RequestEvent, Socks5Client, type Socks5Options } from "../../mod.ts";
import { FakeTransport, type Script, socks5 } from "./fake.ts";
import { ofRequests } from "./request_events.ts";

/** What a proxy does: fails the dial, never ends it or takes so many milliseconds for it; goes off the script of a good one. */
export type Manner = { dial?: Error | "silence" | number; script?: Script };

/** Proxies on a fake transport. */
export interface Stage {
  transport: FakeTransport;
  client: Socks5Client;
  /** All that the client told. */
  events: RequestEvent[];
  /** The proxies that were dialled, in order: `"ab"`. */
  dialled(): string;
}

/** A client whose proxies `a`, `b`, ... have these manners, which may change; `null` is a good one. */
export function setUpProxies(
  manners: readonly (Manner | null)[],
  options: Socks5Options = {},
  credentials = "",
): Stage {
  const names = manners.map((_, i) => String.fromCharCode(97 + i));
  const good = socks5();
  const scripts = new WeakMap<object, Script>();
  const transport = new FakeTransport((conn, written) => scripts.get(conn)!(conn, written));
  const mannerOf = (i: number): Manner => {
    const to = transport.endpoints[i]!;
    return "hostname" in to ? manners[names.indexOf(to.hostname)] ?? {} : {};
  };
  transport.onConnect = (attempt) => {
    const { dial = 0 } = mannerOf(attempt - 1);
    if (dial === 0) return undefined;
    if (typeof dial === "object") throw dial;
    return new Promise((resolve) => dial === "silence" ? undefined : setTimeout(resolve, dial));
  };
  const connect = transport.connect.bind(transport);
  transport.connect = async (to, dialOptions) => {
    const i = transport.endpoints.length;
    const conn = await connect(to, dialOptions);
    scripts.set(conn, mannerOf(i).script ?? good);
    return conn;
  };
  const events: RequestEvent[] = [];
  const client = new Socks5Client(names.map((name) => `socks5://${credentials}${name}`), {
    transport,
    onEvent: ofRequests((event) => void events.push(event)),
    ...options,
  });
  const dialled = () => transport.endpoints.map((to) => "hostname" in to ? to.hostname : to.path).join("");
  return { transport, client, events, dialled };
}

/** The script of a good proxy up to a step, counted from 1, where it does something else. */
export function after(step: number, act: Script): Script {
  const seen = new WeakMap<object, number>();
  const good = socks5();
  return (conn, written) => {
    const n = (seen.get(conn) ?? 0) + 1;
    seen.set(conn, n);
    if (n === step) act(conn, written);
    else if (n < step) good(conn, written);
  };
}
