/** What the script of the page puts into it: text only, never markup, since labels and errors come from strangers. */
export const VIEW: string = String.raw`
const $ = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  it.append(...children);
  return it;
}

/** Writes only what has changed: what a reader or a pointer is at stays as it is. */
function write(it, text) {
  if (it.textContent !== text) it.textContent = text;
}

function mark(it, name, value) {
  if (value === null) it.removeAttribute(name);
  else if (it.getAttribute(name) !== value) it.setAttribute(name, value);
}

const numbers = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const amount = (count) => count < 1e6 ? numbers.format(count) : short.format(count);
const sum = (counts) => counts.reduce((all, it) => all + it, 0);

function bytes(count) {
  if (count < 1000) return numbers.format(count) + " B";
  let power = 0;
  while (count >= 999.5 && power < 5) count /= 1000, power++;
  return (count < 9.95 ? count.toFixed(1) : count.toFixed(0)) + " " + "BKMGTP"[power] + "B";
}

function milliseconds(ms) {
  if (ms === null) return "–";
  return ms < 9.95 ? ms.toFixed(1) + " ms" : ms < 9999.5 ? numbers.format(Math.round(ms)) + " ms" : (ms / 1000).toFixed(1) + " s";
}

function time(ms) {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return seconds < 172800 ? Math.round(seconds / 3600) + " h" : Math.round(seconds / 86400) + " days";
}

const REASONS = { failure: "failed", application: "suspended", shared: "another process" };

/** The state of a proxy in a word, and why and until when. */
function stateOf(it) {
  const whole = it.suspended.filter((one) => one.hostname === undefined);
  const names = it.suspended.filter((one) => one.hostname !== undefined);
  const why = whole.map((one) => {
    const isKnown = one.reason === "failure" && it.lastFailure !== null;
    const reason = isKnown ? it.lastFailure.replace("SOCKS5_", "") : REASONS[one.reason];
    return (one.ms === null ? "until it is resumed: " : "back in " + time(one.ms) + ": ") + reason;
  });
  if (names.length > 0) {
    const first = names.slice(0, 2).map((one) => one.hostname).join(", ");
    why.push("suspended for " + first + (names.length > 2 ? " and " + (names.length - 2) + " more" : ""));
  }
  if (it.weight === 0) return ["No new connects", ["weight 0", ...why].join("; "), "halted"];
  if (it.inService) return ["In service", why.join("; "), names.length > 0 ? "halted" : ""];
  return ["Out", why.join("; "), whole.every((one) => one.reason === "application") ? "out halted" : "out"];
}

const SVG = "http://www.w3.org/2000/svg";

function plot() {
  const svg = document.createElementNS(SVG, "svg");
  mark(svg, "viewBox", "0 0 120 18");
  mark(svg, "preserveAspectRatio", "none");
  mark(svg, "aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"), document.createElementNS(SVG, "path"));
  return svg;
}

/** A bar for each second; failures stand on connects. */
function draw(svg, minute) {
  const { connects, failures } = minute ?? { connects: [], failures: [] };
  const most = Math.max(4, ...connects.map((it, i) => it + failures[i]));
  const height = (count) => count === 0 ? 0 : Math.max(1, Math.round(count / most * 18));
  const bar = (i, from, count) => count === 0 ? "" : "M" + (2 * i + 1) + " " + from + "v-" + height(count);
  mark(svg.firstChild, "d", connects.map((count, i) => bar(i, 18, count)).join(""));
  mark(svg.lastChild, "d", failures.map((count, i) => bar(i, 18 - height(connects[i]), count)).join(""));
}

const cell = (name, attributes = {}) => element("td", { role: "cell", class: name, ...attributes });

/** A row of the proxies, which is kept as long as the proxy is shown. */
function newRow(it, onAction) {
  const name = element("span", {});
  const client = element("small", {});
  const [state, why] = [element("b", {}), element("small", {})];
  const [svg, count, failed] = [plot(), element("span", {}), element("span", { class: "failed" })];
  const cells = {};
  for (const [key, title] of NUMBERS) cells[key] = cell("number " + key, { "data-name": title });
  const toggle = element("button", { type: "button" });
  const check = element("button", { type: "button", "aria-label": "Check " + it.proxy + " now" }, "Check now");
  const row = element(
    "tr",
    { role: "row" },
    element("th", { role: "rowheader", scope: "row" }, name, " ", client),
    element("td", { role: "cell", class: "state" }, state, " ", why),
    cells.inUse, cells.idle, cells.connects, cells.failures,
    element("td", { role: "cell", class: "minute" }, svg, count, " ", failed),
    cells.median, cells.p95, cells.sent, cells.received,
    element("td", { role: "cell", class: "writes" }, toggle, check),
  );
  const view = { row, it };
  toggle.addEventListener("click", () => onAction(view.it.suspended.length > 0 ? "resume" : "suspend", view.it, toggle));
  check.addEventListener("click", () => onAction("check", view.it, check));
  view.show = (it) => {
    view.it = it;
    write(name, it.proxy);
    write(client, it.client ?? "");
    const [word, because, kind] = stateOf(it);
    write(state, word);
    write(why, because);
    mark(row, "class", kind === "" ? null : kind);
    write(cells.inUse, numbers.format(it.inUse));
    write(cells.idle, numbers.format(it.idle));
    write(cells.connects, numbers.format(it.connects));
    write(cells.failures, numbers.format(it.failures));
    cells.failures.classList.toggle("some", it.failures > 0);
    draw(svg, it.minute);
    write(count, numbers.format(it.minute === null ? 0 : sum(it.minute.connects)));
    const bad = it.minute === null ? 0 : sum(it.minute.failures);
    write(failed, bad === 0 ? "" : numbers.format(bad) + " failed");
    write(cells.median, milliseconds(it.median));
    write(cells.p95, milliseconds(it.p95));
    write(cells.sent, bytes(it.sent));
    write(cells.received, bytes(it.received));
    const verb = it.suspended.length > 0 ? "Resume" : "Suspend";
    write(toggle, verb);
    mark(toggle, "aria-label", verb + " " + it.proxy);
  };
  return view;
}

const NUMBERS = [
  ["inUse", "in use"], ["idle", "idle"], ["connects", "connects"], ["failures", "failures"], ["median", "median"], ["p95", "p95"],
  ["sent", "sent"], ["received", "received"],
];

/** What is known of all clients together. */
function showFacts({ clients, count }) {
  const all = (key) => sum(clients.map((it) => it[key]));
  const most = (key) => clients.reduce((most, it) => it[key] > (most ?? -1) ? it[key] : most, null);
  const minute = (key) => sum(clients.map((it) => sum(it.minute[key])));
  const isRecorded = clients.some((it) => it.minute.connects.length > 0);
  const facts = [
    ["Proxies in service", amount(count.inService), "of " + amount(count.all), count.inService === 0],
    ["Connections", amount(all("inUse")), amount(all("opening")) + " opening, " + amount(all("idle") + all("warm")) + " idle"],
    ["Waiting connects", amount(all("waiting")), "", all("waiting") > 0],
    ["Connects", amount(all("connects")), all("reused") > 0 ? amount(all("reused")) + " reused" : ""],
    ["Failed connects", amount(all("failures")), all("retries") > 0 ? amount(all("retries")) + " retries" : ""],
    ["Sent", bytes(all("sent")), bytes(all("received")) + " received"],
  ];
  if (isRecorded) {
    facts.splice(3, 0, ["In the last minute", amount(minute("connects")), "connects, " + amount(minute("failures")) + " failed"]);
    facts.push(["To the grant, median", milliseconds(most("median")), "p95 " + milliseconds(most("p95"))]);
  }
  const list = $("facts");
  while (list.children.length > facts.length) list.lastChild.remove();
  facts.forEach(([name, value, more, isBad = false], i) => {
    const it = list.children[i] ?? list.appendChild(
      element("div", {}, element("dt", {}), element("dd", {}, element("span", {}), " ", element("small", {}))),
    );
    write(it.firstChild, name);
    mark(it.lastChild, "class", isBad ? "bad" : null);
    write(it.lastChild.firstChild, value);
    write(it.lastChild.lastChild, more);
  });
}

function showListeners(listeners) {
  const lines = listeners.map(({ url, target, clients }) =>
    url + (target ? " leads to " + target : "") +
    (clients === undefined ? "" : ", " + numbers.format(clients) + (clients === 1 ? " client" : " clients"))
  );
  const list = $("listeners");
  while (list.children.length > lines.length) list.lastChild.remove();
  lines.forEach((line, i) => write(list.children[i] ?? list.appendChild(element("li", {})), line));
}

/** The message without what other columns have. */
function withoutPlace({ message, target, proxy }) {
  const place = "Cannot connect to " + target + " through " + proxy + ": ";
  return message.startsWith(place) ? message.slice(place.length) : message;
}

const THEN = { address: "next address", retry: "tried again", failover: "other proxy" };
let failuresShown = "";

function showFailures(failures) {
  write($("failed-count"), failures.length === 0 ? "" : "(" + failures.length + ")");
  $("no-failures").hidden = failures.length > 0;
  $("failures").hidden = failures.length === 0;
  const newest = failures.length === 0 ? "" : JSON.stringify([failures.length, failures[0]]);
  if (newest === failuresShown) return;
  failuresShown = newest;
  const td = (attributes, ...children) => element("td", { role: "cell", ...attributes }, ...children);
  $("failures").tBodies[0].replaceChildren(...failures.map((it) =>
    element(
      "tr",
      { role: "row" },
      td({}, element("time", { datetime: it.time }, new Date(it.time).toLocaleTimeString())),
      td({}, it.proxy, " ", element("small", {}, it.client ?? "")),
      td({}, it.target),
      td({}, element("code", {}, it.code), element("small", {}, withoutPlace(it))),
      td({ class: "number", "data-name": "after" }, milliseconds(it.ms)),
      td({}, it.next === null ? "given up" : THEN[it.next]),
    )
  ));
}
`;
