/** A fenced block of code: the words after the fence, the line it begins in, the code. */
export type Block = { info: string[]; line: number; code: string };

/** The fenced blocks of a text. */
export function blocks(markdown: string): Block[] {
  const found: Block[] = [];
  let open: { fence: string; block: Block; indent: RegExp } | undefined;
  markdown.split("\n").forEach((line, index) => {
    const [, indent = "", fence, info = ""] = line.match(/^( *)(`{3,})([^`]*)$/) ?? [];
    if (open && fence?.startsWith(open.fence) && info.trim() === "") {
      found.push(open.block);
      open = undefined;
    } else if (open) {
      open.block.code += line.replace(open.indent, "") + "\n";
    } else if (fence) {
      const block = { info: info.trim().split(/[\s,]+/), line: index + 1, code: "" };
      open = { fence, block, indent: new RegExp(`^ {0,${indent.length}}`) };
    }
  });
  if (open) throw new SyntaxError(`The fence of line ${open.block.line} is not closed`);
  return found;
}

/** What the doc comments of a TypeScript source say, each line where it was. */
export function docComments(source: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, "");
  let text = "";
  let end = 0;
  for (const { 0: comment, index } of source.matchAll(/\/\*\*[^]*?\*\//g)) {
    text += blank(source.slice(end, index)) + comment.replace(/^ *\/\*\*|\*\/$/g, "").replace(/^ *\* ?/gm, "");
    end = index + comment.length;
  }
  return text;
}

/** The rows of the tables under each heading, by the text of the column's head. */
export function tables(markdown: string): Record<string, Record<string, string>[]> {
  const found: Record<string, Record<string, string>[]> = {};
  let heading = "";
  let columns: string[] | undefined;
  for (const line of markdown.split("\n")) {
    heading = line.match(/^#+ +(.*?) *#*$/)?.[1] ?? heading;
    if (!line.trim().startsWith("|")) {
      columns = undefined;
      continue;
    }
    const cells = line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) =>
      cell.trim().replaceAll("\\|", "|")
    );
    if (!columns) columns = cells;
    else if (!cells.every((cell) => /^:?-+:?$/.test(cell))) {
      (found[heading] ??= []).push(Object.fromEntries(columns.map((column, i) => [column, cells[i] ?? ""])));
    }
  }
  return found;
}
