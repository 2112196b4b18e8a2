import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  firstUpTo,
  type Fold,
  indexAtShare,
  MIN,
  NumberTree,
  Remainder,
  SUM,
  type Tree,
} from "../../src/proxies/number_tree.ts";
import { type Chance, seeded } from "../support/seeded.ts";
import { test } from "../support/test.ts";

const folds: [name: string, fold: Fold, numbers: readonly number[]][] = [
  ["minima", MIN, [1, 2, 3, 7.5, Infinity]],
  ["sums", SUM, [0, 0, 1, 0.1, 3, 1_000]],
];

for (const [name, fold, numbers] of folds) {
  seeded(
    `a tree of ${name}, what is left of it and what is left of that are as if all were gone through`,
    async (chance) => {
      for (let scene = 0; scene < 150; scene++) play(chance, fold, numbers);
      await Promise.resolve();
    },
  );
}

/** A tree, with numbers taken out of it, and more taken out of what is left. */
function play(chance: Chance, fold: Fold, numbers: readonly number[]): void {
  const length = 1 + chance.below(chance.pick([1, 4, 40]));
  const row = Array.from({ length }, () => chance.pick(numbers));
  const tree = new NumberTree(row, fold);
  const out = [new Set([chance.below(length)]), new Set([chance.below(length)])] as const;
  const inner = new Remainder(tree, out[0]);
  const outer = new Remainder(inner, out[1]);
  for (let step = 0; step < 60; step++) {
    const index = chance.below(length);
    const which = chance.below(4);
    if (which < 2) tree.set(index, row[index] = chance.pick(numbers));
    else {
      const [rest, taken] = which === 2 ? [inner, out[0]] : [outer, out[1]];
      if (taken.delete(index)) rest.put(index);
      else taken.add(index), rest.take(index);
      assertEquals(rest.isTaken(index), taken.has(index));
    }
    if (chance.below(3) === 0) continue; // several changes at a time
    assertIs(tree, row, fold, chance);
    assertIs(inner, row.map((number, i) => out[0].has(i) ? fold.none : number), fold, chance);
    assertIs(outer, row.map((number, i) => out[0].has(i) || out[1].has(i) ? fold.none : number), fold, chance);
  }
}

function assertIs(tree: Tree, row: readonly number[], fold: Fold, chance: Chance): void {
  const whole = row.reduce((a, b) => fold.of(a, b), fold.none);
  if (fold === SUM) {
    assertAlmostEquals(tree.at(1), whole);
    const share = chance.below(1_000) / 1_000;
    const index = indexAtShare(share, tree);
    if (whole === 0) return assertEquals(index, undefined);
    assert(row[index!]! > 0, `share ${share} of ${row} is at ${index}`);
    const before = row.slice(0, index).reduce((a, b) => a + b, 0);
    assert(
      before / whole < share + 1e-9 && (before + row[index!]!) / whole > share - 1e-9,
      `${share} of ${row}: ${index}`,
    );
  } else {
    assertEquals(tree.at(1), whole);
    const most = chance.pick([0, 1, 2.5, Infinity]);
    const found = firstUpTo(most, tree);
    const first = row.findIndex((number) => number <= most);
    // a row that is no power of two ends with numbers that are not there
    if (most < Infinity) assertEquals(found ?? -1, first);
  }
}

test("a share of the sum is found as often as it is large, and a number without a share never", () => {
  const row = [0, 1, 0, 3, 0.5, 0, 5.5, 0];
  const tree = new NumberTree(row, SUM);
  const found = row.map(() => 0);
  for (let i = 0; i < 10_000; i++) found[indexAtShare(i / 10_000, tree)!]!++;
  assertEquals(found, row.map((share) => share * 1_000));
});

test("the highest share there is lies in the last number that has one, whatever is rounded", () => {
  const share = 1 - 2 ** -53;
  for (const row of [[0.1, 0.2, 0.3, 0], [1e-9, 1_000, 0], Array.from({ length: 1_000 }, () => 0.1).concat(0, 0)]) {
    assertEquals(indexAtShare(share, new NumberTree(row, SUM)), row.findLastIndex((number) => number > 0));
    assertEquals(indexAtShare(0, new NumberTree([0, ...row], SUM)), 1);
  }
});

test("a tree of one number is that number", () => {
  const tree = new NumberTree([2], MIN);
  assertEquals([tree.at(1), tree.get(0), firstUpTo(2, tree), firstUpTo(1, tree)], [2, 2, 0, undefined]);
  const rest = new Remainder(tree, [0]);
  assertEquals([rest.at(1), firstUpTo(2, rest)], [Infinity, undefined]);
  rest.put(0);
  tree.set(0, 3);
  assertEquals([rest.at(1), firstUpTo(3, rest)], [3, 0]);
  assertEquals(indexAtShare(0.9, new NumberTree([0.5], SUM)), 0);
});
