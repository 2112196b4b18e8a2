/** What is replaced in a process, so that it can be put back. */
export class Patches {
  readonly #undo: (() => void)[] = [];

  /** Replaces a member, if it is there and can be replaced; tells whether. */
  set(of: object, name: string, make: (original: never) => unknown): boolean {
    const before = Object.getOwnPropertyDescriptor(of, name);
    const original = (of as Record<string, unknown>)[name];
    if (original === undefined) return true;
    const value = make(original as never);
    if (before?.configurable ?? true) {
      const enumerable = before?.enumerable ?? true;
      Object.defineProperty(of, name, { value, enumerable, configurable: true, writable: true });
      this.#undo.push(() => before ? Object.defineProperty(of, name, before) : Reflect.deleteProperty(of, name));
      return true;
    }
    if (!before?.writable) return false;
    Reflect.set(of, name, value);
    this.#undo.push(() => Reflect.set(of, name, original));
    return true;
  }

  /** Replaces a member by what says in a sentence that it is refused. */
  refuse(of: object, name: string, called: string, instead?: string): boolean {
    return this.set(of, name, () => refusing(called, instead));
  }

  /** Does something now, and something else in the end. */
  also(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Puts everything back. */
  undo(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }
}

/** Says why a way past the proxy is refused. */
export function refusal(called: string, instead?: string): Error {
  const hint = instead === undefined ? "" : `: use ${instead}`;
  return new Error(`Cannot use ${called}, since this process goes through a SOCKS5 proxy alone${hint}`);
}

/** A function, a class and an object at once, that throws at every use. */
function refusing(called: string, instead?: string): unknown {
  const refuse = () => {
    throw refusal(called, instead);
  };
  return new Proxy(function () {}, { apply: refuse, construct: refuse, get: refuse });
}
