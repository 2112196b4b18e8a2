/** That of the package. */
export const VERSION = "0.1.0";

/** What `--help` prints, of each command and of all. */
export const HELP: Readonly<Record<"" | "check" | "connect" | "serve" | "forward", string>> = {
  "": `Usage: socks5 COMMAND [PROXY...] [ARGUMENT...] [OPTION...]

  check     [PROXY...] [HOST:PORT]
            tells whether a proxy works, step by step
  serve     [PROXY...]
            lends a proxy with a password to programs that take none
  forward   [PROXY...] [BIND:]PORT:HOST:PORT...
            brings a port of this machine to a target, as ssh -L does
  connect   [PROXY...] HOST:PORT
            joins standard input and output to a target, for ssh and git

PROXY is a URL: socks5h://user:password@host:1080. Of several the first that
works is taken. Without one it is that of SOCKS5_PROXY, else of ALL_PROXY,
HTTPS_PROXY or HTTP_PROXY if that is a SOCKS proxy. NO_PROXY is not looked at:
nothing goes past the proxy. The proxy resolves names, always.

Other users of the machine may see arguments in the list of processes, but not
the environment: a password belongs into SOCKS5_PROXY, or into a file that only
you can read. (One in an argument is taken out of the list at the start, on Deno
and Node.)

  --proxies FILE    more proxies, of every command: one a line, # begins a
                    comment; - is standard input (not for connect)
  -h, --help        this, or the help of a command: socks5 check --help
  -V, --version     the version

NO_COLOR takes the colours away, FORCE_COLOR has them without a terminal.

The process ends with
  0  ok
  1  another failure
  2  wrong arguments
  3  proxy-down: it does not answer
  4  not-socks5: something else answers there
  5  auth-refused: by the proxy, for the user name or the password
  6  target-refused: the proxy works and does not reach the target
  7  unproven: the proxy says that it does, and the target did not prove it
  8  unanswered: the proxy does not answer the request in time
and with 130 or 143 after SIGINT or SIGTERM (serve and forward: with 0, unless
it is the second one), 141 when nobody reads the output any more.
`,
  check: `Usage: socks5 check [PROXY...] [HOST:PORT] [OPTION...]

Goes through dial, negotiation, authentication and, with a target, the request
and the first byte that comes from it, and tells how long each step took and
what came out. Several proxies are checked one after another. The process ends
with the number of the first verdict that is not ok (see socks5 --help).

A proxy that says that the target is connected has not proven it: some say so
before they dial. So the target has to: ports 443 and 8443 by a TLS handshake
and their certificate, ports 80 and 8080 by the answer to an HTTP request,
others by speaking within a second, unless one of these says otherwise.

  --tls             by a TLS handshake
  --probe TEXT      by an answer to TEXT, with \\r \\n \\t \\0 and \\\\; "" is nothing
  --repeat N        checks N times: shortest, middle and longest time of steps
  --timeout MS      milliseconds for all of a check (default: 30000, of which
                    10000 for what comes before the request)
  --json            a line of JSON for each check
  --proxies FILE    proxies, one a line; - is standard input

  socks5 check socks5h://127.0.0.1:9050 example.com:443
  SOCKS5_PROXY=socks5h://user:password@proxy.example socks5 check --repeat 20
  pass show proxy | socks5 check --proxies -
`,
  serve: `Usage: socks5 serve [PROXY...] [OPTION...]

Opens a port of this machine, for this machine alone, that takes HTTP proxying
(CONNECT and plain requests) and SOCKS5 without a password, and leads through
the proxy: for browsers, and for programs that know http_proxy. The output is a
line for a shell:

  export http_proxy=http://127.0.0.1:8118 https_proxy=… all_proxy=…

Standard error tells what cannot be connected and what is refused. SIGINT or
SIGTERM ends it with 0, and what goes on has five seconds; a second one ends it
at once, with 130 or 143.

  --port PORT       the port (default: a free one)
  --max-clients N   how many may be connected to it at a time; further ones are
                    refused (default: 500, each of which takes two open files)
  --verbose         tells what is connected, too, and which proxies were passed
                    over and why
  --proxies FILE    proxies, one a line; - is standard input

  SOCKS5_PROXY=socks5h://user:password@proxy.example socks5 serve --port 8118
`,
  forward: `Usage: socks5 forward [PROXY...] [BIND:]PORT:HOST:PORT... [OPTION...]

Brings ports of this machine to targets, as ssh -L does: whoever connects to
PORT is connected to HOST:PORT through the proxy, which resolves the name. BIND
is an address of loopback (default: 127.0.0.1). IPv6 is in brackets. PORT 0 is a
free one; the output tells which.

Standard error tells what cannot be connected and what is refused. SIGINT or
SIGTERM ends it with 0, and what goes on has five seconds; a second one ends it
at once, with 130 or 143.

  --max-clients N   how many may be connected to a port at a time; further ones
                    are refused (default: 500, each takes two open files)
  --verbose         tells what is connected, too, and which proxies were passed
                    over and why
  --proxies FILE    proxies, one a line; - is standard input

  socks5 forward socks5h://127.0.0.1:9050 5432:db.internal:5432
`,
  connect: `Usage: socks5 connect [PROXY...] HOST:PORT [OPTION...]
       socks5 connect [PROXY...] HOST PORT [OPTION...]

Opens a tunnel to the target and joins standard input and output to it; nothing
else is ever written to the output. The end of the input is passed on to the
target, and its end to the reader of the output. On Deno and on a terminal the
end of the target ends the process, since the output cannot be closed there.

  --timeout MS      milliseconds until the tunnel is open (default: 30000)
  --proxies FILE    proxies, one a line

  export SOCKS5_PROXY=socks5h://127.0.0.1:9050
  ssh -o ProxyCommand="socks5 connect %h %p" host.example
`,
};
