/** What the page does: it asks once a second, and says so when there is no answer. */
export const SCRIPT: string = String.raw`
const token = document.querySelector("meta[name=token]").content;
const STEP = 300;
const rows = new Map();
const body = $("table").tBodies[0];
const query = { text: "", state: "all", sort: "list", descending: false, limit: STEP };
let started = null;
let inService = null;
let lastAnswer = null;
let asking = null;
let timer = null;
let saying = null;

/** The query is kept in the address, so that it survives a reload and can be passed on. */
function readAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  query.text = kept.get("text") ?? "";
  query.state = ["in", "out"].includes(kept.get("state")) ? kept.get("state") : "all";
  query.sort = document.querySelector('[data-sort="' + CSS.escape(kept.get("sort") ?? "") + '"]') ? kept.get("sort") : "list";
  query.descending = kept.get("descending") === "true";
}

function writeAddress() {
  const kept = new URLSearchParams();
  if (query.text !== "") kept.set("text", query.text);
  if (query.state !== "all") kept.set("state", query.state);
  if (query.sort !== "list") kept.set("sort", query.sort);
  if (query.sort !== "list" && query.descending) kept.set("descending", "true");
  history.replaceState(null, "", kept.size > 0 ? "#" + kept : location.pathname + location.search);
}

function showQuery() {
  if ($("text").value !== query.text) $("text").value = query.text;
  $("which").value = query.state;
  $("sort").value = query.sort;
  for (const button of document.querySelectorAll("[data-sort]")) {
    const isSorted = button.dataset.sort === query.sort;
    mark(button.parentElement, "aria-sort", isSorted ? query.descending ? "descending" : "ascending" : null);
  }
}

function changed() {
  showQuery();
  writeAddress();
  update(true);
}

function say(text, stays) {
  clearTimeout(saying);
  write($("said"), text);
  if (!stays) saying = setTimeout(() => write($("said"), ""), 8000);
}

/** Rows do not move under a pointer, nor away from the focus, unless the reader asked for another order. */
function isHeld() {
  return body.contains(document.activeElement) || (matchMedia("(hover: hover)").matches && body.matches(":hover"));
}

function showProxies({ proxies, count, clients }, isAsked) {
  const seen = new Map();
  const keys = proxies.map((it) => {
    const key = JSON.stringify([it.client, it.proxy]);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return key + seen.get(key);
  });
  const wanted = new Set(keys);
  for (const [key, view] of rows) if (!wanted.has(key)) view.row.remove(), rows.delete(key);
  const isNew = (key) => !rows.has(key);
  const order = isHeld() && !isAsked ? [...rows.keys(), ...keys.filter(isNew)] : keys;
  proxies.forEach((it, i) => {
    if (isNew(keys[i])) rows.set(keys[i], newRow(it, act));
    rows.get(keys[i]).show(it);
  });
  let next = body.firstChild;
  for (const key of order) {
    const { row } = rows.get(key);
    if (row === next) next = next.nextSibling;
    else body.insertBefore(row, next);
  }
  const kept = order.map((key) => [key, rows.get(key)]);
  rows.clear();
  for (const [key, view] of kept) rows.set(key, view);
  const longest = Math.max(0, ...proxies.map((it) => it.proxy.length + (it.client ?? "").length));
  $("table").style.setProperty("--name", Math.min(22, longest + 3) + "ch");
  $("none").hidden = proxies.length > 0;
  $("more").hidden = count.matching <= proxies.length;
  const part = proxies.length < count.matching ? numbers.format(proxies.length) + " of " : "";
  const all = count.matching < count.all ? ", " + numbers.format(count.all) + " in all" : "";
  write($("shown"), part + numbers.format(count.matching) + (count.matching === 1 ? " proxy" : " proxies") + all);
}

function show(status, isAsked) {
  if (started !== null && started !== status.started) return location.reload(); // another process, with another token
  started = status.started;
  document.documentElement.classList.toggle("readonly", status.readonly);
  showFacts(status);
  showListeners(status.listeners);
  showProxies(status, isAsked);
  showFailures(status.failures);
  const out = status.count.all - status.count.inService;
  document.title = (out > 0 ? numbers.format(out) + " out – " : "") + "socks5";
  if (inService !== null && inService !== status.count.inService) {
    write($("changes"), numbers.format(out) + " of " + numbers.format(status.count.all) + " proxies are out of service");
  }
  inService = status.count.inService;
}

/** Asks now; the next time is a second after the answer. A page that nobody sees asks for nothing. */
async function update(isAsked) {
  clearTimeout(timer);
  asking?.abort();
  const mine = asking = new AbortController();
  try {
    const url = "status.json?" + new URLSearchParams(query);
    const response = await fetch(url, { signal: AbortSignal.any([mine.signal, AbortSignal.timeout(5000)]) });
    if (!response.ok) throw new Error("it answers " + response.status);
    const status = await response.json();
    if (mine.signal.aborted) return;
    lastAnswer = new Date();
    live(true, "Updated " + lastAnswer.toLocaleTimeString());
    show(status, isAsked === true);
  } catch (error) {
    if (mine.signal.aborted) return;
    const why = error.message.startsWith("it answers") ? " (" + error.message + ")" : "";
    live(false, "No answer" + (lastAnswer ? " since " + lastAnswer.toLocaleTimeString() : "") + why + ". Trying again");
  }
  if (!document.hidden) timer = setTimeout(update, 1000);
}

/** The time changes every second and is not read out; a loss is. */
function live(isLive, text) {
  const state = $("state");
  mark(state, "role", isLive ? null : "alert");
  mark(state, "class", isLive ? null : "lost");
  document.documentElement.classList.toggle("lost-now", !isLive);
  write(state, text);
}

async function act(name, it, button) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  if (name === "check") say("Checking " + it.proxy, true);
  try {
    const duration = $("for").value;
    const response = await fetch(name, {
      method: "POST",
      headers: { "content-type": "application/json", "x-admin-token": token },
      body: JSON.stringify({ client: it.client, proxy: it.proxy, for: duration === "" ? null : Number(duration) }),
    });
    const { message } = await response.json();
    say(message, !response.ok);
  } catch {
    say("There was no answer: nothing may have happened", true);
  } finally {
    button.removeAttribute("aria-busy");
    update();
  }
}

$("text").addEventListener("input", () => (query.text = $("text").value, query.limit = STEP, changed()));
$("which").addEventListener("change", () => (query.state = $("which").value, query.limit = STEP, changed()));
$("sort").addEventListener("change", () => sortBy($("sort").value, null));
$("more").addEventListener("click", () => (query.limit += STEP, changed()));
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => sortBy(button.dataset.sort, button));
}

/** A column is sorted one way, then the other, then not. */
function sortBy(key, button) {
  const first = key !== "proxy" && key !== "list";
  if (button === null || query.sort !== key) Object.assign(query, { sort: key, descending: first });
  else if (query.descending === first) query.descending = !first;
  else Object.assign(query, { sort: "list", descending: false });
  changed();
}

document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : update());
readAddress();
showQuery();
update();
`;
