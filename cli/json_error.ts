const MARK = /[{}[\],:]/;
const STRING = /"(?:[^"\\\p{Cc}]|[\x7f-\x9f]|\\["\\/bfnrt]|\\u[\da-fA-F]{4})*"/u;
const LITERAL = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.])/;
const TOKEN = new RegExp(`[ \\t\\r\\n]*(?:(${MARK.source})|(${STRING.source})|(${LITERAL.source}))`, "uy");

/** What may come: a value, the name of a member, a colon; or what follows a value. Some, or the end of a list or object. */
type Wants = "value" | "value or end" | "name" | "name or end" | "colon" | "next";

/** `"line 3, column 7"`, where a text stops to be JSON (RFC 8259). No runtime says that without showing some of the text. */
export function jsonErrorAt(text: string): string {
  const open: ("}" | "]")[] = [];
  let wants: Wants | undefined = "value";
  let at = 0;
  for (TOKEN.lastIndex = 0; wants !== undefined;) {
    at = TOKEN.lastIndex;
    const [token, mark, string] = TOKEN.exec(text) ?? [];
    wants = token === undefined ? undefined : after(wants, mark ?? (string === undefined ? "literal" : "string"), open);
  }
  at += /^\s*/.exec(text.slice(at))![0].length;
  const before = text.slice(0, at).split("\n");
  return `line ${before.length}, column ${before.at(-1)!.length + 1}`;
}

/** What may follow a token; `undefined` if it may not stand here. `open` is what has to be closed. */
function after(wants: Wants, token: string, open: ("}" | "]")[]): Wants | undefined {
  const mayEnd = wants === "next" || wants.endsWith("end");
  if (mayEnd && token === open.at(-1)) {
    open.pop();
    return "next";
  }
  if (wants === "colon") return token === ":" ? "value" : undefined;
  if (wants === "next") return token !== "," || open.length === 0 ? undefined : open.at(-1) === "}" ? "name" : "value";
  if (wants.startsWith("name")) return token === "string" ? "colon" : undefined;
  if (token === "string" || token === "literal") return "next";
  if (token !== "{" && token !== "[") return undefined;
  open.push(token === "{" ? "}" : "]");
  return token === "{" ? "name or end" : "value or end";
}
