import { cannot } from "../src/errors.ts";
import { Connections, type UndiciConnectCallback, type UndiciConnectOptions } from "./connector.ts";
import type { Connects, FetchTls, Way } from "./way.ts";

/** Node's fetch, over a dispatcher of the class that Node itself uses. */
export function nodeWay(connects: Connects, tls: FetchTls): Way {
  const native = globalThis.fetch as UndiciFetch | undefined;
  const Agent = agentFor(native);
  const connections = new Connections(connects, tls);
  let signal: AbortSignal | undefined; // of the request that is dispatched at the moment
  const agent = new Agent({ ...ALONE, connect: (options, callback) => connections.open(options, callback, signal) });
  return {
    send(request) {
      const dispatch = (...args: unknown[]) => {
        signal = request.signal; // a connection is opened within dispatch(), for the request that needs it
        try {
          return agent.dispatch(...args);
        } finally {
          signal = undefined;
        }
      };
      return native!(request, { dispatcher: { dispatch } });
    },
    async close(reason) {
      await Promise.all([agent.destroy(reason), connections.close(reason)]);
    },
  };
}

// what of undici is used: its versions differ in all the rest
interface Dispatcher {
  dispatch(...args: unknown[]): boolean;
  destroy(reason: Error): Promise<void>;
}
type Connect = (options: UndiciConnectOptions, callback: UndiciConnectCallback) => void;
type AgentClass = new (options: { connect: Connect }) => Dispatcher;
type UndiciFetch = (input: string | Request, init: RequestInit & { dispatcher: unknown }) => Promise<Response>;

// for an EnvHttpProxyAgent, which Node has with NODE_USE_ENV_PROXY: no proxy but ours
const ALONE = { httpProxy: "", httpsProxy: "", noProxy: "*" };

/** The class of the dispatcher that this fetch works with. It is found where undici keeps the global one. */
function agentFor(native: UndiciFetch | undefined): AgentClass {
  void globalThis.Headers; // loads undici
  const symbols = Object.getOwnPropertySymbols(globalThis).filter(({ description = "" }) =>
    /^undici\.globalDispatcher\.\d+$/.test(description)
  );
  const found = symbols.map((symbol) => (globalThis as Record<symbol, unknown>)[symbol]?.constructor as AgentClass);
  const fits = found.find((it) => /^(Agent|EnvHttpProxyAgent)$/.test(it?.name) && heedsUs(native, it));
  if (fits !== undefined) return fits;
  const names = found.map((it) => it?.name).join(", ") || "none";
  throw new TypeError(
    cannot("fetch", "Node's own with its Agent as global dispatcher (create this one before replacing either)", names),
  );
}

/** Whether the fetch connects by means of such an agent, for which it has to ask before it returns. */
function heedsUs(native: UndiciFetch | undefined, Agent: AgentClass): boolean {
  const asked = new Set<string>();
  const refused = new Error("This was a test");
  const test = new AbortController();
  try {
    const agent = new Agent({
      ...ALONE,
      connect({ protocol }, callback) {
        asked.add(protocol);
        queueMicrotask(() => callback(refused, null));
      },
    });
    for (const url of ["http://test.invalid", "https://test.invalid"]) {
      native?.(url, { dispatcher: agent, signal: test.signal }).catch(() => {});
    }
    agent.destroy(refused).catch(() => {});
  } catch {
    return false; // a class that wants something else
  } finally {
    test.abort(); // whatever goes another way has not begun
  }
  return asked.size === 2;
}
