import { assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "../cli/help.ts";
import { PROGRAM } from "./support/cli.ts";
import { test } from "./support/test.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const [esbuild, rollup] = ["esbuild", "rollup"].map((name) => join(ROOT, "node_modules/.bin", name));
const skip = !existsSync(esbuild!) || !existsSync(rollup!) ? "esbuild and rollup are not installed" : false;

/** What each makes of a program in a directory: one module. */
const bundlers: Record<string, (entry: string, file: string) => [command: string, ...args: string[]]> = {
  esbuild: (
    entry,
    file,
  ) => [esbuild!, "--bundle", "--log-level=error", "--format=esm", "--platform=node", `--outfile=${file}`, entry],
  rollup: (entry, file) => [rollup!, "--silent", "--format=es", "--inlineDynamicImports", `--file=${file}`, entry],
};

for (const [name, bundle] of Object.entries(bundlers)) {
  test(`main(), imported and bundled into one module by ${name}, does not start the command line`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "socks5-"));
    try {
      // without types, as it is published, under the names that the imports say
      const code = ["mod.ts", ...["adapters", "cli", "env", "front", "src"].flatMap(list)].map((file) => ROOT + file);
      await run(
        esbuild!,
        ...code,
        `--outbase=${ROOT}`,
        `--outdir=${directory}`,
        "--out-extension:.js=.ts",
        "--log-level=error",
      );
      const [entry, file] = [join(directory, "entry.mjs"), join(directory, "bundle.mjs")];
      writeFileSync(entry, 'import { main } from "./cli/mod.ts";\nconsole.log(await main(["--version"]));\n');
      await run(...bundle(entry, file));
      const [runtime, ...flags] = PROGRAM.slice(0, -1);
      assertEquals(await run(runtime!, ...flags, file, "--help"), `socks5 ${VERSION}\n0\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }, { skip });
}

/** What a command writes. */
async function run(command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  const [code] = await once(child, "close");
  assertEquals(code, 0, command);
  return output;
}

function list(directory: string): string[] {
  return readdirSync(join(ROOT, directory)).filter((file) => file.endsWith(".ts")).map((file) =>
    `${directory}/${file}`
  );
}
