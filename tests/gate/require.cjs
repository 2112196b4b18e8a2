const main = require("@x/socks5");
const node = require("@x/socks5/node");

import("./check.mjs").then(({ check }) => check(main, node));
