/** A gate that a test opens. */
export interface TestGate {
  /** Resolves when the gate is open: the `for` of a fault `wait`. */
  readonly pass: () => Promise<void>;
  /** Resolves at the first call of `pass()`. */
  readonly reached: Promise<void>;
  /** Opens the gate, for ever. */
  readonly open: () => void;
}

/**
 * Makes a closed gate, which holds a proxy at a step until the test opens it: a test needs no sleep.
 *
 * @example A connect that is given up while it waits for the reply
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { createGate, createTestProxy } from "jsr:@x/socks5/testing";
 *
 * const gate = createGate();
 * const proxy = await createTestProxy({ faults: { fault: "wait", at: "request", for: gate.pass } });
 * const given = new AbortController();
 * const conn = new Socks5Client(proxy.url).connect("127.0.0.1:80", { signal: given.signal });
 * gate.reached.then(() => given.abort(new RangeError("enough")));
 * await assertRejects(() => conn, RangeError, "enough");
 * await proxy.until(() => proxy.open === 0);
 * assertEquals(proxy.connections[0]?.endedBy, "client");
 * await proxy.close();
 * ```
 */
export function createGate(): TestGate {
  let open = () => {};
  let arrive = () => {};
  const opened = new Promise<void>((resolve) => open = resolve);
  const reached = new Promise<void>((resolve) => arrive = resolve);
  return { pass: () => (arrive(), opened), reached, open };
}
