import { assertEquals } from "@std/assert";
import { dante } from "../support/real_proxies.ts";
import { withRealProxy } from "../support/real_stage.ts";
import { vsftpd } from "../support/real_servers.ts";
import { runRecipe } from "../support/recipes.ts";
import { test } from "../support/test.ts";

test(
  "the recipe for FTP in active mode downloads a file from a real server through a real dante",
  () =>
    withRealProxy(dante, (proxy) =>
      withRealProxy(vsftpd, async (server) => {
        const said = await runRecipe("ftp", {
          "socks5h://user:pass@proxy.example:1080": proxy.url,
          "ftp.example:21": `127.0.0.1:${server.port}`,
        });
        assertEquals(said, ["hello, active mode\n"]);
      })),
  { skip: dante.missing || vsftpd.missing },
);
