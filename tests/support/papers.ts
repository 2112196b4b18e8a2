import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { type Block, blocks, tables } from "./markdown.ts";

const root = new URL("../../", import.meta.url);

/** A page for readers: README.md, one of docs/, or another at the top of the tree. */
export type Paper = { file: string; text: string };

/** All pages, found by listing the directories. */
export const papers: Paper[] = ["", "docs/"].flatMap((directory) =>
  readdirSync(new URL(`./${directory}`, root)).filter((file) => file.endsWith(".md")).sort()
    .map((file) => ({ file: directory + file, text: read(directory + file) }))
);

/** The pages with examples: README.md and those of docs/. */
export const guides: Paper[] = papers.filter(({ file }) => file === "README.md" || file.startsWith("docs/"));

/** The tables of a page, by the heading above them. */
export function tablesOf(file: string): ReturnType<typeof tables> {
  return tables(read(file));
}

/** The one example of a name, which stands after `ignore` in the line of its fence, since a test of its own runs it. */
export function recipe(name: string): Block {
  const found = guides.flatMap(({ text }) => blocks(text)).filter((block) => nameOf(block) === name);
  if (found.length !== 1) throw new Error(`${found.length} examples in README.md and docs/ are called ${name}`);
  return found[0]!;
}

/** What an example is called that a test of its own runs. */
export function nameOf({ info }: Block): string | undefined {
  const at = info.indexOf("ignore");
  return at < 0 ? undefined : info[at + 1];
}

/** Relative links of the pages that lead nowhere, to a file or to a heading. */
export function brokenLinks(pages: Paper[]): string[] {
  return pages.flatMap(({ file, text }) =>
    linksOf(text).filter((link) => !/^[a-z]+:/.test(link)).filter((link) => {
      const [path = "", anchor] = link.split("#");
      const to = path === "" ? file : posix.join(posix.dirname(file), path);
      if (!existsSync(new URL(to, root))) return true;
      return anchor !== undefined && !anchorsOf(pages.find(({ file }) => file === to)?.text ?? read(to)).has(anchor);
    }).map((link) => `${file}: ${link}`)
  );
}

/** Where the links and images of a page lead to. */
export function linksOf(text: string): string[] {
  return Array.from(prose(text).matchAll(/\]\(([^()\s]+)\)/g), ([, link]) => link!);
}

/** What `#` may lead to: each heading as GitHub writes it, a second one of the same words with a number. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of prose(text).matchAll(/^#+ +(.*?) *$/gm)) {
    const words = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** A page without its code. */
function prose(text: string): string {
  return text.replace(/^( *)(`{3,})[^`\n]*\n[^]*?^ *\2 *$/gm, "").replace(
    /`[^`\n]*`/g,
    (code) => code.replace(/[[\]()]/g, ""),
  );
}

function read(file: string): string {
  return readFileSync(new URL(file, root), "utf8");
}
