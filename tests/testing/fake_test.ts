import { contract } from "../support/contract.ts";
import { fakePair } from "../support/fake.ts";

contract("the fake transport", fakePair, { fake: true });
