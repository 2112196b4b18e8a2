// Run by Jest and by Vitest.
import * as main from "@x/socks5";
import * as agent from "@x/socks5/agent";
import * as fetch from "@x/socks5/fetch";
import * as testing from "@x/socks5/testing";
import { checkFetch } from "./check_fetch.mjs";

globalThis.test("imported, it fetches through a proxy", () => checkFetch(main, agent, fetch, testing));
