// What the suite uses of @std/testing/mock, for machines that do not reach it.
import { assert, assertEquals, assertIsError } from "./assert.ts";

type Func<Self, Args extends unknown[], Return> = (this: Self, ...args: Args) => Return;
type ArgsOf<F> = F extends (...args: infer Args) => unknown ? Args : unknown[];
type ReturnOf<F> = F extends (...args: never[]) => infer Return ? Return : unknown;

/** One call of a spy. */
export interface SpyCall<Self = unknown, Args extends unknown[] = unknown[], Return = unknown> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: Self;
}

/** A function that records its calls. */
export interface Spy<Self = unknown, Args extends unknown[] = unknown[], Return = unknown> {
  (this: Self, ...args: Args): Return;
  original: Func<Self, Args, Return>;
  calls: SpyCall<Self, Args, Return>[];
  restored: boolean;
  restore(): void;
}

/** A method that records its calls until it is restored. */
export interface MethodSpy<Self = unknown, Args extends unknown[] = unknown[], Return = unknown>
  extends Spy<Self, Args, Return>, Disposable {}

/** A method replaced by another one that records its calls. */
export interface Stub<Self = unknown, Args extends unknown[] = unknown[], Return = unknown>
  extends MethodSpy<Self, Args, Return> {
  fake: Func<Self, Args, Return>;
}

/** What `assertSpyCall` looks at. */
export interface ExpectedSpyCall<Self = unknown, Args extends unknown[] = unknown[], Return = unknown> {
  args?: [...Args, ...unknown[]];
  self?: Self;
  returned?: Return;
  error?: { Class?: new (...args: never[]) => Error; msgIncludes?: string };
}

/** A spy or a stub was used wrongly. */
export class MockError extends Error {
  override name = "MockError";
}

/** A function that records its calls, around another one, a method or nothing. */
export function spy(): Spy<unknown, unknown[], undefined>;
export function spy<Self, Args extends unknown[], Return>(func: Func<Self, Args, Return>): Spy<Self, Args, Return>;
export function spy<Self extends object, Key extends keyof Self>(
  self: Self,
  property: Key,
): MethodSpy<Self, ArgsOf<Self[Key]>, ReturnOf<Self[Key]>>;
export function spy(target: object = () => undefined, property?: PropertyKey): Spy {
  if (property !== undefined) return replace(target, property);
  const func = target as Func<unknown, unknown[], unknown>;
  const restore = () => {
    throw new MockError("Cannot restore: function cannot be restored");
  };
  return Object.assign(recording(func), { original: func, restored: false, restore });
}

/** Replaces a method, by one that does nothing unless `func` is given. */
export function stub<Self extends object, Key extends keyof Self>(
  self: Self,
  property: Key,
  func?: (this: Self, ...args: ArgsOf<Self[Key]>) => ReturnOf<Self[Key]>,
): Stub<Self, ArgsOf<Self[Key]>, ReturnOf<Self[Key]>>;
export function stub(self: object, property: PropertyKey, func: unknown = () => undefined): MethodSpy {
  return replace(self, property, func as Func<unknown, unknown[], unknown>);
}

/** Fails unless the spy was called that often. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  assertEquals(spy.calls.length, expectedCalls, "spy calls");
}

/** Fails unless the call was made, and made as expected. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: ExpectedSpyCall<Self, Args, Return> = {},
): void {
  const call = callOf(spy, callIndex);
  if (expected.args) assertEquals<unknown[]>(call.args, expected.args);
  if ("self" in expected) assertEquals(call.self, expected.self);
  if ("returned" in expected) {
    assert(!call.error, "Spy call threw an error");
    assertEquals(call.returned, expected.returned);
  }
  if (expected.error) assertIsError(call.error, expected.error.Class, expected.error.msgIncludes);
}

/** Fails unless an argument of the call is the expected one. */
export function assertSpyCallArg<Self, Args extends unknown[], Return, Expected>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  argIndex: number,
  expected: Expected,
): Expected {
  assertEquals(callOf(spy, callIndex).args[argIndex], expected);
  return expected;
}

/** Fails unless the arguments of the call are the expected ones. */
export function assertSpyCallArgs<Self, Args extends unknown[], Return, Expected extends unknown[]>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: Expected,
): Expected {
  assertEquals<unknown[]>(callOf(spy, callIndex).args, expected);
  return expected;
}

/** A function that returns one of its arguments. */
export function returnsArg<Arg>(index: number): (...args: Arg[]) => Arg | undefined {
  return (...args) => args[index];
}

/** A function that returns or throws the values one after another. */
export function returnsNext<Return>(values: Iterable<Return | Error>): () => Return {
  const left = values[Symbol.iterator]();
  return () => value(left.next());
}

/** A function that resolves or rejects with the values one after another. */
export function resolvesNext<Return>(
  values: Iterable<Return | Error | Promise<Return | Error>> | AsyncIterable<Return | Error>,
): () => Promise<Return> {
  const left = (async function* () {
    yield* values;
  })();
  return async () => value(await left.next());
}

function value<Return>(next: IteratorResult<Return | Error, unknown>): Return {
  if (next.done) throw new MockError("Not expected to be called once more");
  if (next.value instanceof Error) throw next.value;
  return next.value;
}

function callOf<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  index: number,
): SpyCall<Self, Args, Return> {
  const call = spy.calls[index];
  assert(call, `Spy not called as much as expected: call ${index} is missing`);
  return call;
}

function replace(self: object, property: PropertyKey, fake?: Func<unknown, unknown[], unknown>): MethodSpy {
  const original = Reflect.get(self, property);
  if (typeof original !== "function" && !(fake && original === undefined)) {
    throw new MockError("Cannot spy: property is not an instance method");
  }
  if (original && "calls" in original) throw new MockError("Cannot spy: already spying on instance method");
  const descriptor = Object.getOwnPropertyDescriptor(self, property);
  const recorder = recording(fake ?? original);
  const restore = () => {
    if (mock.restored) throw new MockError("Cannot restore: instance method already restored");
    mock.restored = true;
    if (descriptor) Object.defineProperty(self, property, descriptor);
    else Reflect.deleteProperty(self, property);
  };
  const mock = Object.assign(recorder, {
    original,
    fake,
    restored: false,
    restore,
    [Symbol.dispose]: restore,
  });
  const { enumerable = false, writable = false } = descriptor ?? {};
  Object.defineProperty(self, property, { configurable: true, enumerable, writable, value: mock });
  return mock;
}

function recording(func: Func<unknown, unknown[], unknown>): Func<unknown, unknown[], unknown> & Pick<Spy, "calls"> {
  const calls: SpyCall[] = [];
  return Object.assign(function (this: unknown, ...args: unknown[]): unknown {
    const call: SpyCall = this === undefined ? { args } : { args, self: this };
    try {
      return call.returned = func.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    } finally {
      calls.push(call);
    }
  }, { calls });
}
