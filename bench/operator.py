#!/usr/bin/env python3
"""What it costs the connections that somebody lists them all, over and over.

usage: bench/operator.py [--connections N] [--rounds N] [--seconds S] [--rate N]

maritcp with one worker and so many connections, most of them idle, answers 50 of them at a steady rate. In every other
round a client lists all connections, page after page without a pause. Shown are the longest time that the worker was held
up by one slice of a list, as it measured that itself; how long a list of all takes; and the p99 of the answers in both kinds of
rounds. Exit code 1 if a slice took 100 us or more.

The worker has the first core alone, all else the last one: the thread for operators, who asks, and the load generator. So the
p99 also has what these take from each other, and is not judged.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT_US = 100
PAGE = 1000


def ask(path, command):
    """The answer to a command, as JSON."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"json " + command.encode() + b"\n")
        f = s.makefile("rb")
        code, size = map(int, f.readline().split())
        text = f.read(size)
    if code != 0:
        raise RuntimeError(f"{command}: {code}, {text.decode()}")
    return json.loads(text)


def list_all(path):
    """How many connections there are."""
    seen, cursor = 0, ""
    while True:
        page = ask(path, f"conn list limit={PAGE}{cursor}")
        seen += len(page["connections"])
        if page["cursor"] is None:
            return seen
        cursor = f" cursor={page['cursor']}"


class Lister(threading.Thread):
    """Lists all, over and over, until stop()."""

    def __init__(self, path):
        super().__init__()
        self.path, self.goes_on, self.seconds, self.seen = path, True, [], []

    def run(self):
        while self.goes_on:
            began = time.monotonic()
            self.seen.append(list_all(self.path))
            self.seconds.append(time.monotonic() - began)

    def stop(self):
        self.goes_on = False
        self.join()


def pin(pid, worker_thread):
    for thread in os.listdir(f"/proc/{pid}/task"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(int(thread), {cores[0] if int(thread) == worker_thread else cores[-1]})


def is_open(path):
    return ask(path, "workers")["workers"][0]["open"]


def hold(path, port, count):
    """So many quiet connections."""
    holder = subprocess.Popen(
        [f"{ROOT}/test/mario_load", "127.0.0.1", str(port), "-c", str(count), "-m", "hold", "-t", "3600", "--ramp",
         "10000", "--heartbeat", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while is_open(path) < count:
        time.sleep(0.1)
        if holder.poll() is not None:
            raise RuntimeError("mario_load cannot hold the connections")
    return holder


def load(port, options):
    out = subprocess.run(
        [f"{ROOT}/test/mario_load", "127.0.0.1", str(port), "-c", "50", "-m", "open", "-r", str(options.rate), "-t",
         str(options.seconds), "-w", "0.3", "-j", "-"], capture_output=True, text=True, timeout=120)
    if out.returncode != 0:
        raise RuntimeError(f"mario_load: {out.stderr or out.stdout}")
    return json.loads(out.stdout)


def start(directory, options):
    path = f"{directory}/ctl.sock"
    server = subprocess.Popen(
        [f"{ROOT}/maritcp", "-o", "server.listen=127.0.0.1:0", "-o", "server.workernum=1", "-o",
         f"server.connnum={options.connections + 100}", "-o", f"admin.listen=unix:{path}", "-o",
         f"log.file={directory}/log"], stdout=subprocess.DEVNULL)
    for _ in range(500):
        time.sleep(0.01)
        if os.path.exists(path):
            break
    return server, path


def main():
    p = argparse.ArgumentParser(description="what listing all connections costs them")
    p.add_argument("--connections", type=int, default=15000)
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--rate", type=int, default=20000)
    options = p.parse_args()
    p99 = {False: [], True: []}
    lists, held = [], 0
    with tempfile.TemporaryDirectory() as directory:
        server, path = start(directory, options)
        holder = None
        try:
            port = int(ask(path, "listeners")["listeners"][0]["address"].rsplit(":", 1)[1])
            pin(server.pid, ask(path, "workers")["workers"][0]["thread"])
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
            holder = hold(path, port, options.connections)
            for i in range(options.rounds):
                lister = Lister(path) if i % 2 else None
                if lister:
                    lister.start()
                result = load(port, options)
                if lister:
                    lister.stop()
                    lists += [s for s, n in zip(lister.seconds, lister.seen) if n >= options.connections]
                p99[bool(lister)].append(result["latency_us"]["p99"])
            held = ask(path, "workers")["workers"][0]["held_us"]
        finally:
            for process in filter(None, (holder, server)):
                process.terminate()
                process.wait()
    print(f"{options.connections} connections, {options.rate} requests a second: the worker was held up for "
          f"{held} us at most; a list of all took {statistics.median(lists) * 1000:.0f} ms ({len(lists)} of them); p99 "
          f"{statistics.median(p99[True]):.0f} us, without lists {statistics.median(p99[False]):.0f} us")
    return 0 if held < LIMIT_US else 1


sys.exit(main())
