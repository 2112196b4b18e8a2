import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { Buffer } from "node:buffer";
import { Socks5Client, Socks5Error } from "../../mod.ts";
import type { TestProxy } from "../../testing/mod.ts";
import {
  createWebSocket,
  type Socks5WebSocket,
  type Socks5WebSocketClass,
  type WebSocketOptions,
} from "../../websocket/mod.ts";
import { certificates } from "../support/certificates.ts";
import { startWeb } from "../support/http_server.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startTarget, type Target } from "../support/targets.ts";
import { until } from "../support/wait.ts";
import { test } from "../support/test.ts";
import { startWebSockets, type WebSocketServer } from "../support/websocket_server.ts";

interface Stage {
  WebSocket: Socks5WebSocketClass;
  server: WebSocketServer;
  proxy: TestProxy;
}

/** Runs `use` with a server of npm ws behind a proxy, as any host: nothing may be open in the end. */
async function withServer(
  use: (stage: Stage) => Promise<void>,
  options: WebSocketOptions = {},
  tls = false,
): Promise<void> {
  const server = await startWebSockets(tls ? certificates().names : undefined);
  try {
    await withProxy({ rules: () => ({ port: server.port }) }, async (proxy) => {
      const trust = { caCerts: [certificates().authority.cert] };
      const WebSocket = createWebSocket(proxy.url, { ...(tls && { tls: trust }), client: { retry: 0 }, ...options });
      await use({ WebSocket, server, proxy });
      await WebSocket.close();
    });
  } finally {
    await server.close();
  }
}

/** All that happens to a WebSocket, until it is closed. */
function story(socket: Socks5WebSocket): Promise<unknown[]> {
  const told: unknown[] = [];
  return new Promise((resolve) => {
    socket.addEventListener("open", () => told.push("open"));
    socket.addEventListener("message", ({ data }) => told.push(data));
    socket.addEventListener("error", ({ error }) => told.push(error));
    socket.addEventListener("close", ({ code, reason, wasClean }) => {
      told.push([code, reason, wasClean]);
      resolve(told);
    });
  });
}

const once = <T>(socket: Socks5WebSocket, type: "open" | "message" | "close" | "error"): Promise<T> =>
  new Promise((resolve) => socket.addEventListener(type, (event) => resolve(event as T), { once: true }));

for (const scheme of ["ws", "wss"]) {
  test(`${scheme}: texts, bytes and blobs go there and back, and the proxy resolves the name`, () =>
    withServer(
      async ({ WebSocket, proxy }) => {
        const socket = new WebSocket(`${scheme}://target.example:8443/echo?x=1`, ["chat.v2", "chat"]);
        assertEquals([socket.readyState, socket.url], [
          WebSocket.CONNECTING,
          `${scheme}://target.example:8443/echo?x=1`,
        ]);
        await once(socket, "open");
        assertEquals([socket.readyState, socket.protocol, socket.extensions], [socket.OPEN, "chat.v2", ""]);
        const got: unknown[] = [];
        socket.onmessage = ({ data, origin }) => got.push(data, origin);
        const echoed = async (data: Parameters<typeof socket.send>[0]) => {
          const message = once<MessageEvent>(socket, "message");
          socket.send(data);
          return (await message).data;
        };
        assertEquals(await echoed("häß 🎉\ufeff"), "häß 🎉\ufeff");
        assertEquals(got, ["häß 🎉\ufeff", `${scheme}://target.example:8443`]);
        const blob = await echoed(Uint8Array.of(0, 1, 2).subarray(1));
        assertInstanceOf(blob, Blob);
        assertEquals(new Uint8Array(await blob.arrayBuffer()), Uint8Array.of(1, 2));
        socket.binaryType = "arraybuffer";
        assertEquals(new Uint8Array(await echoed(new Blob(["blob"]))), Uint8Array.from(Buffer.from("blob")));
        assertEquals(new Uint8Array(await echoed(Uint8Array.of(9).buffer)), Uint8Array.of(9));
        assertEquals(await echoed(""), "");
        for (const length of [125, 126, 65_535, 65_536, 1 << 20]) {
          assertEquals(await echoed("x".repeat(length)), "x".repeat(length));
          assertEquals((await echoed(new Uint8Array(length)) as ArrayBuffer).byteLength, length);
        }
        assertEquals(socket.bufferedAmount, 0);
        const closed = once<CloseEvent>(socket, "close");
        socket.close(3001, "enough");
        assertEquals(socket.readyState, WebSocket.CLOSING);
        const { code, reason, wasClean } = await closed;
        assertEquals([code, reason, wasClean, socket.readyState], [3001, "enough", true, WebSocket.CLOSED]);
        assertEquals(proxy.connections.map(({ request }) => `${request!.hostname}:${request!.port}`), [
          "target.example:8443",
        ]);
      },
      {},
      scheme === "wss",
    ));
}

