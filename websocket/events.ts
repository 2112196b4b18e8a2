/** The event `close`: a `CloseEvent` of the platform, where it has one. */
export interface WebSocketCloseEvent extends Event {
  /** The code of the peer's Close frame: 1005 if it had none, 1006 if there was no Close frame. */
  readonly code: number;
  /** The reason of the peer's Close frame, or an empty text. */
  readonly reason: string;
  /** Whether both sides have sent a Close frame. */
  readonly wasClean: boolean;
}

/** The event `error`, which comes before `close`. */
export interface WebSocketErrorEvent extends Event {
  /** What failed: a `Socks5Error` if the connection did. */
  readonly error: unknown;
  /** The message of `error`. */
  readonly message: string;
}

/** The event `message`: a `MessageEvent` of the platform. */
export interface WebSocketMessageEvent extends Event {
  /** A text; a `Blob` or an `ArrayBuffer`, as `binaryType` says. */
  readonly data: string | Blob | ArrayBuffer;
  /** The origin of the URL: `"wss://example.com"`. */
  readonly origin: string;
}

type CloseInit = { code: number; reason: string; wasClean: boolean };

class OwnCloseEvent extends Event implements WebSocketCloseEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;

  constructor(type: string, { code, reason, wasClean }: CloseInit) {
    super(type);
    this.code = code;
    this.reason = reason;
    this.wasClean = wasClean;
  }
}

class OwnErrorEvent extends Event implements WebSocketErrorEvent {
  readonly error: unknown;
  readonly message: string;

  constructor(type: string, { error, message }: { error: unknown; message: string }) {
    super(type);
    this.error = error;
    this.message = message;
  }
}

const own = globalThis as unknown as {
  CloseEvent?: new (type: string, init: CloseInit) => WebSocketCloseEvent;
  MessageEvent: new (type: string, init: { data: unknown; origin: string }) => WebSocketMessageEvent;
};

export function closeEvent(init: CloseInit): WebSocketCloseEvent {
  return new (own.CloseEvent ?? OwnCloseEvent)("close", init);
}

export function errorEvent(error: unknown): WebSocketErrorEvent {
  return new OwnErrorEvent("error", { error, message: error instanceof Error ? error.message : String(error) });
}

export function messageEvent(data: string | Blob | ArrayBuffer, origin: string): WebSocketMessageEvent {
  return new own.MessageEvent("message", { data, origin });
}
