import { titles } from "./table.mjs";

const colors = { deno: "#4c78a8", bun: "#e0a458", node: "#6a9f58" };
const [left, width, height, top] = [300, 460, 14, 56];

/** Bars of medians with lines from the least to the greatest, a bar for each runtime, as SVG. */
export function plot({ title, unit, rows, value }, runtimes) {
  const bars = rows.map((row) => ({
    label: row.labels.filter((label) => label !== "").join(", ").replaceAll(
      "`",
      "",
    ),
    figures: runtimes.map((runtime) => ({
      runtime,
      figure: value(runtime, row),
    })).filter(({ figure }) => figure),
  })).filter(({ figures }) => figures.length > 0);
  const most = Math.max(
    ...bars.flatMap(({ figures }) => figures.map(({ figure }) => figure.median)),
  ) * 1.1;
  const x = (value) => left + width * Math.min(value / most, 1);
  let y = top;
  const drawn = bars.map(({ label, figures }) => {
    const middle = y + figures.length * height / 2;
    const name = text(left - 10, middle + 4, label, "end");
    const lines = figures.map(({ runtime, figure: { median, min, max } }) => {
      const bar = `<rect x="${left}" y="${y + 1}" width="${round(x(median) - left)}" height="${height - 2}" ` +
        `fill="${colors[runtime]}"/>`;
      const range = `<path d="M${round(x(min))} ${y + height / 2}H${round(x(max))}" stroke="#333"/>`;
      const number = text(
        left + width + 10,
        y + 11,
        median.toFixed(0),
        "start",
      );
      y += height;
      return [bar, range, number].join("\n");
    });
    y += 10;
    return [name, ...lines].join("\n");
  });
  const legend = runtimes.map((runtime, index) =>
    `<rect x="${left + index * 80}" y="34" width="10" height="10" fill="${colors[runtime]}"/>\n` +
    text(left + index * 80 + 16, 43, titles[runtime], "start")
  );
  const size = `${left + width + 60} ${y + 10}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${text(left, 22, `${title} (${unit})`, "start")}
${[...legend, ...drawn].join("\n")}
</svg>
`;
}

function text(x, y, words, anchor) {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#222">${words}</text>`;
}

function round(number) {
  return Number(number.toFixed(1));
}
