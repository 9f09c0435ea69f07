"""What cluster.py starts: engines, nodes (bench/cluster/node), their users (bench/cluster/ears), and how it talks to
them."""
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import time
import urllib.request

from procs import BenchError, clock_of, end_process, free_port, last_line, start_process

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
BUILT = os.path.join(ROOT, "build", "release", "cluster")
SYSTEM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
AT_ONCE = 100
PATIENCE = 60  # seconds for the longest thing that is waited for

# bench/cluster/protocol.h
STX = 0x8EB69AF7
JOIN, SEND, SENT, STAT = 0x0012, 0x0013, 0x0014, 0x0015
EVENTS = {"up": 1, "down": 2, "gap": 3, "joined": 4, "left": 5}


def find(program):
    return shutil.which(program, path=SYSTEM_PATH)


def await_that(what, true, patience=PATIENCE, pause=0.005):
    """Until true() says so. Raises BenchError."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {patience} s: {what}")
        time.sleep(pause)


class Process:
    """Something that listens on a port of 127.0.0.1. Use it with `with`."""

    clean_exits = (0,)

    def __init__(self, name, cores, setup):
        self.name, self.cores, self.setup = name, cores, setup
        self.port = free_port()
        self.said = os.path.join(setup.tmp, f"{name}-{self.port}.out")
        self.process = None

    def argv(self):
        raise NotImplementedError

    def start(self):
        """Start it, for the first time or again on the same port."""
        with open(self.said, "ab") as out:
            self.process = start_process(self.argv(), self.cores, stdout=out, stderr=subprocess.STDOUT,
                                         cwd=self.setup.tmp)
        try:
            await_that(f"{self.name} listens", self.listens, 10, 0.002)
        except BaseException:
            end_process(self.process, 1)
            raise
        return self

    def listens(self):
        self.check_alive()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def check_alive(self):
        code = self.process.poll()
        if code is not None:
            raise BenchError(f"{self.name} ended by itself (exit code {code}): {last_line(self.said)}")

    def cpu(self):
        """Seconds of all its threads."""
        return clock_of(self.process.pid)

    def rss(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise BenchError(f"{self.name}: no Rss")

    def kill(self):
        """As if its machine had lost its power."""
        self.process.kill()
        end_process(self.process, 1)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None or kind is None:
            was_killed = self.process.returncode == -9
            code = end_process(self.process, 15)
            if kind is None and not was_killed and code not in self.clean_exits:
                raise BenchError(f"{self.name} did not stop cleanly (exit code {code}): {last_line(self.said)}")


# --- engines ------------------------------------------------------------------------------------------------


class Redis(Process):
    program = "redis-server"

    def argv(self):
        return [find(self.program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                "no", "--client-output-buffer-limit", "pubsub 0 0 0"]

    def info(self, section, key):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as asked:
            asked.sendall(f"INFO {section}\r\nQUIT\r\n".encode())
            text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        for line in text.splitlines():
            if line.startswith(key + ":"):
                return int(line.split(":")[1])
        raise BenchError(f"redis says no {key}")

    def channels(self):
        return self.info("stats", "pubsub_channels")

    def memory(self):
        return self.info("memory", "used_memory")


class Nats(Process):
    program = "nats-server"
    clean_exits = (0, 1)

    def __init__(self, name, cores, setup):
        super().__init__(name, cores, setup)
        self.monitor = free_port()

    def argv(self):
        conf = self.said + ".conf"
        with open(conf, "w", encoding="ascii") as stream:
            stream.write(f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\nmax_pending: 1GB\n'
                         f'jetstream: {{store_dir: "{self.said}.js"}}\n')
        return [find(self.program), "-c", conf]

    def channels(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/subsz", timeout=10) as answer:
            return json.load(answer)["num_subscriptions"]

    def memory(self):
        return self.rss()


ENGINES = {"redis": Redis, "nats": Nats}


# --- nodes and their users ----------------------------------------------------------------------------------


class Node(Process):
    """bench/cluster/node, with a connection to tell it what to do."""

    def __init__(self, name, engine, cores, setup, conns=64):
        super().__init__(name, cores, setup)
        self.engine, self.conns = engine, conns
        self.told = None

    def argv(self):
        bus = ["-", "-"] if self.engine is None else [self.engine.bus, f"127.0.0.1:{self.engine.port}"]
        return [os.path.join(BUILT, "node"), str(self.port), str(self.conns + 64), *bus, self.name]

    def start(self):
        super().start()
        self.told = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        if self.engine is not None:
            await_that(f"{self.name} is on the bus", lambda: self.event("up") > 0, 10)
        return self

    def ask(self, akg, data=b""):
        """What it answers."""
        try:
            self.told.sendall(struct.pack("<IHH", STX, 8 + len(data), akg) + data)
            head = self.told.recv(8, socket.MSG_WAITALL)
            size = struct.unpack("<IHH", head)[1] - 8
            return self.told.recv(size, socket.MSG_WAITALL) if size else b""
        except (OSError, struct.error) as error:
            self.check_alive()
            raise BenchError(f"{self.name} does not answer: {error}; {last_line(self.said)}") from error

    def stat(self, name):
        return struct.unpack("<Q", self.ask(STAT, name.encode()))[0]

    def event(self, what):
        """How many of these it had."""
        return self.stat(f"event.{EVENTS[what]}")

    def join(self, first, count):
        """Have that connection join so many groups, as many at a time as a worker's turn carries out."""
        for at in range(0, count, AT_ONCE):
            self.ask(JOIN, struct.pack("<QI", first + at, min(AT_ONCE, count - at)))

    def send(self, job):
        self.ask(SEND, struct.pack("<QIIIIHBB", job.first, job.users, job.count, job.burst, job.rate, job.length,
                                   job.sender, job.mute))

    def progress(self):
        return dict(zip(("sent", "refused", "late_ns", "took_ns", "busy"),
                        struct.unpack("<QQQQB", self.ask(SENT))))

    def await_sent(self):
        """Until it has done its job; what progress() gives then."""
        await_that(f"{self.name} has sent", lambda: not self.progress()["busy"], pause=0.02)
        return self.progress()

    def kill(self):
        super().kill()
        self.told.close()

    def __exit__(self, kind, value, trace):
        if self.told is not None:
            self.told.close()
        super().__exit__(kind, value, trace)


