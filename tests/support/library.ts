/** A library that the integrations are tried with, or why it cannot be. */
export type Library = { missing: string | false; it: Imported };

/** What a library exports; the tests use each in its own way. */
// deno-lint-ignore no-explicit-any
export type Imported = any;

/** Imports a library of the development dependencies, which are in npm's own place or in Deno's. */
export async function library(name: string): Promise<Library> {
  try {
    const all = await import(name) as Record<string, unknown>;
    return { missing: false, it: all };
  } catch (error) {
    return {
      missing: `${name} is not installed (${(error as { code?: string }).code ?? "npm install"})`,
      it: undefined,
    };
  }
}
