/** The error of TLS on a connection with unread bytes, which an attacker may have put there. */
export function unreadPlaintext(): Error {
  const message = "Cannot start TLS: there are bytes that nobody has read";
  return Object.assign(new Error(message), { code: "UNREAD_PLAINTEXT" });
}

/** The error of TLS on a connection that has ended. */
export function endedBeforeTls(): Error {
  return Object.assign(new Error("Cannot start TLS: the connection has ended"), { code: "ECONNRESET" });
}
