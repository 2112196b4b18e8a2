import { workersTransport } from "../../adapters/workers/mod.ts";
import { contract } from "../support/contract.ts";
import { pairOf } from "../support/peer.ts";

contract("workersTransport", () => pairOf((to) => workersTransport.connect(to)));
