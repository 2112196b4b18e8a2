import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { tables } from "./support/markdown.ts";
import { test } from "./support/test.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const { publish } = JSON.parse(read("deno.json")) as { publish: { include: string[] } };
const sections = Object.values(tables(read("CONTRIBUTING.md"))).flat();

/** The files of the package. */
const files = publish.include.flatMap((path) =>
  path.includes(".") || path === "LICENSE" ? [path] : readdirSync(new URL(path, root)).map((file) => `${path}/${file}`)
).filter((path) => path.endsWith(".ts")).sort();

test("the map of CONTRIBUTING has each file of the package once", () => {
  const listed = sections.flatMap(({ File: cell }) => {
    let directory = "";
    return inCode(cell ?? "").map((name) => {
      const slash = name.lastIndexOf("/") + 1;
      if (slash > 0 || name === "mod.ts") directory = name.slice(0, slash);
      return slash > 0 ? name : directory + name;
    });
  });
  assertEquals(listed.sort(), files);
});

const CHANGE = "Change";
const mutations = sections.filter((row) => CHANGE in row);

test("CONTRIBUTING names each mutation once, in a file that there is", () => {
  const names = mutations.map((row) => row[CHANGE]!);
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
  const places = names.flatMap(inCode).filter((name) => /^[\w/]+\.ts$/.test(name));
  assertEquals(places.filter((name) => !files.some((file) => `/${file}`.endsWith(`/${name}`))), []);
});

function inCode(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
}
