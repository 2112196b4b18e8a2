import * as main from "@x/socks5";
import * as node from "@x/socks5/node";
import { check } from "./check.mjs";

await check(main, node);
