// @std/assert for machines that do not reach it: the same code, as npm's deno-std carries it, with its types.
import * as std from "../../node_modules/deno-std/assert/mod.js";

type Class<T> = abstract new (...args: never[]) => T;

interface AssertThrows {
  (fn: () => unknown, msg?: string): unknown;
  <E extends Error = Error>(fn: () => unknown, ErrorClass: Class<E>, msgIncludes?: string, msg?: string): E;
}

interface AssertRejects {
  (fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
  <E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    ErrorClass: Class<E>,
    msgIncludes?: string,
    msg?: string,
  ): Promise<E>;
}

type Falsy = false | 0 | 0n | "" | null | undefined;
type Compare = <T>(actual: T, expected: T, msg?: string) => void;

export const AssertionError: new (message: string, options?: ErrorOptions) => Error = std.AssertionError;
export const assert: (expr: unknown, msg?: string) => asserts expr = std.assert;
export const assertAlmostEquals: (actual: number, expected: number, tolerance?: number, msg?: string) => void =
  std.assertAlmostEquals;
export const assertArrayIncludes: <T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string) => void =
  std.assertArrayIncludes;
export const assertEquals: Compare = std.assertEquals;
export const assertExists: <T>(actual: T, msg?: string) => asserts actual is NonNullable<T> = std.assertExists;
export const assertFalse: (expr: unknown, msg?: string) => asserts expr is Falsy = std.assertFalse;
export const assertGreater: Compare = std.assertGreater;
export const assertGreaterOrEqual: Compare = std.assertGreaterOrEqual;
export const assertInstanceOf: <C extends Class<unknown>>(
  actual: unknown,
  expectedType: C,
  msg?: string,
) => asserts actual is InstanceType<C> = std.assertInstanceOf;
export const assertIsError: <E extends Error = Error>(
  error: unknown,
  ErrorClass?: Class<E>,
  msgMatches?: string | RegExp,
  msg?: string,
) => asserts error is E = std.assertIsError;
export const assertLess: Compare = std.assertLess;
export const assertLessOrEqual: Compare = std.assertLessOrEqual;
export const assertMatch: (actual: string, expected: RegExp, msg?: string) => void = std.assertMatch;
export const assertNotEquals: Compare = std.assertNotEquals;
export const assertNotInstanceOf: <A, T>(
  actual: A,
  unexpectedType: Class<T>,
  msg?: string,
) => asserts actual is Exclude<A, T> = std.assertNotInstanceOf;
export const assertNotMatch: (actual: string, expected: RegExp, msg?: string) => void = std.assertNotMatch;
export const assertNotStrictEquals: Compare = std.assertNotStrictEquals;
export const assertObjectMatch: (actual: object, expected: Record<PropertyKey, unknown>, msg?: string) => void =
  std.assertObjectMatch;
export const assertRejects: AssertRejects = std.assertRejects;
export const assertStrictEquals: <T>(actual: unknown, expected: T, msg?: string) => asserts actual is T =
  std.assertStrictEquals;
export const assertStringIncludes: (actual: string, expected: string, msg?: string) => void = std.assertStringIncludes;
export const assertThrows: AssertThrows = std.assertThrows;
export const equal: (a: unknown, b: unknown) => boolean = std.equal;
export const fail: (msg?: string) => never = std.fail;
export const unimplemented: (msg?: string) => never = std.unimplemented;
export const unreachable: (reason?: string) => never = std.unreachable;
