/** The version of the package. */
export const VERSION = "0.1.0";

const SERVICE = `  --max-clients N   how many clients may be connected to a port at a time;
                    further ones are refused (default: 500, each takes two open
                    files)
  --drain SECONDS   how long open connections may take to end (default: 5)
  --log FILE        appends a line for each connection when it has ended
  --log-format F    text (name=value, the default) or json
  --quiet           reports nothing but what ends the command
  --verbose         also reports connections, and the proxies that were passed
                    over and why
  --proxies FILE    proxies, one on each line; - is standard input
`;

/** What `--help` prints, in general and for each command. */
export const HELP: Readonly<Record<"" | "check" | "connect" | "serve" | "run" | "forward", string>> = {
  "": `Usage: socks5 COMMAND [PROXY...] [ARGUMENT...] [OPTION...]

  check     [PROXY...] [HOST:PORT]
            tests a proxy and prints the result of each step
  serve     [PROXY...]
            opens a local proxy for programs without SOCKS5 or a password
  run       [PROXY...] -- PROGRAM [ARGUMENT...]
            runs a program whose HTTP requests go through the proxy
  forward   [PROXY...] [BIND:]PORT:HOST:PORT...
            forwards a port of this machine to a target, like ssh -L
  connect   [PROXY...] HOST:PORT
            connects standard input and output to a target, for ssh and git

PROXY is a URL: socks5h://user:password@host:1080. Of several proxies, the first
that works is used. Without one, the proxy is that of SOCKS5_PROXY, or else of
ALL_PROXY, HTTPS_PROXY or HTTP_PROXY if that is a SOCKS proxy. NO_PROXY is
ignored: every connection uses the proxy. The proxy always resolves names.

Other users of the machine may see arguments in the list of processes, but not
the environment: put a password into SOCKS5_PROXY, or into a file that only you
can read. (On Deno and Node, a password in an argument is removed from the list
at the start.)

  --proxies FILE    more proxies, for every command: one on each line, as a URL,
                    host:port, host:port:user:password or
                    user:password@host:port; # begins a comment; - is standard
                    input (not for connect)
  -h, --help        this text, or that of a command: socks5 check --help
  -V, --version     the version

NO_COLOR turns colors off, FORCE_COLOR turns them on without a terminal.

Exit codes:
  0  ok
  1  any other failure
  2  wrong arguments
  3  proxy-down: the proxy does not answer
  4  not-socks5: the server does not speak SOCKS5
  5  auth-refused: the proxy refused the user name or the password
  6  target-refused: the proxy works, but does not reach the target
  7  unproven: the proxy reports a connection, but the target sent nothing
  8  unanswered: the proxy did not reply to the request in time
  130 or 143 after SIGINT or SIGTERM (serve and forward: 0, unless it is the
  second signal), 141 when the output is closed.
`,
  check: `Usage: socks5 check [PROXY...] [HOST:PORT] [OPTION...]

Tests dial, negotiation, authentication and, with a target, the request and the
first byte from the target. Of one proxy it prints duration and result of each
step; of several, a line for each in the order of the list and a summary, and a
terminal shows the progress. On SIGINT it prints what is known so far.

The exit code is that of the first verdict that is not ok (see socks5 --help);
of several proxies, 0 if at least one is ok.

Some proxies report that the target is connected before they connect to it, so
the target must prove it: on ports 443 and 8443 by a TLS handshake with its
certificate, on ports 80 and 8080 by the response to an HTTP request, on others
by sending a byte within a second, or else by the response to an HTTP request.

  --proxies FILE    proxies, one on each line: host:port, a URL,
                    host:port:user:password or user:password@host:port; # begins
                    a comment; - is standard input
  --concurrency N   how many proxies are checked at a time (default: 32)
  --good FILE       writes the proxies that are ok to a file, as they were given
  --all             exits with 0 only if all proxies are ok
  --json            prints a line of JSON for each check
  --repeat N        checks N times; prints minimum, median and maximum of steps
  --timeout MS      milliseconds for a whole check (default: 30000, of which
                    10000 for the steps before the request)
  --tls             the target proves itself by a TLS handshake
  --probe TEXT      by an answer to TEXT, with \\r \\n \\t \\0 and \\\\; "" is nothing
  --exit URL        gets an http: or https: URL, and prints the first IP address
                    in the response: that of the proxy, as the target sees it
  --udp             tests UDP: a DNS query to HOST:PORT (default: 1.1.1.1:53)

  socks5 check socks5h://127.0.0.1:9050 example.com:443
  SOCKS5_PROXY=socks5h://user:password@proxy.example socks5 check --repeat 20
  socks5 check --proxies list.txt --good good.txt --json > report.ndjson
`,
  serve: `Usage: socks5 serve [PROXY...] [OPTION...]

Opens a local proxy: a port for this machine alone that accepts HTTP (CONNECT
and plain requests) and SOCKS5 without a password, and connects through the
proxy. It is for browsers, and for programs that use http_proxy. It prints a
line for a shell:

  export http_proxy=http://127.0.0.1:8118 https_proxy=… all_proxy=…

It reports failed connections and refused clients on standard error. On SIGINT
or SIGTERM, open connections have five seconds to end, and the exit code is 0; a
second signal ends the process at once, with 130 or 143. SIGHUP reads the file
of --proxies or --config again: what is connected stays, and so does all as it
was if the file has an error.

  --config FILE     several ports, each with its own options, from a JSON file;
                    its members are in schema.json and in the documentation
  --check           only checks the file of --config
  --port PORT       the port (default: a free one)
  --listen HOST:PORT  where it listens (default: 127.0.0.1, a free port); other
                    hosts than 127.0.0.1, [::1] and localhost need
                    --credentials; or the path of a unix socket
  --cert FILE, --key FILE  a certificate and its private key in PEM: clients
                    connect by TLS
  --credentials USER:PASSWORD  what clients must sign in with; or a file that
                    begins with a line of that
  --session         clients sign in with any user name, which keeps its proxy;
                    with --credentials :PASSWORD only with that password
  --forward-credentials  clients sign in with the credentials for the proxy
  --balance HOW     which proxy is used: first (that works; the default),
                    round-robin, random, least-open or fastest
  --admin [HOST:]PORT
                    opens a port with a page that shows every proxy, /metrics,
                    /healthz and /readyz; HOST is 127.0.0.1 unless given
  --admin-credentials USER:PASSWORD
                    what must be sent to that port, or a file that begins with
                    a line of that; needed if it is open to other machines.
                    SOCKS5_ADMIN_CREDENTIALS says the same
  --admin-readonly  nothing can be changed by that port
${SERVICE}
  SOCKS5_PROXY=socks5h://user:password@proxy.example socks5 serve --port 8118
  socks5 serve --proxies list.txt --balance least-open --session --log log.txt
`,
  run: `Usage: socks5 run [PROXY...] [OPTION...] -- PROGRAM [ARGUMENT...]

Opens a local proxy for one program, and ends with it. The program gets the
variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in upper and lower
case, and NODE_USE_ENV_PROXY=1. A program that reads none of them connects
directly: this is no sandbox.

Signals are passed on to the program. The exit code is that of the program, or
128 and the number of the signal that ended it; 127 if there is no such program,
and 126 if it cannot be started.

  --balance HOW     which proxy is used: first (that works; the default),
                    round-robin, random, least-open or fastest
  --session NAME    a name that keeps its proxy
  --no-proxy HOSTS  what the program connects to directly, as NO_PROXY has it
                    (default: nothing)
  --verbose         also reports connections, and the proxies that were passed
                    over and why
  --proxies FILE    proxies, one on each line; - is standard input

  export SOCKS5_PROXY=socks5h://user:password@proxy.example
  socks5 run -- git clone https://example.com/repository.git
`,
  forward: `Usage: socks5 forward [PROXY...] [BIND:]PORT:HOST:PORT... [OPTION...]

Forwards ports of this machine to targets, like ssh -L: a connection to PORT is
forwarded to HOST:PORT through the proxy, which resolves the name. BIND is an
address of loopback (default: 127.0.0.1). IPv6 needs brackets. PORT 0 is a free
port, which the output names.

It reports failed connections and refused clients on standard error. On SIGINT
or SIGTERM, open connections have five seconds to end, and the exit code is 0; a
second signal ends the process at once, with 130 or 143. SIGHUP reads the file
of --proxies again.

${SERVICE}
  socks5 forward socks5h://127.0.0.1:9050 5432:db.internal:5432
`,
  connect: `Usage: socks5 connect [PROXY...] HOST:PORT [OPTION...]
       socks5 connect [PROXY...] HOST PORT [OPTION...]

Opens a tunnel to the target and connects standard input and output to it.
Nothing else is written to the output. The end of the input is passed on to the
target, and the end of the target to the output. On Deno and on a terminal, the
end of the target ends the process, since the output cannot be closed there.

  --timeout MS      milliseconds to open the tunnel (default: 30000)
  --proxies FILE    proxies, one on each line

  export SOCKS5_PROXY=socks5h://127.0.0.1:9050
  ssh -o ProxyCommand="socks5 connect %h %p" host.example
`,
};
