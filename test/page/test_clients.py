"""WebSockets of others: the chat's page and the script of docs/protocols.md in a headless Chromium, python3-websockets,
and ws and websocket of node where NODE_PATH or node itself has them. usage: test_clients.py. As test_page.py."""

import asyncio
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
from app import ROOT, command, free_ports  # noqa: E402

APPS = os.environ.get("APPS", os.path.join(ROOT, "build/release/apps"))
MARITCP = os.environ.get("MARITCP", os.path.join(ROOT, "maritcp"))
STX = 0x8EB69AF7
SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's packages are, whichever one runs this


class Failed(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failed(" ".join(map(str, what)))


class Server:
    """A program that listens, with an address for browsers."""

    def __init__(self, program, *args):
        self.process = subprocess.Popen([os.path.join(APPS, program), *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def await_port(self, port):
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise Failed("no server") from None
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            said = self.process.communicate(timeout=30)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the server does not stop") from None
        check(self.process.returncode == 0, "exit code", self.process.returncode, said)


# ---- The chat's page ----

def lines(b, kind):
    return b.eval(f"[...document.querySelectorAll('#lines div[data-kind={kind}]')].map(d => d.innerText)")


def the_page_of_the_chat():
    """A browser enters, hears a program's client and is heard by it."""
    if browser.find() is None:
        return "no chromium here (apt-get install chromium)"
    plain, ws = free_ports(2)
    server = Server("chat-server", f"127.0.0.1:{plain}, 127.0.0.1:{ws} proto=ws")
    server.await_port(plain)
    b = browser.Browser()
    ada = None
    try:
        b.open(f"file://{ROOT}/example/chat/page.html?ws://127.0.0.1:{ws}/")
        b.eval("document.getElementById('name').value = 'grace'")
        b.click("#enter button")
        b.wait("!document.getElementById('text').disabled")
        ada = subprocess.Popen([os.path.join(APPS, "chat-client"), "-s", f"127.0.0.1:{plain}", "ada"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        ada.stdin.write("/join lobby\nsch\u00f6n hier\n".encode())
        ada.stdin.flush()
        b.wait("[...document.querySelectorAll('#lines div')].some(d => d.innerText === 'ada: sch\u00f6n hier')")
        b.eval("document.getElementById('text').value = 'hello \u2603'")
        b.click("#speak button")
        b.wait("[...document.querySelectorAll('#lines div')].some(d => d.innerText === 'grace: hello \u2603')")
        heard = b""
        until = time.monotonic() + 20
        os.set_blocking(ada.stdout.fileno(), False)
        while "hello \u2603".encode() not in heard and time.monotonic() < until:
            heard += ada.stdout.read() or b""
            time.sleep(0.02)
        check("hello \u2603".encode() in heard, "ada heard", heard)
        check(b.complaints() == [], b.complaints())
        server.process.send_signal(signal.SIGTERM)
        b.wait("[...document.querySelectorAll('#lines div')].some(d => d.innerText.includes('ended (1001)'))")
        check("the server stops" in lines(b, "note"), lines(b, "note"))
    finally:
        if ada is not None:
            ada.kill()
            ada.wait()
        b.close()
        server.stop()
    return None


# ---- What docs/protocols.md says of browsers ----

def script_of_the_page(url):
    with open(os.path.join(ROOT, "docs/protocols.md"), encoding="utf-8") as f:
        script = re.search(r"^```js\n(.*?)^```$", f.read(), re.DOTALL | re.MULTILINE).group(1)
    check("ws://example.org:8080/" in script, script)
    return script.replace("ws://example.org:8080/", url)


CHOICES = """Promise.all([undefined, ["other", "chat"], ["other"]].map((names) => new Promise((done) => {
  const ws = new WebSocket("%s", names);
  ws.onopen = () => done("chose " + ws.protocol);
  ws.onerror = () => done("failed");
})))"""


def the_browser_of_protocols():
    """Its script says hello to maritcp; and a page gets the subprotocol that it asks for, or none."""
    if browser.find() is None:
        return "no chromium here (apt-get install chromium)"
    plain, ws = free_ports(2)
    server = Server(MARITCP, "-o", f"server.listen=127.0.0.1:{plain}, 127.0.0.1:{ws} proto=ws subprotocol=mqtt+chat",
                    "-o", "log.file=/dev/null")
    server.await_port(plain)
    b = browser.Browser()
    try:
        b.eval("(() => { console.log = (text) => { window.said = text; };\n"
               + script_of_the_page(f"ws://127.0.0.1:{ws}/") + "})()")
        b.wait("window.said === 'hello'")
        got = b.eval(CHOICES % f"ws://127.0.0.1:{ws}/")
        check(got == ["chose ", "chose chat", "failed"], got)
    finally:
        b.close()
        server.stop()
    return None


# ---- Clients of others on testapp ----

def with_testapp(client):
    """Run a client's test with the ports for packets and for payloads. What it says must end with `good`."""
    plain, packets, payloads = free_ports(3)
    server = Server("testapp", "-o", f"server.listen=127.0.0.1:{plain}, 127.0.0.1:{packets} proto=ws "
                    "subprotocol=mqtt+chat, "
                    f"127.0.0.1:{payloads} proto=ws id={command('TEST_FRAMED'):#x}", "-o", "log.file=/dev/null")
    try:
        server.await_port(plain)
        done = subprocess.run([*client, str(packets), str(payloads), str(command("TEST_ECHO"))], timeout=60,
                              capture_output=True, text=True, check=False)
        check(done.returncode == 0 and done.stdout.endswith("good\n"), done.stdout[-500:], done.stderr[-1500:])
    finally:
        server.stop()


def python_websockets():
    """python3-websockets: packets, payloads of both kinds, fragments, pings, both ways to end."""
    if subprocess.run([SYSTEM_PYTHON, "-c", "import websockets"], capture_output=True, check=False).returncode != 0:
        return "no python3-websockets here (apt-get install python3-websockets)"
    with_testapp([SYSTEM_PYTHON, os.path.abspath(__file__), "--client"])
    return None


async def python_client(packets, payloads, echo):
    import websockets
    def packet(data):
        return struct.pack("<IHH", STX, 8 + len(data), echo) + data
    async with websockets.connect(f"ws://127.0.0.1:{packets}/", subprotocols=["other", "chat", "mqtt"]) as s:
        check(s.subprotocol == "chat", s.subprotocol)
        for n in (0, 1, 117, 118, 8000):
            await s.send(packet(b"x" * n))
            check(await s.recv() == packet(b"x" * n), n)
        await s.send(packet(b"one") + packet(b"two"))
        check((await s.recv(), await s.recv()) == (packet(b"one"), packet(b"two")), "two in a message")
        whole = packet(b"in many frames" * 100)
        await s.send([whole[i:i + 100] for i in range(0, len(whole), 100)])
        check(await s.recv() == whole, "fragments")
        await asyncio.wait_for(await s.ping(b"are you there"), 20)
    check(s.close_code == 1000, s.close_code)
    async with websockets.connect(f"ws://127.0.0.1:{payloads}/") as s:
        for message in ("", "text", "gr\u00fc\u00df dich \u2603", b"\x00\xff", "x" * 8000):
            await s.send(message)
            check(await s.recv() == message, repr(message)[:40])
    async with websockets.connect(f"ws://127.0.0.1:{packets}/") as s:
        await s.send("no packet")
        try:
            await s.recv()
        except websockets.ConnectionClosed as e:
            check(e.rcvd is not None and e.rcvd.code == 1003, e)
    print("good")


NODE = """
const [packets, payloads, echo] = process.argv.slice(2).map(Number);
const NAME = %s;
const packet = (data) => {
  const p = Buffer.alloc(8 + data.length);
  p.writeUInt32LE(0x8EB69AF7, 0); p.writeUInt16LE(p.length, 4); p.writeUInt16LE(echo, 6); Buffer.from(data).copy(p, 8);
  return p;
};
const fail = (why) => { console.error(why); process.exit(1); };
const same = (a, b) =>
  Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0 || fail("not the same: " + String(a).slice(0, 60));
/* A socket as browsers have it, whichever library. */
const make = NAME === "ws" ? require("ws") : require("websocket").w3cwebsocket;
function talk(port, names, sent, then) {
  const s = new make(`ws://127.0.0.1:${port}/`, names), left = sent.slice();
  s.binaryType = "arraybuffer";
  s.onopen = () => {
    if ((s.protocol || "") !== (names ? "chat" : "")) fail("chose " + s.protocol);
    sent.forEach((m) => s.send(m));
  };
  s.onerror = (e) => fail("error " + (e.message || e));
  s.onmessage = (m) => {
    same(m.data, left[0]);
    if (typeof m.data !== typeof left[0] && typeof left[0] === "string") fail("another kind");
    left.shift();
    if (left.length === 0) s.close(1000);
  };
  s.onclose = (e) => (left.length === 0 && e.code === 1000) ? then() : fail(`closed ${e.code}, ${left.length} left`);
}
talk(packets, ["other", "chat"], [0, 1, 117, 118, 8000].map((n) => packet("x".repeat(n))),
     () => talk(payloads, undefined,
                ["text", "gr\\u00fc\\u00df dich \\u2603", Buffer.from([0, 255, 128]), "x".repeat(8000)],
                () => console.log("good")));
"""


def node(name):
    if shutil.which("node") is None or subprocess.run(["node", "-e", f"require('{name}')"], capture_output=True,
                                                      check=False).returncode != 0:
        return f"node has no {name} here (npm install {name}, and NODE_PATH)"
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".js", encoding="utf-8") as f:
        f.write(NODE % repr(name))
        f.flush()
        with_testapp(["node", f.name])
    return None


def node_ws():
    """The library ws."""
    return node("ws")


def node_websocket():
    """The library websocket."""
    return node("websocket")


TESTS = (the_page_of_the_chat, the_browser_of_protocols, python_websockets, node_ws, node_websocket)


def main(args):
    if args[:1] == ["--client"]:
        asyncio.run(python_client(*map(int, args[1:])))
        return 0
    if os.environ.get("CK_RUN_CASE", "clients") != "clients":
        return 0
    failed, ran = 0, 0
    print("Running websocket clients", flush=True)
    for t in TESTS:
        try:
            why = t()
        except (Failed, browser.BrowserError, subprocess.TimeoutExpired) as e:
            what = re.sub(r"\s+", " ", str(e))
            print(f"test/page/test_clients.py:{t.__code__.co_firstlineno}:F:clients:{t.__name__}:0: {what}", flush=True)
            failed, why, ran = failed + 1, None, ran + 1
            continue
        if why is not None:
            with open(os.environ.get("TEST_SKIPPED", "/dev/stderr"), "a", encoding="utf-8") as f:
                f.write(f"test/page/test_clients.py: clients: {why}\n")
        else:
            ran += 1
    print(f"{100 * (ran - failed) // max(ran, 1)}%: Checks: {ran}, Failures: {failed}, Errors: 0")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
