// What tests within workerd have outside of it: a Worker cannot listen, so the driver does, and is told by HTTP.

let driver = "";

/** Says where the driver is. */
export function setDriver(url: string): void {
  driver = url;
}

/** An object of the driver, whose methods are called there; what they give may be one as well. */
export class Remote {
  readonly #id: number;

  constructor(id: number) {
    this.#id = id;
  }

  /** Calls a method with values of JSON, or with bytes. */
  call(method: string, ...args: unknown[]): Promise<unknown> {
    return call(this.#id, method, args);
  }
}

/** Calls one of the functions that the driver exports. */
export function remote(name: string, ...args: unknown[]): Promise<unknown> {
  return call(0, name, args);
}

async function call(id: number, method: string, args: unknown[]): Promise<unknown> {
  const [first] = args;
  const isBytes = first instanceof Uint8Array;
  const response = await fetch(`${driver}/${id}/${method}${isBytes ? "?bytes" : ""}`, {
    method: "POST",
    body: isBytes ? first as Uint8Array<ArrayBuffer> : JSON.stringify(args),
  });
  const kind = response.headers.get("x-kind");
  if (kind === "bytes") return new Uint8Array(await response.arrayBuffer());
  const value = await response.json();
  if (kind === "error") throw new Error(value);
  return kind === "object" ? new Remote(value) : value;
}