class Ears:
    """So many users of a node. Use it with `with`."""

    def __init__(self, node, first, count, cores):
        self.node, self.first, self.count, self.cores = node, first, count, cores
        self.said = node.said + ".ears"
        self.process = None

    def __enter__(self):
        argv = [os.path.join(BUILT, "ears"), str(self.node.port), str(self.first), str(self.count)]
        with open(self.said, "wb") as err:
            self.process = start_process(argv, self.cores, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
        try:
            self.answer()
            if self.node.engine is not None:
                await_that("its users are subscribed", self.is_subscribed)
        except BaseException:
            end_process(self.process, 1)
            raise
        return self

    def is_subscribed(self):
        return self.node.stat("cluster_subscriptions") >= self.count

    def answer(self):
        ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
        text = self.process.stdout.readline() if ready else b""
        if not text:
            raise BenchError(f"the users of {self.node.name}: {last_line(self.said) if ready else 'no answer'}")
        return json.loads(text)

    def tell(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def await_received(self, count, patience=3):
        """Until so many have come, or none has for so many seconds. What `report` gives."""
        found, last = self.tell("report"), time.monotonic()
        while found["received"] < count and time.monotonic() < last + patience:
            time.sleep(0.02)
            before, found = found["received"], self.tell("report")
            last = time.monotonic() if found["received"] > before else last
        return found

    def __exit__(self, kind, value, trace):
        self.process.stdin.close()
        end_process(self.process, 5)
        self.process.stdout.close()
