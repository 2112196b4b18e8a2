import { cannot } from "../errors.ts";
import type { UserPass } from "../protocol/messages.ts";
import { encodeCredentials, hasCredentials, type Proxy } from "./proxy_url.ts";

/**
 * Keeps streams apart by their credentials, as tor does (IsolateSOCKSAuth): the user name is a secret of the client, the
 * password a token. Nobody else's token is the same, and none begins as tor's own user names do.
 */
export class Isolation {
  readonly #usual: boolean | string;
  #hasCredentials: boolean;
  #secret: string | undefined;

  /** `usual`: that of requests that say nothing; throws a `TypeError` or a `RangeError`. */
  constructor(usual: boolean | string | undefined, proxies: readonly Proxy[]) {
    this.#hasCredentials = proxies.some(hasCredentials);
    this.#usual = this.#checked(usual ?? false);
  }

  /** The list is another one; throws a `TypeError` if its proxies have credentials and streams are to be kept apart. */
  setProxies(proxies: readonly Proxy[]): void {
    const before = this.#hasCredentials;
    this.#hasCredentials = proxies.some(hasCredentials);
    try {
      this.#checked(this.#usual);
    } catch (error) {
      this.#hasCredentials = before;
      throw error;
    }
  }

  /** That of one request; with credentials of its own there is none. */
  of(isolate: boolean | string | undefined, credentials: unknown): boolean | string {
    const own = this.#checked(isolate ?? false);
    if (credentials === undefined) return isolate === undefined ? this.#usual : own;
    if (own !== false) throw new TypeError("Cannot combine isolate with credentials");
    return false;
  }

  /** The credentials that stand for it; `true` is a token that comes only once. */
  credentials(isolate: boolean | string): UserPass | undefined {
    if (isolate === false) return undefined;
    this.#secret ??= crypto.randomUUID();
    return encodeCredentials({ username: this.#secret, password: isolate === true ? crypto.randomUUID() : isolate });
  }

  #checked(isolate: unknown): boolean | string {
    const want = "a boolean or a token of 1 to 255 bytes";
    if (typeof isolate === "string") {
      if (isolate === "" || new TextEncoder().encode(isolate).length > 255) {
        throw new RangeError(cannot("isolate", want, isolate));
      }
    } else if (typeof isolate !== "boolean") throw new TypeError(cannot("isolate", want, isolate));
    if (isolate !== false && this.#hasCredentials) {
      throw new TypeError("Cannot combine isolate with a proxy that has credentials");
    }
    return isolate;
  }
}
