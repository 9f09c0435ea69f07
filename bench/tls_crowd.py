#!/usr/bin/env python3
"""Thousands of TLS handshakes that are begun and never ended, and who notices: bench/tls_crowd.py; `make` first.

maritcp with two workers, and 1,000 clients of mario_load's that have logged in over TLS and ask once a second. Then a
crowd comes, first one whose members send half a ClientHello, then one that sends it whole, and says nothing more. While
it is there a newcomer comes each tenth of a second, does a whole handshake, asks once and goes. A line for each crowd:
the server's memory, the newcomers' handshakes, and how the crowd ended, by the server's counters. Exit code 1 when one
of the crowd ended in another way, when a newcomer or one of the clients was lost, or the counters do not add up.
"""
import argparse
import json
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # no __pycache__ in the tree
from procs import STX, BenchError, end_process, free_port, last_line, run_program, start_process

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKERS = 2
OPEN_MOST = 60  # seconds
PAUSE = 0.1  # between newcomers
ECHO = struct.pack("<IHH", STX, 16, 0x6103) + b"newcomer"


def context_of(ca):
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def hello_of(context):
    """What a client begins with."""
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


class Server:
    def __init__(self, tmp, options):
        self.tmp, self.port = tmp, free_port()
        self.ctl = os.path.join(tmp, "ctl")
        subprocess.run([os.path.join(TREE, "scripts/make-cert"), tmp], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        words = [f"server.listen=127.0.0.1:{self.port} tls=default", f"admin.listen=unix:{self.ctl}",
                 f"log.file={tmp}/log", f"tls default.certificate={tmp}/localhost.pem",
                 f"tls default.key={tmp}/localhost.key", *options]
        argv = [os.path.join(TREE, "maritcp")] + [word for o in words for word in ("-o", o)]
        with open(f"{tmp}/err", "wb") as err:
            self.process = start_process(argv, set(os.sched_getaffinity(0)), stdout=err, stderr=err)
        for _ in range(100):
            if os.path.exists(self.ctl):
                return
            time.sleep(0.05)
        raise BenchError(f"maritcp does not start: {last_line(f'{tmp}/err')}")

    def counters(self):
        run = subprocess.run([os.path.join(TREE, "maritcp"), "ctl", "-s", self.ctl, "--json", "stats"],
                             capture_output=True, text=True, check=False)
        found = re.findall(r'"?([a-z_0-9]+)"?\s*:\s*(\d+)', run.stdout)
        if not found:
            raise BenchError(f"no counters: {run.stderr.strip()}")
        return {name: int(value) for name, value in found}

    def memory(self):
        """Of the process, in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as stream:
            return 1024 * int(re.search(r"^Rss:\s+(\d+)", stream.read(), re.M).group(1))

    def stop(self):
        """Its last counters."""
        if end_process(self.process, 30) != 0:
            raise BenchError(f"maritcp ended with {self.process.returncode}: {last_line(f'{self.tmp}/err')}")
        with open(f"{self.tmp}/log", encoding="utf-8", errors="replace") as stream:
            last = [line for line in stream if " stopped:" in line][-1]
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", last)}


def newcomer(server, context):
    """Milliseconds that its handshake took, connect() included."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), 30) as bare:
        with context.wrap_socket(bare, server_hostname="localhost") as client:
            took = time.monotonic() - began
            client.sendall(ECHO)
            got = b""
            while len(got) < len(ECHO):
                some = client.recv(len(ECHO) - len(got))
                if not some:
                    raise BenchError("a newcomer got no answer")
                got += some
            if got != ECHO:
                raise BenchError("a newcomer got a wrong answer")
    return took * 1000


def ended(now, before):
    return {name: now.get(name, 0) - before.get(name, 0) for name in
            ("closed_tls_timeout", "closed_tls_crowded", "closed_tls_failed", "closed_peer_closed", "closed_reset")}


def crowd(name, bytes_of_each, server, context, args):
    before, empty = server.counters(), server.memory()
    began = time.monotonic()
    those = []
    for _ in range(args.crowd):
        one = socket.create_connection(("127.0.0.1", server.port), 30)
        one.sendall(bytes_of_each)
        those.append(one)
    took = time.monotonic() - began
    memory, times, most = 0, [], 0
    while time.monotonic() - began < args.timeout + OPEN_MOST:
        memory = max(memory, server.memory())
        times.append(newcomer(server, context))
        now = server.counters()
        most = max(most, now["tls_shaking"])
        how = ended(now, before)
        if how["closed_tls_timeout"] + how["closed_tls_crowded"] >= args.crowd:
            break
        time.sleep(PAUSE)
    gone = time.monotonic() - began
    for one in those:
        one.settimeout(5)
        try:
            while one.recv(65536):  # what the server has said, and its FIN
                pass
        except ConnectionResetError:
            pass
        one.close()
    times.sort()
    print(f"{name:<6} {args.crowd:>7} {took:>7.1f} {gone:>7.1f} {(memory - empty) / args.crowd:>9,.0f} "
          f"{(memory - empty) / 1e6:>7.1f} {most:>8} {len(times):>6} {statistics.median(times):>8.1f} "
          f"{times[len(times) * 9 // 10]:>8.1f} {times[-1]:>8.1f} {how['closed_tls_timeout']:>9} "
          f"{how['closed_tls_crowded']:>9}", flush=True)
    if how["closed_tls_timeout"] + how["closed_tls_crowded"] != args.crowd or how["closed_tls_failed"] != 0:
        raise BenchError(f"the crowd ended as {how}")
    return len(times)


def run(args, tmp):
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    if soft < args.crowd + args.clients + 500:
        raise BenchError(f"RLIMIT_NOFILE is {soft}: too few for {args.crowd} and {args.clients} connections")
    places = min(args.crowd + args.clients + 500, (soft - 500) // WORKERS)
    server = Server(tmp, [f"server.workernum={WORKERS}", f"server.connnum={places}", "server.backlog=4096",
                          f"tls.handshake_timeout={args.timeout}", *args.option])
    context = context_of(f"{tmp}/ca.pem")
    hello = hello_of(context)
    report = f"{tmp}/load.json"
    with open(f"{tmp}/load", "wb") as out:
        load = start_process([os.path.join(TREE, "test/mario_load"), "127.0.0.1", str(server.port), "-x", f"{STX:#x}",
                              "-m", "hold", "-c", str(args.clients), "-T", "1", "-t", "36000", "--heartbeat", "1",
                              "--tls", "--ca", f"{tmp}/ca.pem", "-j", report],
                             set(os.sched_getaffinity(0)), stdout=out, stderr=out)
    while server.counters()["tls_handshakes_13"] < args.clients:
        if load.poll() is not None:
            raise BenchError(f"mario_load: {last_line(f'{tmp}/load')}")
        time.sleep(0.1)
    time.sleep(1)
    print(f"{'hello':<6} {'crowd':>7} {'came s':>7} {'gone s':>7} {'B each':>9} {'MB':>7} {'places':>8} {'new':>6} "
          f"{'p50 ms':>8} {'p90 ms':>8} {'max ms':>8} {'timeout':>9} {'crowded':>9}")
    new = sum(crowd(name, some, server, context, args) for name, some in
              (("half", hello[:len(hello) // 2]), ("whole", hello)))
    load.send_signal(signal.SIGINT)
    code = load.wait(30)
    with open(report, encoding="utf-8") as stream:
        book = json.load(stream)
    last = server.stop()
    print(f"{args.clients} clients who were there: {book['answered']} of {book['asked']} answered, latency "
          f"p50 {book['latency_us']['p50'] / 1000:.1f} ms, p99 {book['latency_us']['p99'] / 1000:.1f} ms, "
          f"max {book['latency_us']['max'] / 1000:.1f} ms")
    wrong = {name: last.get(name, 0) for name in ("tls_shaking", "output_pending") if last.get(name, 0)}
    if code != 0 or wrong or book["answered"] != book["asked"] or last["opened"] != last["closed"] or \
            last["tls_handshakes_13"] != args.clients + new or last["ungreeted"] != 2 * args.crowd:
        raise BenchError(f"mario_load's exit code {code}; the counters do not add up: {last}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crowd", type=int, default=10000, help="handshakes that are never ended (%(default)s)")
    parser.add_argument("--clients", type=int, default=1000, help="who are there before (%(default)s)")
    parser.add_argument("--timeout", type=int, default=10, help="tls.handshake_timeout (%(default)s)")
    parser.add_argument("-o", dest="option", action="append", default=[], help="more options for maritcp")
    args = parser.parse_args()
    return run_program("tls-crowd", lambda tmp: run(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
