// Run by associate_process_test.ts in a process of its own: says how far it came, and ends by itself or with the association.
import process from "node:process";
import { Socks5Client } from "../../mod.ts";

const [proxy = "", mode, echo = ""] = process.argv.slice(2);
const client = new Socks5Client(proxy, { retry: 0 });
try {
  const association = await client.associate();
  await association.send(new Uint8Array(3), echo);
  console.log(`received ${(await association.receive())?.data.length}`);
  // the third to arrive says that nothing is on its way here
  for (let i = 0; i < 2; i++) {
    await association.send(new Uint8Array(3), echo);
    await association.receive();
  }
  const waiting = association.receive();
  association.unref();
  if (mode === "ref") association.ref();
  console.log(mode === "ref" ? `ended with ${await waiting}` : "nobody waits");
} catch (error) {
  console.log((error as { code: string }).code);
  await client.close();
}
