import process from "node:process";
import { join } from "node:path";
import { answers, freePort, listens } from "./real_process.ts";
import { type Place, program, type RealProgram } from "./real_program.ts";

const REALM = "SOCKS5.TEST";

/** The service that dante is to its clients, as GSSAPI names it. */
export const SERVICE = "rcmd@127.0.0.1";

/** Who its clients are. */
export const USER: string = `alice@${REALM}`;

/** What a client needs in its environment to be {@linkcode USER}, by a key instead of a password. */
export function kerberosEnvironment(directory: string): Record<string, string> {
  return { KRB5_CONFIG: join(directory, "krb5.conf"), KRB5_KDC_PROFILE: join(directory, "kdc.conf") };
}

/** dante for users of a realm with a KDC of its own; `protection` is what dante takes, if not all. */
export function danteWithKerberos(protection?: "integrity" | "confidentiality"): RealProgram {
  return program({
    name: "dante with Kerberos",
    // Debian's dante has no GSSAPI: .ci/dante-gssapi builds one that has
    programs: ["danted-gssapi", "krb5kdc", "kdb5_util", "kadmin.local"],
    environment: kerberosEnvironment,
    isReady: (at) => answers(at, Uint8Array.of(5, 1, 1), Uint8Array.of(5, 1)),
    async launch(place) {
      await startRealm(place);
      const { directory, port, start, write } = place;
      const config = write(
        "danted.conf",
        `logoutput: stderr
         internal: 127.0.0.1 port = ${port}
         external: lo
         clientmethod: none
         socksmethod: gssapi
         ${process.getuid?.() === 0 ? "user.privileged: root\nuser.unprivileged: root" : ""}
         client pass {
           from: 127.0.0.1/32 to: 0.0.0.0/0
           gssapi.keytab: FILE:${directory}/dante.keytab
           ${protection ? `gssapi.enctype: ${protection}` : ""}
         }
         socks pass {
           from: 127.0.0.1/32 to: 0/0
           command: connect
           log: connect
         }
        `,
      );
      return start("danted-gssapi", "-f", config, "-p", join(directory, "danted.pid"));
    },
  });
}

/** Makes a realm with a user and a service, and starts its KDC. */
async function startRealm({ directory, start, run, write }: Place): Promise<void> {
  const kdc = `127.0.0.1:${await freePort()}`;
  write(
    "krb5.conf",
    `[libdefaults]
       default_realm = ${REALM}
       dns_lookup_kdc = false
       dns_lookup_realm = false
       dns_canonicalize_hostname = false
       rdns = false
       udp_preference_limit = 1
       default_ccache_name = MEMORY:
       default_client_keytab_name = FILE:${directory}/user.keytab
     [realms]
       ${REALM} = {
         kdc = ${kdc}
       }
    `,
  );
  write(
    "kdc.conf",
    `[realms]
       ${REALM} = {
         database_name = ${directory}/principal
         key_stash_file = ${directory}/stash
         kdc_listen = ${kdc}
         kdc_tcp_listen = ${kdc}
       }
    `,
  );
  await run("kdb5_util", "create", "-s", "-r", REALM, "-P", "sesame");
  const service = SERVICE.replace("@", "/");
  for (const [principal, keytab] of [[USER, "user.keytab"], [service, "dante.keytab"]]) {
    await run("kadmin.local", "-q", `addprinc -randkey ${principal}`);
    await run("kadmin.local", "-q", `ktadd -k ${directory}/${keytab} ${principal}`);
  }
  const [hostname, port] = kdc.split(":");
  await start("krb5kdc", "-n").until(() => listens({ hostname: hostname!, port: Number(port) }));
}
