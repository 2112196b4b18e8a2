import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { blocks } from "./markdown.ts";

const root = new URL("../../", import.meta.url);
const { name, exports } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));

/**
 * Runs the recipe of the README that uses a library, with other texts in place of some, and gives what it logs.
 */
export function runRecipe(library: string, texts: Record<string, string>): Promise<string[]> {
  return runRecipeWith(`from "${library}"`, texts);
}

/** The same for the recipe that has `part` in it. */
export async function runRecipeWith(part: string, texts: Record<string, string>): Promise<string[]> {
  const readme = blocks(readFileSync(new URL("README.md", root), "utf8"));
  const found = readme.filter(({ info, code }) => ["ts", "js"].includes(info[0]!) && code.includes(part));
  if (found.length !== 1) throw new Error(`${found.length} recipes in the README have ${part}`);
  let { code } = found[0]!;
  for (const [text, other] of Object.entries(texts)) {
    if (!code.includes(text)) throw new Error(`The recipe with ${part} has no ${text}`);
    code = code.replaceAll(text, () => other);
  }
  return await runExample(code);
}

/** Runs an example as a module of its own, which must lie in the tree for its imports to be found; gives what it logs. */
export async function runExample(code: string): Promise<string[]> {
  const directory = mkdtempSync(fileURLToPath(new URL("tests/.docs-", root)));
  const { log } = console;
  const said: string[] = [];
  console.log = (...args) => said.push(args.join(" "));
  try {
    const file = `${directory}/example.ts`;
    writeFileSync(file, withOwnImports(code));
    await import(pathToFileURL(file).href);
    return said;
  } finally {
    console.log = log;
    rmSync(directory, { recursive: true });
  }
}

/** Lets the published name of the package lead to this tree. */
function withOwnImports(code: string): string {
  const specifier = new RegExp(`(["'])(?:jsr:)?${name}(?:@[^/"']+)?(/[^"']+)?\\1`, "g");
  return code.replace(specifier, (_match, _quote, path: string = "") => {
    const entry = exports[`.${path}`];
    if (entry === undefined) throw new TypeError(`Cannot run the example: ${name}${path} is not exported`);
    return JSON.stringify(new URL(entry, root).href);
  });
}
