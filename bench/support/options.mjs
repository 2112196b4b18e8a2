import { parseArgs } from "node:util";
import { runtimes } from "../../tests/support/tools.mjs";

const names = Object.keys(runtimes).filter((name) => name !== "workerd"); // which has no process of its own
const networks = ["tun", "netem", "relay"];
const parts = [
  "dials",
  "trips",
  "bulk",
  "http",
  "memory",
  "growth",
  "import",
  "size",
];

export const help = `deno task bench [OPTION]...   or   npm run bench -- [OPTION]...

  --quick             does a little of everything in about a minute: whether the benchmark works
  --runtime RUNTIME   ${names.join(", ")}; may be given again (default: all)
  --part PART         ${parts.join(", ")}; may be given again (default: all)
  --rounds N          rounds of each part (default: 5; 1 with --quick)
  --network NETWORK   ${networks.join(", ")}: what delays the round trips (default: the first that works)
  --json FILE         writes all that was measured
  --write             writes the figures into docs/benchmarks.md and README.md, the plots into docs/
  --help              shows this
`;

/** The options of a run, checked. */
export function options(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      runtime: { type: "string", multiple: true, default: names },
      part: { type: "string", multiple: true, default: parts },
      rounds: { type: "string" },
      network: { type: "string" },
      json: { type: "string" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { rounds = values.quick ? "1" : "5" } = values;
  for (const runtime of values.runtime) oneOf("--runtime", runtime, names);
  for (const part of values.part) oneOf("--part", part, parts);
  if (values.network !== undefined) {
    oneOf("--network", values.network, networks);
  }
  if (!/^[1-9]\d*$/.test(rounds)) {
    throw new RangeError(cannot("--rounds", "a whole number from 1", rounds));
  }
  const chosen = {
    ...values,
    runtimes: names.filter((runtime) => values.runtime.includes(runtime)),
    parts: parts.filter((part) => values.part.includes(part)),
    rounds: Number(rounds),
  };
  if (
    values.write &&
    (values.quick || chosen.runtimes.length < names.length ||
      chosen.parts.length < parts.length)
  ) {
    throw new TypeError(
      "Cannot use --write with --quick, --runtime or --part: the tables are those of a whole run",
    );
  }
  return chosen;
}

function oneOf(option, value, allowed) {
  if (!allowed.includes(value)) {
    throw new TypeError(cannot(option, `one of ${allowed.join(", ")}`, value));
  }
}

function cannot(option, want, got) {
  return `Cannot use ${option} as ${want}: current value is ${JSON.stringify(got)}`;
}
