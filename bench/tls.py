#!/usr/bin/env python3
"""Measure what TLS costs: memory of an idle connection, CPU of a request, CPU of a handshake; maritcp with either kind
of records beside nginx and haproxy, and beside OpenSSL alone.

Servers are pinned to one core, load and this program to another; they take turns, round by round, and the median
counts. CPU time is that of all of a server's processes. bench/README.md says what is compared with what.

Exit code: 0 all that was asked for was measured, 1 something failed or could not run, 130 after Ctrl-C.
"""
import argparse
import dataclasses
import datetime
import json
import os
import platform
import re
import resource
import shlex
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
sys.dont_write_bytecode = True  # no __pycache__ in the tree
sys.path.insert(1, os.path.join(BENCH, "models"))

from bench import check_program, middle
from procs import STX, BenchError, CoreWatch, end_process, last_line, run_program, start_process
from report import complain, cpu_model, progress
import tls_adds
from tls_report import publish
from tls_servers import ANSWER, DESCRIPTORS_MORE, KINDS, Stand, make_certificate

PARTS = ("memory", "request", "handshake")
CONNS = 20  # that ask or come at a time
PATIENCE = 60  # seconds for a program to end by itself


class Task:
    """For the progress line."""

    def __init__(self, name):
        self.name = name


# --- load ---------------------------------------------------------------------------------------------------


