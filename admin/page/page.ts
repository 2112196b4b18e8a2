import { createHash } from "node:crypto";
import { MARKUP } from "./markup.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";
import { VIEW } from "./view.ts";

/** The page, and what its browser may do with it. */
export interface Page {
  readonly html: string;
  /** Its Content-Security-Policy: its own script and style by their hashes, and requests to where it comes from. */
  readonly policy: string;
}

/** The page in one file, with the token that its buttons send. */
export function pageOf(token: string): Page {
  const script = `"use strict";${VIEW}${SCRIPT}`;
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const html = MARKUP.replace("{token}", token).replace("{style}", () => STYLE).replace("{script}", () => script);
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(STYLE)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return { html, policy: policy.join("; ") };
}
