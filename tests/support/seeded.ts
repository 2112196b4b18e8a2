import { env } from "node:process";
import { random } from "./random.ts";
import { test } from "./test.ts";

/** What follows from a seed. */
export interface Chance {
  /** From 0 up to but not including `below`. */
  below(below: number): number;
  pick<T>(from: readonly T[]): T;
  bytes(length: number): Uint8Array;
}

/** Registers a test of drawn scenes; its failure says the seed, with which `SOCKS5_TEST_SEED` draws the same again. */
export function seeded(name: string, run: (chance: Chance) => Promise<void>): void {
  test(name, async () => {
    const seed = Number(env.SOCKS5_TEST_SEED ?? Date.now() % 1_000_000);
    const next = random(seed);
    const below = (below: number) => Math.floor(next() * below);
    const pick = <T>(from: readonly T[]) => from[below(from.length)]!;
    const bytes = (length: number) => Uint8Array.from({ length }, () => below(256));
    try {
      await run({ below, pick, bytes });
    } catch (error) {
      throw new Error(`SOCKS5_TEST_SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  });
}