test("headers, user name and password, and the session of a WebSocket are sent", () =>
  withServer(async ({ WebSocket, server }) => {
    const socket = new WebSocket("ws://user:p%40ss@target.example/", {
      headers: { "X-Token": "abc", Origin: "https://app.example" },
      session: "alice",
    });
    await once(socket, "open");
    const { host, origin, authorization, "x-token": token } = server.requests[0]!.headers;
    assertEquals([host, origin, authorization, token], [
      "target.example",
      "https://app.example",
      `Basic ${btoa("user:p@ss")}`,
      "abc",
    ]);
  }));

test("messages that were sent before close() all arrive, in their order, blobs too", () =>
  withServer(async ({ WebSocket, server }) => {
    const socket = new WebSocket("ws://target.example/silent");
    const told = story(socket);
    await once(socket, "open");
    socket.send("1");
    socket.send(new Blob(["2"]));
    socket.send("3");
    assertEquals(socket.bufferedAmount, 3);
    socket.close();
    socket.send("late");
    assertEquals(await told, ["open", [1005, "", true]]);
    assertEquals(server.messages, ["1", "2", "3"]);
    assertEquals(socket.bufferedAmount, 4, "what came too late counts");
  }));

test("the server closes: its code and reason are those of the event, and it gets them back", () =>
  withServer(async ({ WebSocket, server }) => {
    const socket = new WebSocket("ws://target.example/close");
    assertEquals(await story(socket), ["open", [4000, "go away", true]]);
    await until(() => server.closes.length > 0);
    assertEquals(server.closes, [4000]);
  }));

test("a ping is answered with its payload", () =>
  withServer(async ({ WebSocket, server }) => {
    const socket = new WebSocket("ws://target.example/ping");
    await once(socket, "message");
    assertEquals(server.pongs, ["are you there"]);
    socket.close();
    await once(socket, "close");
  }));

test("close() while it connects ends the attempt", () =>
  withProxy({ faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
    const WebSocket = createWebSocket(proxy.url);
    const socket = new WebSocket("ws://target.example/");
    await proxy.until(() => proxy.open === 1);
    socket.close();
    assertEquals(socket.readyState, WebSocket.CLOSING);
    const [error, end] = await story(socket);
    assertMatch(String(error), /closed before it was open/);
    assertEquals(end, [1006, "", false]);
    await WebSocket.close();
  }));

test("close() of the class ends all at once, and later ones fail", () =>
  withServer(async ({ WebSocket }) => {
    const socket = new WebSocket("ws://target.example/");
    const told = story(socket);
    await once(socket, "open");
    await WebSocket.close();
    const [, error, end] = await told;
    assertMatch(String(error), /were closed/);
    assertEquals(end, [1006, "", false]);
    const late = await story(new WebSocket("ws://target.example/"));
    assertMatch(String(late[0]), /were closed/);
  }));

test("a proxy that is down is the error of the event, and nothing goes directly", async () => {
  const web = await startWeb((_, response) => response.end());
  try {
    const WebSocket = createWebSocket(new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 }));
    const [error, end] = await story(new WebSocket(`ws://127.0.0.1:${web.port}/`));
    assertInstanceOf(error, Socks5Error);
    assertEquals([error.code, end, web.accepted], ["SOCKS5_PROXY_UNREACHABLE", [1006, "", false], 0]);
    await WebSocket.close();
  } finally {
    await web.close();
  }
});

