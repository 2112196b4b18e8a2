import { assertEquals } from "@std/assert";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../../cli/help.ts";
import { esbuild, missing, rollup, ROOT, run } from "../support/bundlers.ts";
import { PROGRAM } from "../support/cli.ts";
import { test } from "../support/test.ts";

/** What each makes of a program in a directory: one module. */
const bundlers: Record<string, (entry: string, file: string) => [command: string, ...args: string[]]> = {
  esbuild: (
    entry,
    file,
  ) => [esbuild, "--bundle", "--log-level=error", "--format=esm", "--platform=node", `--outfile=${file}`, entry],
  rollup: (entry, file) => [rollup, "--silent", "--format=es", "--inlineDynamicImports", `--file=${file}`, entry],
};

for (const [name, bundle] of Object.entries(bundlers)) {
  test(`main(), imported and bundled into one module by ${name}, does not start the command line`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "socks5-"));
    try {
      // without types, as it is published, under the names that the imports say
      const code = ["mod.ts", ...["adapters", "admin", "cli", "env", "metrics", "serve", "src"].flatMap(list)].map((
        file,
      ) => ROOT + file);
      const flags = [`--outbase=${ROOT}`, `--outdir=${directory}`, "--out-extension:.js=.ts", "--log-level=error"];
      await run([esbuild, ...code, ...flags]);
      const [entry, file] = [join(directory, "entry.mjs"), join(directory, "bundle.mjs")];
      writeFileSync(entry, 'import { main } from "./cli/mod.ts";\nconsole.log(await main(["--version"]));\n');
      await run(bundle(entry, file));
      const [runtime, ...permissions] = PROGRAM.slice(0, -1);
      assertEquals(await run([runtime!, ...permissions, file, "--help"]), `socks5 ${VERSION}\n0\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }, { skip: missing });
}

function list(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts")
  ).map((file) => `${directory}/${file}`);
}
