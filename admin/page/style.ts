/** How the page looks, in light and dark, at a desk and on a telephone. */
export const STYLE: string = `
:root {
  --back: #fff; --soft: #f5f6f8; --line: #e0e3e8; --text: #16191d; --dim: #59626e; --blue: #2f65a0; --red: #b3261e;
  --green: #22803c; --amber: #8a5a00; --bar: #6f9bc8; --bad: #d5463c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171b; --soft: #1b1f25; --line: #2c323a; --text: #e4e7eb; --dim: #9aa4b0; --blue: #82b1e6; --red: #ff8a7d;
    --green: #5dc27a; --amber: #e0aa4b; --bar: #5682b0; --bad: #e8675c;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 3rem; }
body {
  margin: 0; background: var(--back); color: var(--text); font: 13px/1.4 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; text-size-adjust: 100%;
}
header, main { padding: 0 16px; max-width: 1500px; margin: 0 auto; }
header { display: flex; align-items: baseline; gap: 16px; padding-top: 10px; padding-bottom: 10px; }
h1, h2 { font-size: 15px; line-height: 1.3; margin: 0; font-weight: 650; }
nav { display: flex; gap: 12px; }
a { color: var(--blue); text-underline-offset: 2px; }
#state { margin: 0 0 0 auto; color: var(--dim); }
#state.lost { color: var(--red); font-weight: 600; }
.lost-now main { opacity: .55; }
dl {
  display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 1px; margin: 0; border: 1px solid var(--line);
  border-radius: 6px; overflow: hidden; background: var(--line);
}
dl > div { padding: 6px 12px 7px; background: var(--back); }
dt { color: var(--dim); font-size: 12px; }
dd { margin: 0; font-size: 17px; line-height: 1.3; white-space: nowrap; }
dd small { display: block; font-size: 12px; color: var(--dim); }
dd.bad { color: var(--red); }
#listeners { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 8px 0 0; padding: 0; color: var(--dim); }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 14px; margin: 20px 0 6px; }
.bar p { margin: 0 0 0 auto; color: var(--dim); }
label { color: var(--dim); }
input, select, button { font: inherit; color: var(--text); background: var(--back); border: 1px solid var(--line); border-radius: 4px; }
input, select { padding: 3px 6px; border-color: color-mix(in srgb, var(--dim) 60%, transparent); }
input { width: 15em; }
button { padding: 1px 8px; cursor: pointer; border-color: color-mix(in srgb, var(--dim) 50%, transparent); }
button:hover { background: var(--soft); border-color: var(--dim); }
button[aria-busy=true] { opacity: .5; }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 1px; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 3px 7px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: baseline; }
thead th {
  position: sticky; top: 0; z-index: 1; background: var(--back); color: var(--dim); font-weight: 500; font-size: 12px;
  white-space: nowrap; border-bottom-color: var(--dim);
}
thead button { border: 0; padding: 2px 4px; margin: 0 -4px; background: none; color: inherit; }
thead button { position: relative; }
thead button::after { position: absolute; left: 100%; margin-left: -3px; }
thead .number button::after { left: auto; right: 100%; margin: 0 -3px 0 0; }
th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
th[aria-sort] { color: var(--text); }
tbody tr:hover { background: var(--soft); }
tbody th { font-weight: 550; overflow-wrap: anywhere; min-width: var(--name, 9em); }
tbody small { color: var(--dim); font-weight: 400; font-size: 12px; }
.number { text-align: right; white-space: nowrap; }
td.some { color: var(--red); }
td.state { min-width: 11em; }
td.state b { font-weight: 500; color: var(--green); white-space: nowrap; }
td.state b::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%; background: currentColor; margin-right: .5em; }
.out td.state b { color: var(--red); }
.out td.state b::before { border-radius: 1px; }
.halted td.state b { color: var(--amber); }
td.state small { margin-left: .2em; overflow-wrap: anywhere; }
td.minute { white-space: nowrap; }
td.minute svg { width: 120px; height: 18px; vertical-align: -4px; margin-right: 4px; border-bottom: 1px solid var(--line); }
td.minute span { display: inline-block; min-width: 2.5em; text-align: right; }
td.minute .failed { color: var(--red); }
svg path { fill: none; stroke-width: 1.5; stroke: var(--bar); }
svg path + path { stroke: var(--bad); }
td.writes { white-space: nowrap; text-align: right; }
td.writes button + button { margin-left: 4px; }
td.writes button:first-child { min-width: 5.6em; }
.readonly .writes { display: none; }
#failures td { max-width: 34em; overflow-wrap: anywhere; }
#failures td:first-child { white-space: nowrap; }
#failures code { font: 12px ui-monospace, monospace; }
#failures code + small { display: block; }
#more { margin: 10px 0; padding: 4px 12px; }
#none, #no-failures { color: var(--dim); }
#said {
  position: fixed; left: 16px; bottom: 16px; max-width: min(38em, calc(100vw - 32px)); margin: 0; padding: 8px 14px; z-index: 2;
  background: var(--text); color: var(--back); border-radius: 6px; overflow-wrap: anywhere;
}
#said:empty { display: none; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.narrow { display: none; }
main { padding-bottom: 48px; }
@media (max-width: 1240px) { .idle, .sent, .received { display: none; } }
@media (max-width: 1060px) {
  header { flex-wrap: wrap; gap: 4px 14px; }
  header, main { padding-left: 12px; padding-right: 12px; }
  #state { margin-left: 0; width: 100%; }
  dl { grid-auto-flow: row; grid-template-columns: repeat(4, 1fr); }
  .narrow { display: inline; }
  table, tbody { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 12px; padding: 8px 0; border-bottom: 1px solid var(--line); }
  tbody th, tbody td { display: block; border: 0; padding: 0; }
  tbody th { flex: 0 1 14em; min-width: 0; font-size: 14px; }
  td.state { flex: 1 1 calc(100% - 31em); min-width: 0; }
  td.state ~ td { order: 1; }
  td.minute svg { width: 160px; }
  td.minute span { min-width: 0; }
  td.minute svg + span::after { content: " connects"; color: var(--dim); font-size: 12px; }
  .idle, .sent, .received { display: block; }
  td[data-name]::before { content: attr(data-name) " "; color: var(--dim); font-size: 12px; }
  td.state ~ td.writes { order: 0; }
  #failures td { max-width: none; }
  #failures td:nth-child(4) { flex: 1 1 100%; }
}
@media (max-width: 640px) {
  dl { grid-template-columns: 1fr 1fr; }
  dl > div { padding: 4px 10px 5px; }
  dd { font-size: 15px; white-space: normal; }
  dd small { display: inline; }
  .bar { display: grid; grid-template-columns: 1fr 1fr; }
  .bar h2, .bar p { grid-column: 1 / -1; margin: 0; }
  .bar label, .narrow { display: block; }
  .bar input, .bar select { display: block; width: 100%; font-size: 16px; min-height: 36px; }
  tbody th, td.state, td.minute { flex: 1 1 100%; }
  td.minute svg { width: min(50vw, 240px); }
  td.state ~ td.writes { order: 2; flex: 1 1 100%; text-align: left; padding-top: 4px; }
  td.writes button { min-height: 36px; padding: 4px 14px; }
  td.writes button + button { margin-left: 8px; }
}
@media (forced-colors: active) { svg path { stroke: CanvasText; } svg path + path { stroke: LinkText; } }
`;
