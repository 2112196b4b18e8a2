/** A table in Markdown, as `deno fmt` writes it. */
export function markdown([head, ...rows]) {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`;
  return [
    line(head),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map(line),
  ].join("\n");
}

export const titles = { deno: "Deno", bun: "Bun", node: "Node" };

/** A column for each runtime after the labels of the rows. */
export function grid(head, rows, runtimes, cell) {
  return [
    [...head, ...runtimes.map((runtime) => titles[runtime])],
    ...rows.map((
      row,
    ) => [...row.labels, ...runtimes.map((runtime) => cell(runtime, row))]),
  ];
}
