import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root, run, runtimes as commands } from "../../tests/support/tools.mjs";
import { show } from "./figures.mjs";
import { plot } from "./plot.mjs";
import { grid, markdown, titles } from "./table.mjs";

const [begin, end] = ["<!-- bench:begin -->", "<!-- bench:end -->"];

/** On what it was measured. */
export async function machine({ runtimes, rounds }) {
  const versions = await Promise.all(runtimes.map(async (runtime) => {
    const { output } = await run(commands[runtime], ["--version"]);
    return `${titles[runtime]} ${output.match(/\d+\.\d+\.\d+/)?.[0]}`;
  }));
  const processors = cpus();
  return `${versions.join(", ")}; ${processors.length} cores of ${processors[0].model.trim()}; ` +
    `${process.platform} ${release()}; rounds: ${rounds}.`;
}

/** What a part found, as Markdown. */
export function markdownOf({ sections }) {
  return sections.map(({ title, text, table }) => `## ${title}\n\n${text}\n\n${markdown(table)}`).join("\n\n");
}

/** All figures that have a target, with the target. */
export function targetsOf(results, runtimes) {
  return tableOf(
    "figure and its target",
    results.flatMap(({ targets }) => targets),
    runtimes,
    besides,
  );
}

/** A figure beside its target, where there are both. */
function besides(figure, most, digits) {
  if (figure === undefined || most === undefined) return show(figure, digits);
  return `${show(figure, digits)} ${figure.median > most ? ">" : "≤"} ${most}`;
}

/** The figures of README.md: the medians of three of those. */
function briefOf(results, runtimes) {
  const chosen = results.flatMap(({ targets }) => targets).filter(({ brief }) => brief !== undefined);
  const rows = chosen.map((target) => ({ ...target, name: target.brief }));
  return tableOf(
    "",
    rows,
    runtimes,
    (figure, _most, digits = 2) => figure?.median.toFixed(digits) ?? "–",
  );
}

function tableOf(head, targets, runtimes, cell) {
  const rows = targets.map((target) => ({ ...target, labels: [target.name] }));
  return markdown(
    grid(
      [head],
      rows,
      runtimes,
      (runtime, { figure, most, digits }) => cell(figure(runtime), most[runtime], digits),
    ),
  );
}

/** Puts the tables between the marks of docs/benchmarks.md and README.md, and the plots beside the former. */
export async function publish(results, runtimes, where) {
  const plots = results.map((result) => result.plot).filter((wanted) => wanted !== undefined);
  for (const wanted of plots) {
    writeFileSync(join(root, "docs", wanted.file), plot(wanted, runtimes));
  }
  const images = plots.map(({ title, file }) => `![${title}](${file})`);
  fill("docs/benchmarks.md", [
    where,
    ...images,
    targetsOf(results, runtimes),
    ...results.map(markdownOf),
  ]);
  fill("README.md", [briefOf(results, runtimes)]);
  const files = [
    "README.md",
    "docs/benchmarks.md",
    ...plots.map(({ file }) => `docs/${file}`),
  ];
  const { ok, output } = await run(commands.deno, [
    "fmt",
    "--quiet",
    "--config",
    "deno.json",
    ...files,
  ]);
  if (!ok) throw new Error(output);
}

function fill(file, parts) {
  const path = join(root, file);
  const text = readFileSync(path, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new Error(
      `Cannot write the tables into ${file}: ${begin} or ${end} is missing`,
    );
  }
  writeFileSync(
    path,
    `${text.slice(0, from)}${begin}\n\n${parts.join("\n\n")}\n\n${text.slice(to)}`,
  );
}
