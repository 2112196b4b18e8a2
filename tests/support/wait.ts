/** Waits until a question is answered with yes, asking again and again; gives up and says `false` after ten seconds. */
export async function eventually(question: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 10_000;
  while (!await question()) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}

/** As {@linkcode eventually}, and rejects when it gives up. */
export async function until(
  question: () => boolean | Promise<boolean>,
  state: () => unknown = () => "",
): Promise<void> {
  if (!await eventually(question)) throw new Error(`Still not so after ten seconds: ${question} ${state()}`);
}

/** What grows, once it has, and has not any more for a fifth of a second: who makes it grow is held up. */
export async function atRest(size: () => number): Promise<number> {
  for (let before = 0, now = size();; before = now, now = size()) {
    if (now === before && now > 0) return now;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
