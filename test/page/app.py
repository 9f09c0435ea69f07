"""testapp as the page's tests need it: a server with an admin address, and clients of its own. One thread."""

import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STX = 0x8EB69AF7
TOKEN = "a-token-of-this-test-1234"


def command(name):
    """The akg_id of a command of testapp's."""
    with open(os.path.join(ROOT, "test/apps/testapp/commands.h"), encoding="utf-8") as f:
        return int(re.search(rf"\b{name} = (0x[0-9a-f]+)", f.read()).group(1), 16)


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Client:
    """One connection."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=20)

    def send(self, name, data=b""):
        self.s.sendall(struct.pack("<IHH", STX, 8 + len(data), command(name)) + data)

    def receive(self):
        head = self.exactly(8)
        return self.exactly(struct.unpack("<IHH", head)[1] - 8)

    def exactly(self, n):
        data = b""
        while len(data) < n:
            got = self.s.recv(n - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def ask(self, name, data=b""):
        self.send(name, data)
        return self.receive()

    def worker(self):
        return struct.unpack_from("<II", self.ask("TEST_WHO"))[1]

    def is_closed(self, seconds):
        """Whether the server closes it, within this time."""
        self.s.settimeout(seconds)
        try:
            return self.s.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self):
        self.s.close()


class App:
    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="mario-page-app-")
        self.port, self.admin = free_ports(2)
        self.token_file = os.path.join(self.dir, "token")
        with open(os.open(self.token_file, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write(TOKEN + "\n")
        self.url = f"http://127.0.0.1:{self.admin}/"
        self.options = [f"server.listen=127.0.0.1:{self.port}", f"admin.listen=127.0.0.1:{self.admin}",
                        f"admin.token_file={self.token_file}", f"log.file={self.dir}/log", *options]
        self.clients = []
        self.process = None
        self.start()

    def start(self):
        program = os.path.join(os.environ.get("APPS", os.path.join(ROOT, "build/release/apps")), "testapp")
        with open(os.path.join(self.dir, "err"), "ab") as err:
            self.process = subprocess.Popen([program] + [x for o in self.options for x in ("-o", o)], stderr=err,
                                            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(self.url + "readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("testapp does not start:\n" + self.said())
            time.sleep(0.05)

    def said(self):
        text = ""
        for name in ("err", "log"):
            if os.path.exists(os.path.join(self.dir, name)):
                with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as f:
                    text += f.read()
        return text

    def client(self, worker=None):
        """A connection; of this worker."""
        for _ in range(100):
            c = Client(self.port)
            if worker is None or c.worker() == worker:
                self.clients.append(c)
                return c
            c.close()
        raise RuntimeError(f"worker {worker} gets no newcomers")

    def leave(self):
        """All clients go."""
        for c in self.clients:
            c.close()
        self.clients.clear()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Its exit code, and what a sanitizer has said."""
        self.leave()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "none: it did not stop"
        report = re.search(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:)[^\n]*", self.said())
        subprocess.run(["rm", "-rf", self.dir], check=False)
        return code, report.group(0) if report else None
