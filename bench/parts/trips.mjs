import { http, pipes, rowOf } from "../support/clients.mjs";
import { show, spread } from "../support/figures.mjs";
import { delayed } from "../support/network.mjs";
import { interleave } from "../support/rounds.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const delay = 20;
const variants = {
  sequential: [4.1, 5.1],
  pipelined: [3.1, 3.1],
  warm: [2.1, 2.1],
  "warm, early data": [1.1, 1.1],
};

const ours = Object.entries(variants).flatMap(([variant, most]) =>
  ["no password", "password"].map((words, login) => ({
    ...rowOf("ours", [variant, words], { login: Boolean(login), variant }),
    most: most[login],
  }))
);
const others = [...pipes, ...http].filter((client) => client !== "ours")
  .flatMap((client) => [
    rowOf(client, ["", client === "direct" ? "" : "no password"], {
      login: false,
    }),
    ...(["direct", "bsocks"].includes(client) ? [] : [rowOf(client, ["", "password"], { login: true })]),
  ]);
const rows = [...ours, ...others];

/** Round trips to the first byte that comes back. */
export async function trips({ runtimes, rounds, quick, network: wanted }) {
  const samples = new Samples();
  const network = await delayed(delay, wanted && [wanted]);
  const isRelay = network.name === "relay";
  const trip = {
    ...rowOf("direct", ["round trip"]),
    command: isRelay ? "firstByte" : "dial",
    login: false,
  };
  const once = (worker, { command = "firstByte", login, variant }) =>
    worker.ask(command, { setup: { proxy: network.address, login, variant } });

  try {
    await Promise.all(runtimes.map((runtime) =>
      interleave(
        {
          runtime,
          rows: [trip, ...rows],
          rounds: quick ? 1 : Math.max(15, rounds),
          samples,
          prefix: network.prefix,
        },
        once,
        async (worker, row, round) => samples.add(runtime, row, round, (await once(worker, row)).time),
      )
    ));
  } finally {
    await network.end();
  }

  const inTrips = (runtime, row) => {
    const base = samples.spread(runtime, trip);
    return base &&
      spread(samples.of(runtime, row)?.map((time) => time / base.median));
  };
  const measured = runtimes.map((runtime) => samples.spread(runtime, trip)?.median.toFixed(1) ?? "–");
  return {
    samples,
    sections: [{
      title: "Round trips to the first byte",
      text:
        "From the call until a byte that was sent to the target comes back, in round trips of the network between " +
        `client and proxy (median ${measured.join(", ")} ms). For clients that speak only HTTP, until a response ` +
        `begins. ${explain[network.name]}`,
      table: grid(
        ["client", "", ""],
        rows,
        runtimes,
        (runtime, row) => show(inTrips(runtime, row)),
      ),
    }],
    notes: network.failures,
    targets: isRelay ? [] : ours.map((row) => ({
      name: `round trips, ${row.variant}, ${row.labels[2]}`,
      most: { node: row.most, bun: row.most, deno: row.most },
      figure: (runtime) => inTrips(runtime, row),
    })),
    plot: {
      file: "latency.svg",
      title: `Time to the first byte over a network with a round trip of ${2 * delay} ms, no password`,
      unit: "ms",
      rows: rows.filter(({ login }) => !login).map((row) => ({
        ...row,
        labels: row.labels.slice(0, 2),
      })),
      value: (runtime, row) => samples.spread(runtime, row),
    },
  };
}

const explain = {
  tun: `Each packet is held for ${delay} ms each way between two network namespaces (tun), the handshake of TCP too.`,
  netem:
    `Each packet is held for ${delay} ms each way between two network namespaces (netem), the handshake of TCP too.`,
  relay: `A relay holds bytes for ${delay} ms each way; it does not delay the handshake of TCP, so that what opens a ` +
    "connection takes a round trip less than on a network, and there is no verdict on the targets.",
};
