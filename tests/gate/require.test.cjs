// Run by Jest.
const main = require("@x/socks5");
const agent = require("@x/socks5/agent");
const fetch = require("@x/socks5/fetch");
const testing = require("@x/socks5/testing");
const { checkFetch } = require("./check_fetch.mjs");

globalThis.test("required, it fetches through a proxy", () => checkFetch(main, agent, fetch, testing));
