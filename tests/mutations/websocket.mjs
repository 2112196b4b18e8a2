// websocket

const tests = "tests/websocket/websocket_test.ts";

/** @type {import("./all.mjs").Mutation[]} */
export const websocket = [
  {
    promise: "the answer to a WebSocket belongs to its request",
    file: "websocket/handshake.ts",
    find: 'fields.get("sec-websocket-accept") !== accept',
    replace: 'fields.get("sec-websocket-accept") === ""',
    tests,
    name: "a server that answers with … is refused",
  },
  {
    promise: "a frame of a server is not masked",
    file: "websocket/frames.ts",
    find: "if ((second & 0x80) !== 0)",
    replace: "if ((second & 0x00) !== 0)",
    tests,
    name: "of the server ends the WebSocket with …",
  },
  {
    promise: "a message is no longer than maxMessage, all fragments together",
    file: "websocket/frames.ts",
    find: "this.#length += length;",
    replace: "this.#length = length;",
    tests,
    name: "of the server ends the WebSocket with …",
  },
  {
    promise: "a text of a WebSocket is UTF-8 to its end",
    file: "websocket/frames.ts",
    find: "decoded(() => this.#decoder!.decode());",
    replace: '"";',
    tests,
    name: "of the server ends the WebSocket with …",
  },
  {
    promise: "messages before close() all leave, in their order",
    file: "websocket/socket.ts",
    find: "this.#queue = this.#queue.then(write)",
    replace: "this.#queue = write()",
    tests,
    name: "messages that were sent before close() all arrive",
  },
];
