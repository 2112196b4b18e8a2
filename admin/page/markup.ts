const ICON = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%233a6ea5' " +
  "d='M1 9h3v6H1zm5-4h3v10H6zm5-4h3v14h-3z'/%3E%3C/svg%3E";

/** `about` is more of what it is; a column of numbers is sorted from the most to the least first. */
type Column = readonly [key: string, name: string, about?: string];

const COLUMNS: readonly Column[] = [
  ["proxy", "Proxy"],
  ["state", "State"],
  ["inUse", "In use", "connections that are opening or in use"],
  ["idle", "Idle", "connections that are idle or warm"],
  ["connects", "Connects", "requests that it granted"],
  ["failures", "Failures", "attempts that failed because of it"],
  ["minute", "Last minute", "connects and failures, second by second"],
  ["median", "Median", "time from dial to grant, of the last 128"],
  ["p95", "p95", "time from dial to grant, of the last 128"],
  ["sent", "Sent", "bytes to targets"],
  ["received", "Received", "bytes from targets"],
];

const heads = COLUMNS.map(([key, name, about = ""]) => {
  const kind = ["proxy", "state", "minute"].includes(key) ? key : `number ${key}`;
  return `<th role="columnheader" scope="col" class="${kind}"><button type="button" data-sort="${key}" ` +
    `title="${about}">${name}</button></th>`;
}).join("");

const sorts = COLUMNS.map(([key, name]) => `<option value="${key}">${name}</option>`).join("");

/** The page, without its style, its script and its token. All that it shows of proxies comes in by the script, as text. */
export const MARKUP: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="token" content="{token}">
<link rel="icon" href="data:image/svg+xml,${ICON}">
<title>socks5</title>
<style>{style}</style>
</head>
<body>
<header>
  <h1>socks5</h1>
  <nav aria-label="On this page"><a href="#proxies">Proxies</a> <a href="#failed">Failures <span id="failed-count"></span></a></nav>
  <p id="state" role="status">Loading</p>
</header>
<main>
<section aria-label="All together">
  <dl id="facts"></dl>
  <ul id="listeners" aria-label="Listeners"></ul>
</section>
<section aria-labelledby="proxies">
  <div class="bar">
    <h2 id="proxies">Proxies</h2>
    <label>Filter <input id="text" type="search" autocomplete="off" spellcheck="false"></label>
    <label>Show <select id="which"><option value="all">all</option><option value="in">in service</option><option value="out">out of service</option></select></label>
    <label class="narrow">Sort by <select id="sort"><option value="list">order of the list</option>${sorts}</select></label>
    <label class="writes">Suspend for <select id="for"><option value="300000">5 minutes</option><option value="3600000">1 hour</option><option value="86400000">1 day</option><option value="">no end</option></select></label>
    <p id="shown"></p>
  </div>
  <table role="table" id="table" aria-labelledby="proxies">
    <thead role="rowgroup"><tr role="row">${heads}<th role="columnheader" scope="col" class="writes"><span class="unseen">Actions</span></th></tr></thead>
    <tbody role="rowgroup"></tbody>
  </table>
  <p id="none" hidden>No proxy matches.</p>
  <button type="button" id="more" hidden>Show more</button>
</section>
<section aria-labelledby="failed">
  <div class="bar"><h2 id="failed">Last failures</h2></div>
  <table role="table" id="failures" aria-labelledby="failed">
    <thead role="rowgroup"><tr role="row">
      <th role="columnheader" scope="col">Time</th><th role="columnheader" scope="col">Proxy</th>
      <th role="columnheader" scope="col">Target</th><th role="columnheader" scope="col">Failure</th>
      <th role="columnheader" scope="col" class="number">After</th><th role="columnheader" scope="col">Then</th>
    </tr></thead>
    <tbody role="rowgroup"></tbody>
  </table>
  <p id="no-failures" hidden>None so far.</p>
</section>
</main>
<p id="said" role="status"></p>
<p id="changes" class="unseen" role="status"></p>
<noscript>This page needs its script. The same is in <a href="status.json">status.json</a>.</noscript>
<script>{script}</script>
</body>
</html>
`;
