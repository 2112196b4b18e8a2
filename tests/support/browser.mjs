// Drives Chromium: node browser.mjs '{ "chromium": path, "proxy": url, "visits": [{ "url", "credentials"? }] }' prints the titles
// of the pages, as JSON, once they say that they are done; each visit is a context of its own.
import { chromium } from "playwright-core";
import process from "node:process";

const { chromium: executablePath, proxy: server, visits } = JSON.parse(process.argv[2]);

const browser = await chromium.launch({
  executablePath,
  proxy: { server },
  // also to loopback through the proxy
  args: ["--no-sandbox", "--proxy-bypass-list=<-loopback>"],
});
const titles = await Promise.all(visits.map(async ({ url, credentials }) => {
  const context = await browser.newContext(credentials && { proxy: { server, bypass: "<-loopback>", ...credentials } });
  const page = await context.newPage();
  try {
    await page.goto(url, { timeout: 10_000 });
    await page.waitForFunction(() => document.title.startsWith("done"), null, { timeout: 10_000 });
    return await page.title();
  } catch (error) {
    return String(error.message);
  }
}));
await browser.close();
console.log(JSON.stringify(titles));
