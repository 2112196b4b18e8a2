import { assert, assertEquals } from "@std/assert";
import { mutations, staleness } from "../mutations/all.mjs";
import { test } from "../support/test.ts";

const root = new URL("../../", import.meta.url);

test("each mutation can be applied: its text is in its file once, and its test has that name", () => {
  const stale: string[] = mutations.flatMap((mutation: unknown) => staleness(mutation, root) ?? []);
  assert(stale.length === 0, stale.join("\n\n"));
});

test("no two mutations break the same promise", () => {
  const promises: string[] = mutations.map(({ promise }: { promise: string }) => promise);
  assertEquals(promises.filter((promise, i) => promises.indexOf(promise) !== i), []);
});
