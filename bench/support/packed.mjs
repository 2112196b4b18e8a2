import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root, run, runtimes } from "../../tests/support/tools.mjs";
import { peers } from "./clients.mjs";

let folder;

/** A folder with the package as npm installs it from a tarball, and with the peers; it goes with this process. */
export async function installed() {
  if (folder) return folder;
  const made = mkdtempSync(join(tmpdir(), "socks5-bench-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  const tarball = join(made, "package.tgz");
  writeFileSync(
    join(made, "package.json"),
    '{ "private": true, "type": "module" }',
  );
  await must(runtimes.deno, ["pack", "--allow-dirty", "--output", tarball]);
  await must("npm", [
    "install",
    "--offline",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    tarball,
  ], { cwd: made });
  for (const peer of peers) {
    symlinkSync(
      join(root, "bench/node_modules", peer),
      join(made, "node_modules", peer),
    );
  }
  return folder = made;
}

async function must(command, args, options) {
  const { ok, output } = await run(command, args, options);
  if (!ok) throw new Error(output.trim().split("\n").at(-1));
}
