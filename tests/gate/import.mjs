import * as main from "@x/socks5";
import * as node from "@x/socks5/node";
import * as testing from "@x/socks5/testing";
import { check } from "./check.mjs";

await check(main, node, testing);
