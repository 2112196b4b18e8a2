import { checkTls, claimRequest, startNoTls } from "../adapters/workers/platform.ts";
import { workersTransport } from "../adapters/workers/mod.ts";
import { setRuntime } from "../src/runtime.ts";

setRuntime({
  transport: workersTransport,
  startTls: startNoTls,
  load: async () => {},
  checkTls,
  claim: claimRequest,
}, false);