test("an untrusted certificate is the error of the event", () =>
  withServer(
    async ({ WebSocket }) => {
      const [error] = await story(new WebSocket("wss://target.example/"));
      assertEquals((error as Socks5Error).code, "SOCKS5_TLS_UNTRUSTED");
    },
    { tls: {} },
    true,
  ));

test("handlers are listeners at the place of the first one, and may be taken away", () =>
  withServer(async ({ WebSocket }) => {
    const socket = new WebSocket("ws://target.example/");
    const calls: string[] = [];
    socket.onopen = () => calls.push("never");
    socket.addEventListener("open", () => calls.push("second"));
    socket.onopen = function (this: unknown, event: Event) {
      calls.push(`first ${this === socket} ${event.type} ${event.target === socket}`);
    };
    socket.onmessage = () => calls.push("message");
    socket.onmessage = null;
    await once(socket, "open");
    socket.send("x");
    await once(socket, "message");
    assertEquals(calls, ["first true open true", "second"]);
    assertEquals(socket.onmessage, null);
    assertEquals([WebSocket.OPEN, WebSocket.prototype.CLOSED], [1, 3]);
  }));

// servers that break the rules

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const acceptOf = (head: string) =>
  createHash("sha1").update(/Sec-WebSocket-Key: (\S+)/.exec(head)![1]! + GUID).digest("base64");
const upgrade = (head: string, fields = "") =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: ${
    acceptOf(head)
  }\r\n${fields}\r\n`;

/** A server that says something to each request, and gathers what comes behind it. */
function startHostile(
  answer: (head: string) => string | Uint8Array,
  more?: (socket: Socket) => void,
): Promise<Target & { received: Buffer[] }> {
  const received: Buffer[] = [];
  return startTarget((socket) => {
    let head = "";
    socket.on("data", (chunk: Buffer) => {
      if (head.endsWith("\r\n\r\n")) return void received.push(chunk);
      head += chunk.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      socket.write(answer(head));
      more?.(socket);
    });
    socket.on("end", () => socket.end());
  }).then((target) =>
    Object.defineProperty(target, "received", { value: received }) as Target & { received: Buffer[] }
  );
}

async function hostileStory(
  answer: (head: string) => string | Uint8Array,
  options: WebSocketOptions & { protocols?: string[] } = {},
  more?: (socket: Socket) => void,
): Promise<{ told: unknown[]; sent: Uint8Array }> {
  const { protocols = [], ...rest } = options;
  let result = { told: [] as unknown[], sent: new Uint8Array() as Uint8Array };
  await withTarget(startHostile(answer, more), (target) =>
    withProxy({}, async (proxy) => {
      const WebSocket = createWebSocket(proxy.url, { client: { retry: 0 }, ...rest });
      const told = await story(new WebSocket(`ws://${target.address}/`, protocols));
      await WebSocket.close();
      await target.until(() => target.open === 0);
      result = { told, sent: unmasked(Buffer.concat(target.received)) };
    }));
  return result;
}

const codeOf = (close: Uint8Array) => close[0]! << 8 | close[1]!;

/** The payload of the last frame of a client, which must be masked. */
function unmasked(bytes: Uint8Array): Uint8Array {
  let last: Uint8Array = new Uint8Array();
  while (bytes.length > 0) {
    assert((bytes[1]! & 0x80) !== 0, "a client masks");
    const length = bytes[1]! & 0x7f;
    last = bytes.subarray(6, 6 + length).map((byte, i) => byte ^ bytes[2 + (i & 3)]!);
    bytes = bytes.subarray(6 + length);
  }
  return last;
}

