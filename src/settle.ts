/** Deno asks the kernel after 61 rounds of its loop at the latest, Node and Bun in each round. */
const ROUNDS = 64;

/** Waits for a whole turn of the event loop: the runtime has then told what the kernel knows of a connection. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    let left = ROUNDS;
    const round = () => left-- > 0 ? void setImmediate(round) : resolve();
    if (typeof setImmediate === "function") round();
    else setTimeout(resolve, 0); // Workers
  });
}
