import type { StartTls, TlsOptions, Transport } from "./transport.ts";

/** What code is loaded for, before the times of it are taken. */
export interface Needs {
  readonly connect: boolean;
  readonly lookup: boolean;
  readonly tls: boolean;
}

/** What clients have of the runtime that they run on. */
export interface Runtime {
  /** The transport of a client that is given none. */
  readonly transport: Transport;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Loads what is otherwise loaded at its first use, so that the time of it is not taken for that of a proxy. */
  load(needs: Needs): Promise<void>;
  /** Throws a `TypeError` for options of TLS, called `name`, that the runtime cannot keep. */
  checkTls?(name: string, options: TlsOptions): void;
  /** Called at the first use of a client: gives what throws where the same client cannot be used. */
  claim(): (() => void) | undefined;
}

let current: Runtime | undefined;

/** Says what the runtime is, as each entry does: a bundle for one runtime alone need have no code for others. */
export function setRuntime(runtime: Runtime, isForAll: boolean): void {
  if (isForAll || current === undefined) current = runtime;
}

/** The runtime that the entry has set: there is one wherever a client can be made. */
export function runtime(): Runtime {
  return current!;
}