const refused: [what: string, answer: (head: string) => string, says: RegExp, protocols?: string[]][] = [
  ["another status", () => "HTTP/1.1 403 Forbidden\r\n\r\n", /the server answered 403 Forbidden$/],
  ["a redirect", () => "HTTP/1.1 302 Found\r\nLocation: ws://other.example/\r\n\r\n", /the server answered 302 Found$/],
  ["no HTTP", () => "SSH-2.0-x\r\n", /does not speak HTTP/],
  [
    "a wrong accept",
    (head) => upgrade(head).replace(/Accept: .*/, "Accept: AAAA"),
    /Sec-WebSocket-Accept does not belong/,
  ],
  [
    "no accept",
    (head) => upgrade(head).replace(/Sec-WebSocket-Accept: .*\r\n/, ""),
    /Sec-WebSocket-Accept does not belong/,
  ],
  ["no upgrade", (head) => upgrade(head).replace("Upgrade: WebSocket\r\n", ""), /does not upgrade to a WebSocket/],
  ["no connection", (head) => upgrade(head).replace(", Upgrade", ""), /does not upgrade the connection/],
  [
    "an extension",
    (head) => upgrade(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    /an extension that was not offered/,
  ],
  [
    "a protocol that was not offered",
    (head) => upgrade(head, "Sec-WebSocket-Protocol: a\r\n"),
    /a protocol that was not offered/,
  ],
  ["another protocol", (head) => upgrade(head, "Sec-WebSocket-Protocol: b\r\n"), /a protocol that was not offered/, [
    "a",
  ]],
  ["none of the protocols", upgrade, /chose none of the protocols/, ["a"]],
  ["a head without an end", () => `HTTP/1.1 101 x\r\nA: ${"x".repeat(70_000)}`, /longer than 65536 bytes/],
];

for (const [what, answer, says, protocols] of refused) {
  test(`a server that answers with ${what} is refused`, async () => {
    const { told: [error, end] } = await hostileStory(answer, protocols && { protocols });
    assertMatch(String(error), says);
    assertEquals(end, [1006, "", false]);
  });
}

test("a server that says nothing is given up after the timeout", async () => {
  const { told: [error, end] } = await hostileStory(() => "", { timeout: 50 });
  assertMatch(String(error), /timed out after 50 ms$/);
  assertEquals(end, [1006, "", false]);
});

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

const broken: [what: string, frames: string, code: number, says: RegExp][] = [
  ["a masked frame", "81 81 00000000 78", 1002, /masked/],
  ["a reserved bit", "c1 00", 1002, /reserved bit/],
  ["an unknown opcode", "83 00", 1002, /opcode/],
  ["an unknown control opcode", "8b 00", 1002, /opcode/],
  ["a control frame of 126 bytes", "89 7e 007e", 1002, /control frame/],
  ["a control frame that is fragmented", "09 00", 1002, /control frame/],
  ["a continuation of nothing", "80 00", 1002, /out of order/],
  ["a message within another", "01 01 78 81 01 78", 1002, /out of order/],
  ["a length of 2^63", "82 7f 8000000000000000", 1002, /length/],
  ["a length of 2^62", "82 7f 4000000000000000", 1009, /longer than/],
  [
    "fragments that are too long together",
    "02 7e 0200" + "00".repeat(512) + "80 7e 0201",
    1009,
    /longer than 1024 bytes/,
  ],
  ["bad UTF-8", "81 02 c328", 1007, /UTF-8/],
  ["bad UTF-8 across fragments", "01 01 c3 80 01 28", 1007, /UTF-8/],
  ["UTF-8 that is cut off", "81 01 c3", 1007, /UTF-8/],
  ["a Close frame of one byte", "88 01 03", 1002, /code of a Close frame/],
  ["the code 1005", "88 02 03ed", 1002, /code of a Close frame/],
  ["the code 999", "88 02 03e7", 1002, /code of a Close frame/],
  ["a reason that is no UTF-8", "88 04 03e8 c328", 1007, /UTF-8/],
];

for (const [what, frames, code, says] of broken) {
  test(`${what} of the server ends the WebSocket with ${code}`, async () => {
    const answer = (head: string) => Buffer.concat([Buffer.from(upgrade(head)), hex(frames)]);
    const { told, sent } = await hostileStory(answer, { maxMessage: 1024 });
    assertEquals([told[0], told.at(-1)], ["open", [1006, "", false]]);
    assertMatch(String(told.at(-2)), says);
    assertEquals(codeOf(sent), code);
  });
}

test("fragments, with control frames between them, are one message, however they are cut", async () => {
  const frames = hex("01 02 68c3 89 01 70 00 01 a4 8a 00 80 01 21 02 01 01 80 01 02 88 05 03e8 627965");
  for (const cut of [0, 1, 2, 5, 9, 14, frames.length - 3]) {
    const more = (socket: Socket) => void setImmediate(() => socket.end(frames.subarray(cut)));
    const { told, sent } = await hostileStory(
      (head) => Buffer.concat([Buffer.from(upgrade(head)), frames.subarray(0, cut)]),
      {},
      more,
    );
    assertEquals([told[0], told[1], told.at(-1)], ["open", "hä!", [1000, "bye", true]]);
    assertEquals(new Uint8Array(await (told[2] as Blob).arrayBuffer()), Uint8Array.of(1, 2));
    assertEquals(codeOf(sent), 1000);
  }
});

for (const [what, end] of [["closes", "end"], ["resets", "resetAndDestroy"]] as const) {
  test(`a server that ${what} the connection without a Close frame is 1006`, async () => {
    const { told } = await hostileStory((head) => upgrade(head), {}, (socket) => void socket[end]());
    assertEquals([told[0], told.at(-1)], ["open", [1006, "", false]]);
  });
}

test("many pings at once are answered, and none of them is kept for a server that does not read", async () => {
  const pings = Buffer.concat(new Array(1_000).fill(hex("89 01 70")));
  const { told, sent } = await hostileStory((head) => Buffer.concat([Buffer.from(upgrade(head)), pings, hex("88 00")]));
  assertEquals(told, ["open", [1005, "", true]]);
  assertEquals(sent.length, 0, "the last frame is the answer to Close");
});

// what a caller does wrong

const wrong: [what: string, url: unknown, init: unknown, name: string][] = [
  ["no URL", "target.example", undefined, "SyntaxError"],
  ["another scheme", "ftp://target.example", undefined, "SyntaxError"],
  ["a fragment", "ws://target.example/#x", undefined, "SyntaxError"],
  ["a protocol that is no token", "ws://target.example", "a b", "SyntaxError"],
  ["an empty protocol", "ws://target.example", [""], "SyntaxError"],
  ["a protocol twice", "ws://target.example", ["a", "A"], "SyntaxError"],
  ["a field of the handshake", "ws://target.example", { headers: { "Sec-WebSocket-Key": "x" } }, "TypeError"],
  ["a field that ends a line", "ws://target.example", { headers: { a: "x\r\nb: c" } }, "TypeError"],
  ["an unknown option", "ws://target.example", { dispatcher: {} }, "TypeError"],
  ["an empty session", "ws://target.example", { session: "" }, "RangeError"],
];

for (const [what, url, init, name] of wrong) {
  test(`a WebSocket with ${what} is a ${name}`, () => {
    const WebSocket = createWebSocket("socks5h://127.0.0.1:1");
    assertEquals(assertThrows(() => new WebSocket(url as string, init as string), Error).name, name);
  });
}

test("send() before it is open, and codes and reasons that are not allowed, are a DOMException", () =>
  withServer(async ({ WebSocket }) => {
    const socket = new WebSocket("https://target.example:80/");
    assertEquals(socket.url, "wss://target.example:80/");
    assertEquals(assertThrows(() => socket.send("x"), Error).name, "InvalidStateError");
    for (const code of [999, 1001, 2999, 5000, NaN]) {
      assertEquals(assertThrows(() => socket.close(code), Error).name, "InvalidAccessError");
    }
    assertEquals(assertThrows(() => socket.close(1000, "ä".repeat(62)), Error).name, "SyntaxError");
    socket.close();
    await once(socket, "close");
  }));

for (
  const [options, says] of [
    [{ maxMessage: -1 }, /maxMessage/],
    [{ timeout: "1" }, /timeout/],
    [{ tls: { serverName: "x" } }, /serverName in tls/],
    [{ perMessageDeflate: true }, /perMessageDeflate|an option/],
  ] as [WebSocketOptions, RegExp][]
) {
  test(`createWebSocket() refuses ${JSON.stringify(options)}`, () => {
    assertMatch(assertThrows(() => createWebSocket("socks5h://x", options), Error).message, says);
  });
}
