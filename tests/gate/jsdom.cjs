// The jsdom of Jest, with those globals of the runtime that it has none of.
const { TestEnvironment } = require("jest-environment-jsdom");

const MISSING = ["Headers", "ReadableStream", "Request", "Response", "TextDecoder", "TextEncoder", "WritableStream"];

module.exports = class extends TestEnvironment {
  async setup() {
    await super.setup();
    for (const name of MISSING) this.global[name] = globalThis[name];
  }
};
