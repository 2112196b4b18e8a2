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
  return sections.map(({ title, text, table }) => `### ${title}\n\n${text}\n\n${markdown(table)}`).join("\n\n");
}

/** All figures that have a target, with the target. */
export function targetsOf(results, runtimes) {
  const rows = results.flatMap(({ targets }) => targets).map((target) => ({ ...target, labels: [target.name] }));
  return markdown(grid(["figure and its target"], rows, runtimes, (runtime, { figure, most, digits }) => {
    const value = figure(runtime);
    return `${show(value, digits)} ${value?.median > most[runtime] ? ">" : "≤"} ${most[runtime]}`;
  }));
}

/** Puts the tables between the marks in README.md and the plots beside this benchmark. */
export async function publish(results, runtimes, where) {
  const plots = results.map((result) => result.plot).filter((wanted) => wanted !== undefined);
  for (const wanted of plots) writeFileSync(join(root, "bench", wanted.file), plot(wanted, runtimes));
  const images = plots.map(({ title, file }) => `![${title}](bench/${file})`);
  const path = join(root, "README.md");
  const text = readFileSync(path, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Cannot write the tables into README.md: ${begin} or ${end} is missing`);
  const parts = [where, ...images, targetsOf(results, runtimes), ...results.map(markdownOf)];
  writeFileSync(path, `${text.slice(0, from)}${begin}\n\n${parts.join("\n\n")}\n\n${text.slice(to)}`);
  const files = ["README.md", ...plots.map(({ file }) => `bench/${file}`)];
  const { ok, output } = await run(commands.deno, ["fmt", "--quiet", "--config", "deno.json", ...files]);
  if (!ok) throw new Error(output);
}
