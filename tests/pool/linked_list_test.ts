import { assertEquals } from "@std/assert";
import { type Link, LinkedList } from "../../src/linked_list.ts";
import { random } from "../support/random.ts";
import { test } from "../support/test.ts";

test("a linked list has what an array would have, whatever is put in and taken out", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const next = random(seed);
    const list = new LinkedList<number>();
    let links: Link<number>[] = [];
    for (let step = 0; step < 300; step++) {
      const dice = next();
      if (dice < 0.3) links.push(list.push(step));
      else if (dice < 0.5) links.unshift(list.unshift(step));
      else if (links.length > 0) {
        const link = links[Math.floor(next() * links.length)]!;
        list.remove(link);
        links = links.filter((other) => other !== link);
      }
      assertEquals([...list], links.map(({ value }) => value), `seed ${seed}, step ${step}`);
      assertEquals([list.size, list.first, list.last], [links.length, links[0], links.at(-1)]);
    }
  }
});
