/** A private key that protects nothing: it is for the server of `tls.ts` alone. */
export const KEY: string = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEhLY6wUPRiXCgSD/
v5EAg9OD8jai6i7UBG/TOHpLW0ShRANCAATa+WyKEms/ZuJy3eQnkANvr2xUxaVt
DbIbQldEunwvtRa//fofpXVBcRWVmO5ndLjk1ccD3gLwEmpfS6wg4ea3
-----END PRIVATE KEY-----`;

/** A certificate for example.test, signed with its own key, good until 2119. */
export const CERTIFICATE: string = `-----BEGIN CERTIFICATE-----
MIIBeTCCASCgAwIBAgIUb8FWZCTxBkF2nBBB1sWqWZMSA3swCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMZXhhbXBsZS50ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMTkx
MjMxMjM1OTU5WjAXMRUwEwYDVQQDDAxleGFtcGxlLnRlc3QwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAATa+WyKEms/ZuJy3eQnkANvr2xUxaVtDbIbQldEunwvtRa/
/fofpXVBcRWVmO5ndLjk1ccD3gLwEmpfS6wg4ea3o0gwRjAXBgNVHREEEDAOggxl
eGFtcGxlLnRlc3QwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUjSVXcr5jDcOweK2G
oRYe2qN3I48wCgYIKoZIzj0EAwIDRwAwRAIgS0jsAEYJ3OBnPPvYR1hn1RtMUUOJ
RbLU+XMi2NfgABUCIBDZ6tc/Dxg5ULI7gAytWwO5lDqjDK6uR+kMFKqetXEu
-----END CERTIFICATE-----`;
