const main = require("@x/socks5");
const node = require("@x/socks5/node");
const testing = require("@x/socks5/testing");

import("./check.mjs").then(({ check }) => check(main, node, testing));
