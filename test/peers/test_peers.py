"""Other people's programs that speak TLS with a server: openssl, curl, gnutls-cli, node, Chromium, sslscan, testssl.sh.
usage: test_peers.py [TEST...]; testssl is run only by its name, for it takes minutes.

APPS as scripts/test sets it. Each test runs with both of tls.records. Prints what check's tests print; what is not
installed is noted where TEST_SKIPPED says; CK_RUN_CASE other than `peers`: nothing is run. Exit 0, or 1."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "page"))
import browser  # noqa: E402
from app import App, command, free_ports  # noqa: E402

APPS = os.environ.get("APPS", os.path.join(os.path.dirname(os.path.dirname(HERE)), "build/release/apps"))
SECONDS = 30
LONG = 8000  # bytes of a long line


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failed(" ".join(map(str, what)))


def need(program, package):
    if shutil.which(program) is None:
        raise Skipped(f"no {program} here (apt-get install {package})")


def run(*args, text="", seconds=120):
    """Its exit code, and what it said on both."""
    done = subprocess.run(args, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                          check=False)
    return done.returncode, done.stdout.decode(errors="replace")


class Talk:
    """A program that one talks with."""

    def __init__(self, *args):
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said, self.ended, self.news = "", False, threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while got := os.read(self.process.stdout.fileno(), 65536):
            with self.news:
                self.said += got.decode(errors="replace")
                self.news.notify()
        with self.news:
            self.ended = True
            self.news.notify()

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def hear(self, text):
        """Wait for it. What has come is forgotten up to its end, and answered."""
        until = time.monotonic() + SECONDS
        with self.news:
            while text not in self.said:
                left = until - time.monotonic()
                check(left > 0 and not self.ended, f"not heard: '{text[:60]}', but: {self.said[-1500:]}")
                self.news.wait(left)
            at = self.said.index(text) + len(text)
            heard, self.said = self.said[:at], self.said[at:]
        return heard

    def echo(self, line):
        self.say(line + "\n")
        self.hear(line)

    def await_end(self):
        """It ends by itself: what is left of what it said."""
        with self.news:
            check(self.news.wait_for(lambda: self.ended, SECONDS), "it goes on:", self.said[-1500:])
        return self.end()

    def quit(self):
        """openssl s_client: it is to say goodbye."""
        self.say("Q\n")
        return self.await_end()

    def end(self):
        """What is left of what it said."""
        try:
            self.process.stdin.close()
            self.process.wait(SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        with self.news:
            self.news.wait_for(lambda: self.ended, SECONDS)
            return self.said


class Certificates:
    """In a folder of their own: ca.pem; NAME.pem and NAME.key, signed by it; NAME.both has both."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mario-peers-")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
                     "-subj", "/CN=authority of a test", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))
        self.make("default", "localhost", "DNS:localhost,IP:127.0.0.1")
        self.make("shop", "shop", "DNS:shop.example.com,DNS:*.shop.example.com")
        self.make("rsa", "localhost", "DNS:localhost,IP:127.0.0.1", "rsa:2048")
        self.make("alice", "alice", "DNS:alice", usage="clientAuth")
        self.make("stranger", "stranger", "DNS:stranger", usage="clientAuth", sign=False)

    def openssl(self, *args):
        code, said = run("openssl", *args)
        check(code == 0, "openssl", args[0], said)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, name, common, names, kind="ec", usage="serverAuth", sign=True):
        extra = self.path("extra")
        with open(extra, "w", encoding="utf-8") as f:
            f.write(f"[x]\nsubjectAltName={names}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n"
                    "keyUsage=digitalSignature\ncrlDistributionPoints=URI:http://localhost/none.crl\n")
        curve = ("-pkeyopt", "ec_paramgen_curve:prime256v1") if kind == "ec" else ()
        self.openssl("req", "-newkey", kind, *curve, "-nodes", "-subj", f"/CN={common}", "-keyout",
                     self.path(name + ".key"), "-out", self.path(name + ".csr"))
        signer = ("-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key")) if sign else \
            ("-signkey", self.path(name + ".key"))
        self.openssl("x509", "-req", "-in", self.path(name + ".csr"), *signer, "-days", "90", "-extfile", extra,
                     "-extensions", "x", "-out", self.path(name + ".pem"))
        with open(self.path(name + ".both"), "wb") as both:
            for part in (".pem", ".key"):
                with open(self.path(name + part), "rb") as f:
                    both.write(f.read())

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Server:
    """testapp, with lines over TLS in several ways."""

    def __init__(self, certificates, records):
        self.c, self.records = certificates, records
        plain, self.line, self.mutual, self.ws, self.rsa, self.alpn = ports = free_ports(6)
        echo = f"id={command('TEST_FRAMED'):#x}"
        listen = (f"127.0.0.1:{plain}", f"127.0.0.1:{self.line} tls=default+shop proto=line {echo}",
                  f"127.0.0.1:{self.mutual} tls=mutual proto=line {echo}",
                  f"127.0.0.1:{self.ws} tls=default proto=ws {echo}",
                  f"127.0.0.1:{self.rsa} tls=rsa proto=line {echo}",
                  f"127.0.0.1:{self.alpn} tls=speaks proto=line {echo}")
        self.app = App("server.listen=" + ",".join(listen), f"tls.records={records}", "test.offload=on",
                       *self.section("default", "default"), *self.section("shop", "shop"),
                       *self.section("rsa", "rsa"), *self.section("mutual", "default"),
                       f"tls mutual.client_ca={self.c.path('ca.pem')}",
                       *self.section("speaks", "default"), "tls speaks.alpn=first,second")
        self.app.port = ports[0]

    def section(self, name, files):
        return (f"tls {name}.certificate={self.c.path(files + '.pem')}", f"tls {name}.key={self.c.path(files + '.key')}")

    def count(self, metric):
        """The sum of a metric, all its labels together."""
        with urllib.request.urlopen(self.app.url + "metrics", timeout=20) as answer:
            text = answer.read().decode()
        return sum(float(v) for v in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def s_client(self, port, *args, trusted=True):
        """openssl s_client, which must find nothing wrong with whom it talks to."""
        trust = ("-CAfile", self.c.path("ca.pem"), "-verify_return_error") if trusted else ()
        return Talk("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *trust, *args)

    def refused(self, port, what, *args):
        """s_client must be refused with an alert that says so."""
        said = self.s_client(port, *args, trusted=False).await_end()
        check(re.search(what, said), "not refused with", what, said[-800:])


# ---- openssl s_client ----

CIPHERS = (("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), ("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
           ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
           ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
           ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
           ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"))


def openssl_each_cipher(s):
    """Every cipher of both versions carries short and long lines."""
    for args in CIPHERS:
        t = s.s_client(s.line, *args)
        t.hear("Verification: OK")
        t.hear("Cipher is " + args[2])
        t.echo("hello")
        t.echo("x" * LONG)
        t.quit()
    for curve in ("X25519", "P-256", "P-384"):
        t = s.s_client(s.line, "-groups", curve, "-brief")
        t.hear("CONNECTION ESTABLISHED")
        t.echo("by " + curve)
        t.end()
    t = s.s_client(s.rsa, "-brief")
    t.hear("RSA")
    t.echo("with the other key")
    t.end()


def openssl_is_refused(s):
    """What is too old or not in common, each with the alert that says so."""
    s.refused(s.line, "alert protocol version", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    s.refused(s.line, "alert protocol version", "-tls1", "-cipher", "DEFAULT@SECLEVEL=0")
    s.refused(s.line, "alert handshake failure", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")
    s.refused(s.rsa, "alert handshake failure", "-tls1_2", "-cipher", "AES128-GCM-SHA256")
    s.refused(s.alpn, "alert no application protocol", "-alpn", "h2")
    s.refused(s.mutual, "alert certificate required", "-tls1_3")
    s.refused(s.mutual, "alert handshake failure|alert certificate required", "-tls1_2")
    s.refused(s.mutual, "alert unknown ca|alert certificate unknown|alert bad certificate", "-tls1_3", "-cert",
              s.c.path("stranger.pem"), "-key", s.c.path("stranger.key"))


def openssl_new_keys(s):
    """K: new keys, and the server is asked for its own; k: without asking. Lines go on in between."""
    t = s.s_client(s.line, "-tls1_3", "-brief")
    t.hear("CONNECTION ESTABLISHED")
    for i in range(12):
        t.say("K\n" if i % 3 else "k\n")
        t.hear("KEYUPDATE")
        t.echo(f"line {i} " + "y" * (LONG if i % 4 == 0 else i))
    t.quit()


def openssl_resumes(s):
    """A ticket is taken back once it was given, in both versions; the certificate of another name makes it void."""
    for version in ("-tls1_2", "-tls1_3"):
        ticket = s.c.path("ticket" + version)
        t = s.s_client(s.line, version, "-sess_out", ticket)
        t.hear("New, TLSv1")
        t.echo("the first time")
        t.quit()
        for _ in range(2):
            t = s.s_client(s.line, version, "-sess_in", ticket)
            t.hear("Reused, TLSv1")
            t.echo("once more")
            t.quit()
        said = s.s_client(s.mutual, version, "-sess_in", ticket, trusted=False).await_end()
        check("Reused" not in said and "alert" in said, "it came in by it", said[-800:])


def openssl_names(s):
    """The certificate is that of the name asked for; who asks for none, or another, gets the first one."""
    for name, common in ((None, "localhost"), ("localhost", "localhost"), ("shop.example.com", "shop"),
                         ("a.shop.example.com", "shop"), ("SHOP.example.com", "shop"), ("a.b.shop.example.com", "localhost"),
                         ("elsewhere.example.com", "localhost")):
        asks = ("-servername", name) if name else ("-noservername",)
        t = s.s_client(s.line, "-brief", *asks)
        said = t.hear("Peer certificate: CN = " + common)
        check("CONNECTION ESTABLISHED" in said, said)
        t.echo("hello")
        t.end()


def openssl_shows_who_it_is(s):
    """A client with a certificate comes in, and again by its ticket; protocols are chosen by what the server likes."""
    ticket = s.c.path("ticket-alice")
    alice = ("-cert", s.c.path("alice.pem"), "-key", s.c.path("alice.key"))
    for args, what in ((("-sess_out", ticket), "New, "), (("-sess_in", ticket), "Reused, ")):
        t = s.s_client(s.mutual, *alice, *args)
        t.hear(what)
        t.echo("it is me")
        t.quit()
    t = s.s_client(s.alpn, "-alpn", "second,first")
    t.hear("ALPN protocol: first")
    t.echo("hello")
    t.quit()


def openssl_asks_for_too_much(s):
    """Renegotiation and early data: neither is there, and neither does harm."""
    t = s.s_client(s.line, "-tls1_2")
    t.hear("New, TLSv1.2")
    t.echo("before")
    t.say("R\n")
    t.hear("RENEGOTIATING")
    said = t.await_end()
    check("no renegotiation" in said or "error" in said.lower(), said[-600:])
    ticket, early = s.c.path("ticket-early"), s.c.path("early")
    with open(early, "w", encoding="utf-8") as f:
        f.write("early\n")
    t = s.s_client(s.line, "-tls1_3", "-sess_out", ticket)
    t.echo("hello")
    t.quit()
    t = s.s_client(s.line, "-tls1_3", "-sess_in", ticket, "-early_data", early)
    t.hear("Early data was not sent")
    t.echo("late enough")
    t.quit()


# ---- Others ----

def gnutls(s):
    """gnutls-cli: both versions, new keys, resumption."""
    need("gnutls-cli", "gnutls-bin")

    def cli(priority, *args):
        return Talk("gnutls-cli", "--x509cafile", s.c.path("ca.pem"), "--priority", priority, *args, "-p", str(s.line),
                    "127.0.0.1")
    for priority in ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3",
                     "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305",
                     "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"):
        t = cli(priority)
        t.hear("The certificate is trusted")
        t.hear("Simple Client Mode")
        t.echo("hello")
        t.echo("z" * 4000)
        t.end()
    t = cli("NORMAL:-VERS-ALL:+VERS-TLS1.3", "--inline-commands")
    t.hear("Simple Client Mode")
    for i in range(3):
        t.say("^rekey^\n")
        t.echo(f"with other keys {i}")
    t.end()
    for version in ("1.2", "1.3"):
        t = cli(f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--resume", "--waitresumption")
        t.hear("This is a resumed session")
        t.echo("once more")
        t.end()


NODE = """
const tls = require("tls"), [port, rsa, ca] = [+process.argv[2], +process.argv[3], process.argv[4]];
const trust = require("fs").readFileSync(ca), fail = (why) => { console.error(why); process.exit(1); };
/* One connection: lines are echoed, then we end it, and hear the end. */
function talk(port, more, then) {
  const lines = ["hello", "x".repeat(8000), "gr\\u00fc\\u00df dich \\u2603"], all = lines.join("\\n") + "\\n";
  let got = "", ticket = null, reused = false;
  const s = tls.connect({port, host: "127.0.0.1", servername: "localhost", ca: trust, ...more}, () => {
    if (!s.authorized) fail("not trusted: " + s.authorizationError);
    reused = s.isSessionReused();
    s.write(all);
  });
  s.setEncoding("utf8");
  s.on("session", (t) => { ticket = t; });
  s.on("error", (e) => fail("error: " + e.message));
  s.on("data", (d) => { got += d; if (got.length === all.length) { if (got !== all) fail("not the same"); s.end(); } });
  let heard = false;
  s.on("end", () => { heard = true; });
  s.on("close", (bad) => (bad || !heard || got !== all) ? fail("no clean end") :
    then({reused, ticket}));
}
const steps = [];
for (const v of ["TLSv1.2", "TLSv1.3"]) steps.push((go) => {
  const only = {minVersion: v, maxVersion: v};
  talk(port, only, (a) => talk(port, {...only, session: a.ticket}, (b) => {
    if (a.reused || !b.reused) fail(v + " is not resumed");
    talk(rsa, only, go);
  }));
});
steps.push((go) => { let left = 50; for (let i = 0; i < 50; i++) talk(port, {}, () => --left || go()); });
(function next() { steps.length ? steps.shift()(next) : console.log("good"); })();
"""


def node(s):
    """node: both versions, both keys, resumption, clean ends, fifty at once."""
    need("node", "nodejs")
    script = s.c.path("client.js")
    with open(script, "w", encoding="utf-8") as f:
        f.write(NODE)
    code, said = run("node", script, str(s.line), str(s.rsa), s.c.path("ca.pem"))
    check(code == 0 and said.endswith("good\n"), said[-1000:])


PAGE = """new Promise((good, bad) => {
    const s = new WebSocket("wss://127.0.0.1:%d/"), sent = ["hello", "x".repeat(8000), "\\u2603"], got = [];
    s.onopen = () => sent.forEach((m) => s.send(m));
    s.onerror = () => bad("error");
    s.onmessage = (m) => { got.push(m.data); if (got.length === sent.length) s.close(1000); };
    s.onclose = (e) => good([e.code, got.join() === sent.join()].join());
})"""


def chromium(s):
    """A page in a browser that trusts nobody but our key talks over wss."""
    if browser.find() is None:
        raise Skipped("no chromium here (apt-get install chromium)")
    der = subprocess.run(["sh", "-c", f"openssl x509 -in {s.c.path('default.pem')} -pubkey -noout | "
                          "openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64"],
                         capture_output=True, text=True, check=True).stdout.strip()
    b = browser.Browser(more=("--ignore-certificate-errors-spki-list=" + der,))
    try:
        for _ in range(4):
            check(b.eval(PAGE % s.ws) == "1000,true", "the browser had no echo")
        check(b.complaints() == [], b.complaints())
    finally:
        b.close()


def curl(s):
    """curl and https: files short and long, both versions, many on one connection, who is not trusted."""
    need("curl", "curl")
    web = os.path.join(APPS, "web")
    if not os.path.exists(web):
        raise Skipped("the web server is not built (libfcgi-dev)")
    port, root = free_ports(1)[0], s.c.path("site")
    os.makedirs(root, exist_ok=True)
    body = bytes(range(256)) * 8192
    for name, data in (("short", b"short\n"), ("long", body)):
        with open(os.path.join(root, name), "wb") as f:
            f.write(data)
    server = subprocess.Popen([web, "-l", f"127.0.0.1:{port} proto=http tls=web", "-d", root,
                               "-S" if s.records == "slim" else "-s", s.c.path("default.both")],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url, trust = f"https://localhost:{port}/", ("--cacert", s.c.path("ca.pem"))

    def ask(*args):
        return subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "60", *args], capture_output=True, check=False)
    try:
        until = time.monotonic() + SECONDS
        while ask(*trust, url + "short").returncode == 7 and time.monotonic() < until:
            time.sleep(0.05)
        for version in (("--tlsv1.3",), ("--tlsv1.2", "--tls-max", "1.2")):
            for name, data in (("short", b"short\n"), ("long", body)):
                done = ask(*trust, *version, "--http1.1", url + name)
                check(done.returncode == 0 and done.stdout == data, version, name, done.stderr, len(done.stdout))
        done = ask(*trust, "-v", *[url + "short"] * 30)
        check(done.returncode == 0 and done.stdout == b"short\n" * 30, done.stderr[-500:])
        check(b"Re-using existing connection" in done.stderr and b"http/1.1" in done.stderr, done.stderr[-1500:])
        check(ask(url + "short").returncode == 60, "it trusts whom it does not know")
        plain = ask(f"http://localhost:{port}/short")
        check(plain.returncode != 0 and b"short" not in plain.stdout, "plain HTTP is answered", plain.stdout)
    finally:
        server.terminate()
        said = server.communicate(timeout=SECONDS)[1].decode(errors="replace")
    check(server.returncode == 0, "exit code", server.returncode, said[-1000:])


# ---- Scanners ----

def sslscan(s):
    """sslscan: TLS 1.2 and 1.3 with good ciphers, and nothing else."""
    need("sslscan", "sslscan")
    for port in (s.line, s.rsa):
        code, said = run("sslscan", "--no-colour", "--show-certificate", f"127.0.0.1:{port}")
        check(code == 0, said[-800:])
        for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
            check(re.search(rf"^{old} +disabled", said, re.M), old, said[:1500])
        for new in ("TLSv1.2", "TLSv1.3"):
            check(re.search(rf"^{new} +enabled", said, re.M), new, said[:1500])
        check("Compression enabled" not in said and "supports TLS Fallback SCSV" in said, said[:2500])
        check("Session renegotiation not supported" in said, said[:2500])
        check(not re.search(r"[^t] vulnerable to heartbleed", said), "heartbleed", said)
        ciphers = re.findall(r"^(?:Preferred|Accepted) +TLSv1\.\d +\d+ bits +(\S+)", said, re.M)
        bad = [c for c in ciphers if not re.search(r"GCM|CHACHA20|TLS_AES", c) or not re.match(r"ECDHE|TLS_", c)]
        check(len(ciphers) >= 5 and not bad, "ciphers", bad, ciphers)


def testssl(s):
    """testssl.sh: no finding of medium severity or above."""
    need("testssl", "testssl.sh")
    for name, port in (("ec", s.line), ("rsa", s.rsa)):
        out = s.c.path(f"testssl-{name}-{s.records}.json")
        code, said = run("testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--add-ca",
                         s.c.path("ca.pem"), "--jsonfile", out, "--severity", "LOW", f"localhost:{port}", seconds=900)
        check(os.path.exists(out), code, said[-1500:])
        with open(out, encoding="utf-8") as f:
            found = json.load(f)
        for one in found:
            print(f"  testssl {name} {s.records}: {one['severity']} {one['id']}: {one['finding']}")
        check(not [f for f in found if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")], found)


TESTS = (openssl_each_cipher, openssl_is_refused, openssl_new_keys, openssl_resumes, openssl_names, openssl_shows_who_it_is,
         openssl_asks_for_too_much, gnutls, node, chromium, curl, sslscan)
BY_NAME = (testssl,)


def skip(why):
    with open(os.environ.get("TEST_SKIPPED", "/dev/stderr"), "a", encoding="utf-8") as f:
        f.write(f"test/peers/test_peers.py: peers: {why}\n")


def say(line, name, what):
    """As check does, so that scripts/again understands it."""
    what = re.sub(r"\s+", " ", str(what))
    print(f"test/peers/test_peers.py:{line}:F:peers:{name}:0: {what}", flush=True)


def run_one(test, server):
    """True, or False if it failed; None if it was skipped."""
    began = time.monotonic()
    try:
        test(server)
    except Skipped as e:
        skip(str(e))
        return None
    except (Failed, browser.BrowserError, subprocess.SubprocessError, OSError) as e:
        say(test.__code__.co_firstlineno, f"{test.__name__} ({server.records})", e or type(e).__name__)
        return False
    if os.environ.get("PAGE_TIMES"):
        print(f"  {test.__name__} ({server.records}): {time.monotonic() - began:.1f} s", flush=True)
    return True


def run_all(tests, certificates):
    """How many ran, and failed."""
    ran = failed = 0
    for records in ("openssl", "slim"):
        server = Server(certificates, records)
        for t in tests:
            good = run_one(t, server)
            ran += good is not None
            failed += good is False
        code, report = server.app.stop()
        if (code, report) != (0, None):
            say(run_all.__code__.co_firstlineno, f"its_end ({records})", f"exit code {code}; {report}")
            failed += 1
    return ran, failed


def main(names):
    if os.environ.get("CK_RUN_CASE", "peers") != "peers":
        return 0
    if shutil.which("openssl") is None:
        skip("no openssl here (apt-get install openssl)")
        return 0
    tests = [t for t in TESTS + BY_NAME if t.__name__ in names] if names else TESTS
    print("Running peers", flush=True)
    certificates = Certificates()
    try:
        ran, failed = run_all(tests, certificates)
    except (Failed, RuntimeError) as e:
        say(main.__code__.co_firstlineno, "begin", e)
        ran, failed = 1, 1
    finally:
        certificates.remove()
    print(f"{100 * max(ran - failed, 0) // max(ran, 1)}%: Checks: {ran}, Failures: {failed}, Errors: 0")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
