// Drives Chromium on the admin page: node admin_browser.mjs '{ "chromium": path, "url": page, "scenarios": names }' prints
// what it saw in each, as JSON. `/-/down` and `/-/up` of the server take the port away and give it back,
// `/-/busy?LABEL` lets a proxy grant twenty connects.
import { chromium } from "playwright-core";
import process from "node:process";

const { chromium: executablePath, url, scenarios: chosen } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const wrong = [];

/** A page that is loaded, and notes what goes wrong in it. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(8_000);
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) wrong.push(request.url());
  });
  await page.goto(url);
  await page.locator("#table tbody tr").first().waitFor();
  return page;
}

/** Waits until the page was updated once more. */
async function updated(page) {
  await page.waitForResponse((it) => it.url().includes("status.json"));
  await page.waitForResponse((it) => it.url().includes("status.json"));
}

const labels = (page) => page.getByRole("table", { name: "Proxies" }).getByRole("rowheader").allInnerTexts();

const scenarios = {
  async shows() {
    const page = await open();
    const table = page.getByRole("table", { name: "Proxies" });
    const row = table.getByRole("row").nth(2);
    return {
      title: await page.title(),
      columns: (await table.getByRole("columnheader").allInnerTexts()).map((it) => it.trim()),
      labels: await labels(page),
      second: await row.getByRole("cell").allInnerTexts(),
      facts: await page.locator("#facts").innerText(),
      listeners: await page.getByRole("list", { name: "Listeners" }).getByRole("listitem").allInnerTexts(),
      failure: await page.getByRole("table", { name: "Last failures" }).getByRole("row").nth(1).getByRole("cell")
        .allInnerTexts(),
      // what strangers wrote is text
      foreign: await page.evaluate(() => document.querySelectorAll("img, b i, table script").length),
      bars: await row.locator("svg path").evaluateAll((paths) =>
        paths.map((it) => it.getAttribute("d").split("M").length - 1)
      ),
    };
  },

  async buttons() {
    const page = await open();
    const said = [];
    const button = page.getByRole("button", { name: "Suspend de-1", exact: true });
    await button.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Resume de-1", exact: true }).waitFor();
    said.push(await page.locator("#said").innerText());
    await updated(page);
    said.push(await page.evaluate(() => document.activeElement.getAttribute("aria-label")));
    said.push(await page.locator("#changes").innerText());
    said.push(await page.getByRole("row").filter({ hasText: "de-1" }).first().locator(".state").innerText());
    said.push(await page.title());
    await page.keyboard.press("Enter");
    await button.waitFor();
    said.push(await page.locator("#said").innerText());
    await page.getByRole("button", { name: "Check de-1 now" }).click();
    await page.locator("#said", { hasText: "proxy-down" }).waitFor();
    said.push((await page.locator("#said").innerText()).replace(/:.*/s, ""));
    return said;
  },

  async order() {
    const page = await open();
    const seen = [];
    const press = async (name, first) => {
      await page.getByRole("columnheader", { name }).getByRole("button").click();
      await page.locator("#table tbody tr:first-child th", { hasText: first }).waitFor();
      seen.push(
        await page.locator("th[aria-sort]").evaluateAll((all) =>
          all.map((it) => `${it.innerText.trim()} ${it.ariaSort}`)
        ),
      );
    };
    await press("Last minute", "fr-1");
    await press("Last minute", "de-0");
    await press("Last minute", "de-0");
    await press("Proxy", "de-0");
    await press("Proxy", "last");
    await page.getByLabel("Filter").fill("de-1");
    await page.locator("#shown", { hasText: /^\d+ proxies, 301 in all/ }).waitFor();
    seen.push(await page.evaluate(() => document.activeElement.id), new URL(page.url()).hash);
    await page.reload();
    await page.locator("#shown", { hasText: "301 in all" }).waitFor();
    seen.push(await page.getByLabel("Filter").inputValue(), await labels(page));
    await page.getByLabel("Filter").fill("nobody has this");
    await page.locator("#none").waitFor();
    await page.getByLabel("Filter").fill("");
    await page.locator("#shown", { hasText: "300 of 301 proxies" }).waitFor();
    return seen;
  },

  async held() {
    const page = await open();
    await page.getByRole("columnheader", { name: "Last minute" }).getByRole("button").click();
    await page.locator("#table tbody tr:first-child th", { hasText: "fr-1" }).waitFor();
    const seen = [];
    const look = async (busy) => {
      await page.request.get(`${url}-/busy?${busy}`);
      const row = page.locator("#table tbody tr", { hasText: busy }).locator(".minute");
      await row.filter({ hasText: /^ *\d{2}/ }).waitFor(); // it was updated
      seen.push((await labels(page))[0]);
    };
    await page.locator("#table tbody tr").nth(1).hover();
    await look("de-2");
    await page.mouse.move(1, 1);
    await page.locator("#table tbody tr:first-child th", { hasText: "de-2" }).waitFor();
    seen.push((await labels(page))[0]);
    return seen;
  },

  async loss() {
    const page = await open();
    const texts = [await page.locator("#state").innerText()];
    await page.request.get(`${url}-/down`);
    await page.getByRole("alert").waitFor();
    texts.push(await page.getByRole("alert").innerText());
    await page.request.get(`${url}-/up`);
    await page.getByRole("alert").waitFor({ state: "detached" });
    texts.push(await page.locator("#state").innerText());
    return texts.map((text) => text.replace(/\d+:\d+:\d+( [AP]M)?/, "T").replace(/\s/g, " "));
  },

  async many() {
    const page = await open();
    const count = () => page.locator("#table tbody tr").count();
    const counts = [await count()];
    await page.getByRole("button", { name: "Show more" }).click();
    await page.locator("#shown", { hasText: "600 of 10,000 proxies" }).waitFor();
    counts.push(await count());
    await page.getByLabel("Filter").fill("9999");
    await page.locator("#shown", { hasText: "1 proxy, 10,000 in all" }).waitFor();
    counts.push(await count());
    return counts;
  },

  async readonly() {
    const page = await open();
    return [
      await page.getByRole("button", { name: /Suspend|Resume|Check/ }).count(),
      await page.getByLabel("Suspend for").isVisible(),
    ];
  },

  /** Whether it fits, and can be read, on each screen and in each scheme. */
  async looks() {
    const seen = {};
    const page = await open();
    for (const width of [320, 390, 768, 1024, 1100, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        const { overflow, faint } = await page.evaluate(look);
        if (overflow > 0 || faint.length > 0) seen[`${width} ${colorScheme}`] = { overflow, faint };
      }
    }
    return seen;
  },
};

/** In the page: by how many pixels it is too wide, and texts with a contrast below 4.5 (WCAG 2.2, 1.4.3). */
function look() {
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((it) => it / 255).map((it) =>
      it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4
    );
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const back = (it) => {
    for (let at = it; at !== null; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if ((color[3] ?? 1) === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const it = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === "" || !it.checkVisibility() || it.closest("script, style, noscript")) {
      continue;
    }
    const [a, b] = [light(rgb(getComputedStyle(it).color)), light(back(it))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.add(`${it.tagName} ${it.className} ${contrast.toFixed(2)}`);
  }
  return { overflow: document.documentElement.scrollWidth - innerWidth, faint: [...faint] };
}

try {
  const saw = [];
  for (const name of chosen) saw.push(await scenarios[name]());
  console.log(JSON.stringify({ saw, wrong }));
} finally {
  await browser.close();
}
