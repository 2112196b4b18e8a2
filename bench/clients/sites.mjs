/** Where the requests go that come through a proxy. */
export function behind(isSecure) {
  return isSecure ? "https://secure.bench" : "http://web.bench";
}

/** The same without a proxy. */
export function besides({ hostname, direct }) {
  return (isSecure) => isSecure ? `https://${hostname}:${direct.secure}` : `http://${hostname}:${direct.web}`;
}
