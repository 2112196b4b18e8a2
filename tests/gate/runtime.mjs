import process from "node:process";

/** The runtime that this is, with its version, as its `--version` has it. */
export function runtime() {
  const { bun, deno, node } = process.versions;
  return deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
}
