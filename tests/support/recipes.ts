import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { recipe } from "./papers.ts";

const root = new URL("../../", import.meta.url);
const { name, exports } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));

/** Runs the example of a name from README.md or docs/, with other texts in place of some, and gives what it logs. */
export function runRecipe(name: string, texts: Record<string, string>): Promise<string[]> {
  return runExample(recipeCode(name, texts));
}

/** The code of the example of a name, with other texts in place of some. */
export function recipeCode(name: string, texts: Record<string, string>): string {
  let { code } = recipe(name);
  for (const [text, other] of Object.entries(texts)) {
    if (!code.includes(text)) throw new Error(`The example ${name} has no ${text}`);
    code = code.replaceAll(text, () => other);
  }
  return code;
}

/** Runs an example as a module of its own, and gives what it logs. */
export function runExample(code: string): Promise<string[]> {
  return withExample(code, async (file) => {
    const { log } = console;
    const said: string[] = [];
    console.log = (...args) => said.push(args.join(" "));
    try {
      await import(pathToFileURL(file).href);
      return said;
    } finally {
      console.log = log;
    }
  });
}

/** Runs `use` with an example as a file, which must lie in the tree for its imports to be found, and in no folder that tests list. */
export async function withExample<T>(code: string, use: (file: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(fileURLToPath(new URL(".docs-", root)));
  try {
    const file = `${directory}/example.ts`;
    writeFileSync(file, withOwnImports(code));
    return await use(file);
  } finally {
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