def run_client(argv, seconds, setup, core=None):
    """Its output and error, as text. On the core of loads if none is given. Raises BenchError if it fails."""
    said = os.path.join(setup.tmp, "client.out")
    with open(said, "wb") as out:
        process = start_process(argv, setup.load_core if core is None else core, stdout=out, stderr=subprocess.STDOUT)
    try:
        code = process.wait(seconds + PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{argv[0]} does not end: {' '.join(argv)}") from error
    finally:
        end_process(process, 1)
    if code != 0:
        raise BenchError(f"{' '.join(argv)}: exit code {code}: {last_line(said)}")
    with open(said, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def mario_load(server, setup, *options):
    """Its JSON."""
    report = os.path.join(setup.tmp, "load.json")
    argv = [setup.load_path, "127.0.0.1", str(server.port), "-x", f"{STX:#x}", "-T", "1", "-w", "0", "-j", report,
            *options]
    if server.kind.secure:
        argv += ["--tls", "--ca", setup.ca]
    run_client(argv, setup.seconds, setup)
    with open(report, encoding="utf-8") as stream:
        return json.load(stream)


def web_address(server):
    return f"{'https' if server.kind.secure else 'http'}://127.0.0.1:{server.port}/"


def number_in(pattern, text, who):
    found = re.search(pattern, text)
    if not found:
        raise BenchError(f"{who} gave no number of requests: {text.strip().splitlines()[-1:]}")
    return int(found.group(1))


def ask(server, setup):
    """Requests of 64 bytes, as fast as CONNS connections get answers one at a time. How many."""
    if not server.kind.web:
        found = mario_load(server, setup, "-a", "echo", "-s", str(len(ANSWER)), "-c", str(CONNS), "-t",
                           f"{setup.seconds:g}")
        return found["answered"]
    text = run_client(["wrk", "-t1", f"-c{CONNS}", f"-d{max(1, round(setup.seconds))}s", web_address(server)],
                      setup.seconds, setup)
    if "Socket errors" in text or "Non-2xx" in text:
        raise BenchError(f"wrk against {server.name}: {text.strip()}")
    return number_in(r"(\d+) requests in", text, "wrk")


def come(server, setup, resume):
    """Connections that come, ask once and go. How many."""
    if not server.kind.web:
        found = mario_load(server, setup, "-m", "churn", "-c", str(CONNS), "-t", f"{setup.seconds:g}",
                           *(["--resume"] if resume else []))
        tls = found.get("tls")
        if tls and resume != (tls["resumed"] > tls["handshakes"] / 2):
            raise BenchError(f"{server.name}: {tls['resumed']} of {tls['handshakes']} handshakes were resumed")
        return found["connects"] if "connects" in found else found["answered"]
    text = run_client(["ab", "-q", "-t", str(max(1, round(setup.seconds))), "-n", "10000000", "-c", str(CONNS),
                       web_address(server)], setup.seconds, setup)
    if not re.search(r"Failed requests:\s+0\b", text):
        raise BenchError(f"ab against {server.name}: {text.strip()}")
    return number_in(r"Complete requests:\s+(\d+)", text, "ab")


# --- what is measured ---------------------------------------------------------------------------------------


def cost(server, setup, work):
    """Server CPU, microseconds, for each of what work() counts; and the share of a core that others had."""
    watch = CoreWatch(server, setup)
    before = server.cpu_seconds()
    count = work()
    used = server.cpu_seconds() - before
    if not count:
        raise BenchError(f"{server.name} answered nothing")
    return used / count * 1e6, watch.foreign()



def hold_web(server, count, setup):
    """So many connections of HTTP that have asked once and stay."""
    held = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        if server.kind.secure:
            sock = setup.context.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(ANSWER.encode()):
            more = sock.recv(4096)
            if not more:
                raise BenchError(f"{server.name} closed a held connection")
            answer += more
        held.append(sock)
    return held


def hold_mario(server, count, number, setup):
    """The same with mario_load, a process, the number-th."""
    said = os.path.join(setup.tmp, f"hold{number}.out")
    argv = [setup.load_path, "127.0.0.1", str(server.port), "-x", f"{STX:#x}", "-m", "hold", "-c", str(count),
            "-t", "600", "--heartbeat", "86400", *(["--tls", "--ca", setup.ca] if server.kind.secure else [])]
    before = server.held()
    with open(said, "wb") as out:
        process = start_process(argv, setup.load_core, stdout=out, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while server.held() < before + count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{server.name} does not hold {count}: {last_line(said)}")
        time.sleep(0.05)
    return process


def let_go(held):
    """What hold_web() and hold_mario() have made."""
    for one in held:
        if isinstance(one, socket.socket):
            one.close()
        else:
            one.send_signal(signal.SIGINT)
    for one in held:
        if not isinstance(one, socket.socket) and one.wait(PATIENCE) not in (0, 1):  # it was told to end early
            raise BenchError("mario_load found that not all was well with what it held")


def measure_memory(name, setup):
    """Bytes for each further idle connection that has asked once, above those that are there: these bring what a server
    needs once, as memory of handshakes that are made at a time. Without a peer there are descriptors for more."""
    count = setup.held // (4 if KINDS[name].web else 1)
    first = count // 3 if KINDS[name].peer else count
    count = count if KINDS[name].peer else count * 17 // 9
    steps, seen, held = (first, count - first), [], []
    with Stand(name, count, setup) as server:
        seen.append(server.rss())
        try:
            for number, part in enumerate(steps):
                held += hold_web(server, part, setup) if KINDS[name].web else [hold_mario(server, part, number, setup)]
                time.sleep(setup.calm)
                seen.append(server.rss())
            server.check_alive()
            let_go(held)
        except BaseException:
            for one in held:
                if not isinstance(one, socket.socket):
                    end_process(one, 1)
            raise
        each = (seen[2] - seen[1]) / steps[1]
        return {"bytes": each, "once": seen[2] - seen[0] - each * count, "held": count}


def measure_request(name, setup):
    with Stand(name, CONNS * 2, setup) as server:
        us, foreign = cost(server, setup, lambda: ask(server, setup))
        return {"us": us, "foreign": foreign}


def measure_handshake(name, setup):
    found = {}
    with Stand(name, 2000, setup) as server:
        found["us"], found["foreign"] = cost(server, setup, lambda: come(server, setup, False))
        server.wait_until_quiet()
        if KINDS[name].secure and not KINDS[name].web:
            found["resumed"], _ = cost(server, setup, lambda: come(server, setup, True))
    return found


MEASURES = {"memory": measure_memory, "request": measure_request, "handshake": measure_handshake}


def alone(setup):
    """OpenSSL without any server: microseconds of a connection, and of a resumed one. On the servers' core, while the other
    one is as busy as it is with a load: two cores of one machine are not as fast together as each of them alone."""
    found = {}
    for key, words in (("us", []), ("resumed", ["resume"])):
        argv = [os.path.join(BENCH, "tls_shake"), setup.certificate, setup.key]
        beside = start_process([*argv, "600"], setup.load_core, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            text = run_client([*argv, f"{setup.seconds:g}", *words], setup.seconds, setup, setup.server_core)
        finally:
            end_process(beside, 1)
        found[key] = float(text.split()[0])
    return found


def measure_part(part, setup, document):
    """All servers, in turns."""
    rounds = 1 if part == "memory" else setup.rounds
    names = [name for name in setup.names if KINDS[name].is_measured(part)]
    found = {name: [] for name in names}
    for number in range(rounds):
        shift = number * len(names) // rounds
        for name in names[shift:] + names[:shift]:
            progress(Task(part), f"round {number + 1} of {rounds}: {name}")
            try:
                found[name].append(MEASURES[part](name, setup))
            except (BenchError, OSError) as error:
                document["failed"][f"{part}, {name}"] = str(error)
                complain(f"{part}, {name}: {error}")
        if part == "handshake":
            document["alone"].append(alone(setup))
    for name, runs in found.items():
        if runs:
            keys = set.intersection(*(set(run) for run in runs))
            document[part][name] = {key: dict(zip(("q1", "median", "q3"), middle([run[key] for run in runs])))
                                    for key in sorted(keys)}


# --- the program --------------------------------------------------------------------------------------------


class Setup:
    """What main() settled; procs.py looks at tmp, load_path and the cores."""

    def __init__(self, args, tmp):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            complain("one core only: server and load share it, so the figures say little")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        needed = 2 * args.conns + DESCRIPTORS_MORE
        if hard < needed:
            raise BenchError(f"needs {needed} descriptors, the limit is {hard}: see ulimit -Hn, or --conns")
        self.tmp, self.held = tmp, args.conns
        self.load_path = os.path.join(ROOT, "test", "mario_load")
        self.server_core, self.load_core = cores[0], cores[-1]
        self.rounds = args.rounds or (1 if args.quick else 7)
        self.seconds = args.seconds or (1 if args.quick else 2)
        self.calm = 2 if args.quick else 5  # until a server has given back what handshakes took
        self.names = [name for name in KINDS if not args.only or name in args.only]
        for program in {"wrk", "ab"} if any(KINDS[name].web for name in self.names) else ():
            if shutil.which(program) is None:
                complain(f"{program} is not installed, web servers are left out (scripts/deps peers)")
                self.names = [name for name in self.names if not KINDS[name].web]
        for name in list(self.names):
            if KINDS[name].find() is None:
                complain(f"{KINDS[name].peer} is not installed, {name} is left out (scripts/deps peers)")
                self.names.remove(name)
        check_program(self.load_path)
        check_program(os.path.join(ROOT, "maritcp"))
        check_program(os.path.join(BENCH, "tls_bare"))
        self.ca, self.certificate, self.key = make_certificate(os.path.join(tmp, "tls"))
        self.context = ssl.create_default_context(cafile=self.ca)
        os.sched_setaffinity(0, {self.load_core})


def arguments():
    parser = argparse.ArgumentParser(description="Measure what TLS costs.")
    parser.add_argument("--quick", action="store_true", help="one short round each; written to build/bench")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--only", action="append", metavar="NAME", choices=list(KINDS),
                        help="only this server; may be repeated: " + ", ".join(KINDS))
    parser.add_argument("--conns", type=int, default=9000, metavar="N", help="idle connections, of maritcp by itself 8/9 more above them (9000)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (7; with --quick 1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="seconds of a measurement (2; with --quick 1)")
    parser.add_argument("--plot-only", action="store_true", help="make the page and plots again from tls.json")
    parser.add_argument("--out", metavar="DIR", help="where tls.json, tls.md and the plots go (docs/bench; "
                        "build/bench if this is not the whole run)")
    args = parser.parse_args()
    if not 100 <= args.conns <= 1000000:
        parser.error("--conns must be 100 .. 1000000")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if args.seconds is not None and not 0.3 <= args.seconds <= 600:
        parser.error("--seconds must be 0.3 .. 600")
    part = (args.quick or args.part or args.only) and not args.plot_only
    args.out = os.path.abspath(args.out or os.path.join(ROOT, *(("build", "bench") if part else ("docs", "bench"))))
    return args


def document_of(setup):
    given = " ".join(shlex.quote(word) for word in sys.argv[1:])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"make bench-tls ARGS='{given}'" if given else "make bench-tls",
        "kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(), "rounds": setup.rounds,
        "seconds": setup.seconds, "openssl": ssl.OPENSSL_VERSION,
        "models": {name: dataclasses.asdict(KINDS[name]) for name in setup.names},
        **{part: {} for part in PARTS}, "adds": {}, "alone": [], "failed": {},
    }


def measure(args, tmp):
    setup = Setup(args, tmp)
    document = document_of(setup)
    for part in args.part or PARTS:
        measure_part(part, setup, document)
    if "request" in (args.part or PARTS):
        progress(Task("request"), "what TLS adds")
        document["adds"] = tls_adds.measure(setup, setup.names, setup.rounds)
    shares = [one["foreign"]["median"] for part in PARTS for one in document[part].values() if "foreign" in one]
    document["foreign"] = statistics.median(shares) if shares else 0.0
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "tls.json"), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")
    publish(document, args.out)
    return 1 if document["failed"] else 0


def plot_again(out):
    path = os.path.join(out, "tls.json")
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}: run make bench-tls first") from error
    publish(document, out)
    return 0


def main():
    args = arguments()
    return run_program("tls", lambda tmp: plot_again(args.out) if args.plot_only else measure(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
