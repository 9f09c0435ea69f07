#!/usr/bin/env python3
"""Measure maritcp against bench/ceiling, a bare epoll server for the same wire format.

Both servers are started afresh for every round, pinned to one core; the load generator and this program share
another. A round measures both, in the order A B, the next one B A, and gives one ratio; the median of the ratios is the
result, so a machine that gets slower or faster for a while does not matter. Nothing here is a test: the exit
code is 0 when everything asked for was measured, 1 when something could not run, 130 after Ctrl-C.

What can be measured is in two tables: SERVERS and SCENARIOS. bench/README.md explains how to read the result.
"""
import argparse
import ctypes
import dataclasses
import json
import os
import platform
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
STX = 0x8EB69AF7
LOGIN = 0x6101
IP_BIND_ADDRESS_NO_PORT = 24
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """Something could not run; the text is one clear line for the user."""


# --- what there is to measure -------------------------------------------------------------------------------------


def ceiling_args(path, port, conns, log):
    return [path, str(port)]


def maritcp_args(path, port, conns, log):
    options = {
        "server.listen": f"127.0.0.1:{port}",
        "server.workernum": 1,
        "server.connnum": conns + 64,
        "server.timeout": 0,
        "log.file": log,
        "log.level": "warn",
    }
    return [path] + [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


@dataclasses.dataclass(frozen=True)
class ServerKind:
    """A server that can be measured: one row for each peer."""

    path: str  # from the top of the tree
    args: object  # function(path, port, connections, log file) -> argv
    clean_exits: tuple  # what wait() gives after SIGTERM


SERVERS = {
    "ceiling": ServerKind("bench/ceiling", ceiling_args, (-signal.SIGTERM,)),
    "maritcp": ServerKind("maritcp", maritcp_args, (0,)),
}


@dataclasses.dataclass(frozen=True)
class Load:
    """What mario_load is asked to do."""

    conns: int
    inflight: int = 1
    mode: str = "closed"
    akg: str = "login"
    payload: int = None  # bytes after the HEAD; None: what mario_load takes for this request
    idle: int = 0  # more connections, which log in and then only stay
    rate: float = 0  # requests a second, mode open only


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One line of the result: one server under one load (left) against another (right), or against itself."""

    name: str
    what: str
    runner: str  # which function measures it, see RUNNERS
    metric: str  # key in mario_load's JSON, "latency_us.p99" reaches into an object; or what the runner measures
    unit: str
    limit: float  # for the ratio right / left; for "memory" for the right value itself; None: shown, not judged
    load: Load
    left_load: Load = None  # None: the same load
    left: str = "base"  # the roles that settle() fills with servers: base and subject
    right: str = "subject"
    rounds: int = 15
    seconds: float = 0.8  # measured in each half of a round
    warmup: float = 0.2


CPU_REQUEST = "server_cpu_us_per_request"
CPU_CONNECTION = "server_cpu_us_per_connection"

SCENARIOS = [
    Scenario("login-50x1", "server CPU per LOGIN, 50 connections, 1 in flight", "ratio", CPU_REQUEST, "us", 1.08,
             Load(50)),
    Scenario("login-1000x1", "server CPU per LOGIN, 1000 connections, 1 in flight", "ratio", CPU_REQUEST, "us", 1.08,
             Load(1000)),
    Scenario("login-50x16", "server CPU per LOGIN, 50 connections, 16 in flight", "ratio", CPU_REQUEST, "us", 1.15,
             Load(50, 16)),
    Scenario("churn", "server CPU per accept + LOGIN + close", "ratio", CPU_CONNECTION, "us", 1.30,
             Load(50, mode="churn")),
    Scenario("p99-half", "p99 latency at half of the base's throughput", "latency", "latency_us.p99", "us", 1.20,
             Load(50), rounds=15, seconds=1.5, warmup=0.3),
    Scenario("memory", "growth of RSS per idle, logged-in connection, 15,000 of them", "memory", "rss", "B", 400,
             Load(15000), rounds=1),
    Scenario("scale-10000", "server CPU per LOGIN, 10,000 connections against 50, subject only", "ratio", CPU_REQUEST,
             "us", 1.15, Load(10000), Load(50), "subject", rounds=9, seconds=1.2, warmup=0.4),
    Scenario("scale-base", "the same of the base: what so many sockets cost the kernel", "ratio", CPU_REQUEST,
             "us", None, Load(10000), Load(50), "base", "base", rounds=9, seconds=1.2, warmup=0.4),
    Scenario("idle-10000", "server CPU per LOGIN, 50 busy and 9,950 idle connections against 50, subject only", "ratio",
             CPU_REQUEST, "us", 1.15, Load(50, idle=9950), Load(50), "subject", rounds=9),
]


# --- processes ----------------------------------------------------------------------------------------------------

children = []  # every process that runs, so that none is left behind whatever happens


def start_process(argv, core, **streams):
    """Start argv on one core. It dies with this program, even if this program is killed."""

    def in_child():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {core})

    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=in_child, start_new_session=True, **streams)
    except OSError as error:
        raise BenchError(f"cannot start {argv[0]}: {error.strerror}") from error
    children.append(process)
    return process


def end_process(process, grace=15):
    """SIGTERM, and SIGKILL after grace seconds. Returns the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in children:
        children.remove(process)
    return process.returncode


def end_all_processes():
    for process in list(children):
        process.kill()
        process.wait()
        children.remove(process)


def last_line(path):
    with open(path, "rb") as stream:
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server: start it, load it, stop it. Use it with `with`."""

    def __init__(self, name, path, conns, setup):
        self.name = name
        self.kind = SERVERS[name]
        self.said = os.path.join(setup.tmp, "server.out")
        self.log = os.path.join(setup.tmp, "server.log")
        self.port = free_port()
        with open(self.said, "wb") as out:
            self.process = start_process(self.kind.args(path, self.port, conns, self.log), setup.server_core,
                                         stdout=out, stderr=subprocess.STDOUT, cwd=setup.tmp)
        self.pid = self.process.pid
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        deadline = time.monotonic() + 10
        while True:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.name} does not listen after 10 s: {last_line(self.said)}") from error
            time.sleep(0.01)

    def check_alive(self):
        code = self.process.poll()
        if code is not None:
            raise BenchError(f"{self.name} ended by itself (exit code {code}): {last_line(self.said)}")

    def rss(self):
        """Bytes, counted page by page: VmRSS of /proc/PID/status may lag by some hundred KB."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise BenchError(f"/proc/{self.pid}/smaps_rollup has no Rss line")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            end_process(self.process, 1)
            return
        self.check_alive()
        code = end_process(self.process)
        if code not in self.kind.clean_exits:
            raise BenchError(f"{self.name} did not stop cleanly (exit code {code}): {last_line(self.said)}")


def run_load(server, load, seconds, warmup, setup):
    """Run mario_load against server once; its JSON object."""
    report = os.path.join(setup.tmp, "load.json")
    said = os.path.join(setup.tmp, "load.out")
    argv = [setup.load_path, "127.0.0.1", str(server.port), "-c", str(load.conns), "-p", str(load.inflight)]
    argv += ["-a", load.akg, "-m", load.mode, "-T", "1", "-P", str(server.pid)]
    argv += ["-t", f"{seconds:g}", "-w", f"{warmup:g}", "-x", f"{STX:#x}", "-j", report]
    if load.payload is not None:
        argv += ["-s", str(load.payload)]
    if load.idle:
        argv += ["-i", str(load.idle)]
    if load.mode == "open":
        argv += ["-r", f"{load.rate:.0f}"]
    if os.path.exists(report):
        os.unlink(report)
    with open(said, "wb") as out:
        process = start_process(argv, setup.load_core, stdout=out, stderr=subprocess.STDOUT)
    try:
        code = process.wait(seconds + warmup + 60)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"mario_load does not end: {' '.join(argv)}") from error
    finally:
        end_process(process, 1)
    server.check_alive()
    if not os.path.exists(report):
        raise BenchError(f"mario_load failed against {server.name} (exit code {code}): {last_line(said)}")
    with open(report, encoding="utf-8") as stream:
        result = json.load(stream)
    errors = {name: count for name, count in result["errors"].items() if count}
    if code != 0 or errors or not result["requests"]:
        raise BenchError(f"mario_load against {server.name}: exit code {code}, {result['requests']} requests, "
                         f"errors {errors or 'none'}")
    return result


def metric_of(result, metric, name):
    value = result
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, (int, float)) or value <= 0:
        raise BenchError(f"mario_load against {name} gave no {metric}")
    return value


# --- runners: each measures one kind of scenario ------------------------------------------------------------------


@dataclasses.dataclass
class Setup:
    """What main() settled: paths, cores, the servers in the two roles, how long to measure."""

    tmp: str
    load_path: str
    server_core: int
    load_core: int
    roles: dict  # role -> (name in SERVERS, path)
    quick: bool
    rounds: int = None
    seconds: float = None

    def length(self, scenario):
        """rounds, seconds, warm-up of this run."""
        rounds = max(3, scenario.rounds // 3) if self.quick else scenario.rounds
        seconds = max(0.4, scenario.seconds / 2) if self.quick else scenario.seconds
        return self.rounds or rounds, self.seconds or seconds, scenario.warmup / (2 if self.quick else 1)


def progress(scenario, text):
    if sys.stderr.isatty():
        print(f"\r\033[K{scenario.name}: {text}", end="", file=sys.stderr, flush=True)


def progress_end():
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def measure_pairs(scenario, setup):
    """The rounds of one scenario: [{"left": JSON, "right": JSON, "ratio": r}, ...]"""
    rounds, seconds, warmup = setup.length(scenario)
    left_load = scenario.left_load or scenario.load
    most = max(load.conns + load.idle for load in (left_load, scenario.load))
    pairs = []
    for count in range(1, rounds + 1):
        with Server(*setup.roles[scenario.left], most, setup) as left, \
                Server(*setup.roles[scenario.right], most, setup) as right:
            halves = [("left", left, left_load), ("right", right, scenario.load)]
            if count % 2 == 0:
                halves.reverse()
            pair = {side: run_load(server, load, seconds, warmup, setup) for side, server, load in halves}
            values = {side: metric_of(pair[side], scenario.metric, server.name) for side, server, _ in halves}
        pair["ratio"] = values["right"] / values["left"]
        pairs.append(pair)
        progress(scenario, f"round {count}/{rounds}: {number(values['left'], scenario.unit)}, "
                           f"{number(values['right'], scenario.unit)}, ratio {pair['ratio']:.3f}")
    return pairs


def run_ratio(scenario, setup):
    pairs = measure_pairs(scenario, setup)
    ratios = [pair["ratio"] for pair in pairs]
    q1, median, q3 = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    sides = {side: statistics.median(metric_of(pair[side], scenario.metric, side) for pair in pairs)
             for side in ("left", "right")}
    return {**sides, "ratio": median, "q1": q1, "q3": q3, "limit": scenario.limit,
            "ok": None if scenario.limit is None else median <= scenario.limit, "rounds": pairs}


def run_latency(scenario, setup):
    """First the base's closed-loop throughput, then both at half of it, requests sent by the clock."""
    _, seconds, warmup = setup.length(scenario)
    found = []
    for count in range(1, 4):
        with Server(*setup.roles[scenario.left], scenario.load.conns, setup) as base:
            found.append(run_load(base, scenario.load, seconds, warmup, setup)["req_per_s"])
        progress(scenario, f"throughput {count}/3: {found[-1]:.0f} requests/s")
    rate = statistics.median(found) / 2
    load = dataclasses.replace(scenario.load, mode="open", rate=rate)
    result = run_ratio(dataclasses.replace(scenario, load=load), setup)
    result["note"] = f"at {rate:.0f} requests/s"
    for side in ("left", "right"):
        sent = statistics.median(pair[side]["req_per_s"] for pair in result["rounds"])
        if sent < 0.97 * rate:
            result["note"] += f"; {setup.roles[getattr(scenario, side)][0]} only got {sent:.0f}: overloaded"
    return result


def hold_connections(server, count):
    """Log in `count` connections and return them, all answered. Source addresses change every 10,000, for ports."""
    held = []
    request = struct.pack("<IHHH", STX, 10, LOGIN, 1)
    answer = struct.pack("<IHH", STX, 8, LOGIN)
    for index in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
        held.append(sock)
        sock.bind((f"127.0.0.{1 + index // 10000}", 0))
        sock.connect(("127.0.0.1", server.port))
        sock.send(request)
        if index % 100 == 99 or index == count - 1:
            for waiting in held[index // 100 * 100:]:
                if waiting.recv(len(answer)) != answer:
                    raise BenchError(f"{server.name}: wrong answer to LOGIN on a held connection")
    return held


def grow(role, scenario, setup):
    """Bytes that the server in this role grows by for each of the held connections."""
    held = []
    with Server(*setup.roles[role], scenario.load.conns, setup) as server:
        before = server.rss()
        try:
            held = hold_connections(server, scenario.load.conns)
            time.sleep(0.5)
            server.check_alive()
            return (server.rss() - before) / scenario.load.conns
        except OSError as error:
            raise BenchError(f"{server.name}: holding {scenario.load.conns} connections failed: {error}") from error
        finally:
            for sock in held:
                sock.close()


def run_memory(scenario, setup):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < scenario.load.conns + 100:
        raise BenchError(f"the descriptor limit is {limit}, {scenario.load.conns + 100} are needed (ulimit -Hn)")
    progress(scenario, f"{scenario.load.conns} connections")
    left, right = (grow(role, scenario, setup) for role in (scenario.left, scenario.right))
    return {"left": left, "right": right, "ratio": None, "limit": scenario.limit, "ok": right <= scenario.limit,
            "rounds": []}


RUNNERS = {"ratio": run_ratio, "latency": run_latency, "memory": run_memory}


# --- report -------------------------------------------------------------------------------------------------------


def number(value, unit):
    return f"{value:.0f} {unit}" if unit == "B" or value >= 1000 else f"{value:.3g} {unit}"


def verdict(result):
    if result["ok"] is None:
        return "not judged"
    text = "ok" if result["ok"] else "OVER"
    if result["ratio"] is not None and result["q1"] <= result["limit"] <= result["q3"]:
        text += ", but the limit lies within the quartiles: take more --rounds"
    return text


def print_report(results, setup):
    if not results:
        return
    names = {role: name for role, (name, _) in setup.roles.items()}
    if names["base"] == names["subject"]:
        names = {"base": names["base"] + " A", "subject": names["subject"] + " B"}
    rows = [("scenario", names["base"], names["subject"], "ratio median [q1 q3]", "limit", "")]
    for scenario, result in results:
        left, right = number(result["left"], scenario.unit), number(result["right"], scenario.unit)
        ratio, limit = "", "-"
        if result["ratio"] is not None:
            ratio = f"{result['ratio']:.3f} [{result['q1']:.3f} {result['q3']:.3f}]"
        if scenario.limit is not None:
            limit = number(scenario.limit, scenario.unit) if result["ratio"] is None else f"{scenario.limit:.2f}"
        notes = [verdict(result)]
        if "note" in result:
            notes.append(result["note"])
        if scenario.left == scenario.right:
            notes.append(f"both columns {names[scenario.left]}, few against many connections")
        rows.append((scenario.name, left, right, ratio, limit, "; ".join(notes)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [row[column].rjust(widths[column]) for column in range(1, 5)]
        print("  ".join(cells + [row[5]]).rstrip())


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def write_json(path, results, failures, setup):
    document = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(), "cpu": cpu_model(),
        "server_core": setup.server_core, "load_core": setup.load_core,
        "base": setup.roles["base"][0], "subject": setup.roles["subject"][0],
        "failures": failures,
        "scenarios": {scenario.name: {"what": scenario.what, "metric": scenario.metric, **result}
                      for scenario, result in results},
    }
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")


# --- the program --------------------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description="Measure maritcp against a bare epoll server.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, about a minute")
    parser.add_argument("--list", action="store_true", help="list the scenarios and servers, measure nothing")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each scenario")
    parser.add_argument("--seconds", type=float, metavar="S", help="seconds measured in each half of a round")
    parser.add_argument("--json", metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--server", default="maritcp", metavar="WHO",
                        help="the server to judge: a name of --list, or the path of another maritcp (default maritcp)")
    parser.add_argument("--base", default="ceiling", metavar="WHO", help="what it is compared with (default ceiling)")
    parser.add_argument("--load", default=os.path.join(ROOT, "test", "mario_load"), metavar="PATH",
                        help="the load generator (default test/mario_load)")
    args = parser.parse_args()
    known = [scenario.name for scenario in SCENARIOS]
    for name in args.scenario or []:
        if name not in known:
            parser.error(f"no scenario {name}; there are: {', '.join(known)}")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if args.seconds is not None and not 0.1 <= args.seconds <= 3600:
        parser.error("--seconds must be 0.1 .. 3600")
    return args


def server_role(who):
    """(name in SERVERS, path) for what the user gave as --server or --base."""
    if who in SERVERS:
        name, path = who, os.path.join(ROOT, SERVERS[who].path)
    else:
        name, path = "maritcp", os.path.abspath(who)
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise BenchError(f"{path} is not there or not a program: run make first, or give --server/--base a right path")
    return name, path


def settle(args, tmp):
    """Everything that has to be right before the first measurement."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("bench: one core only: server and load share it, so latencies say little", file=sys.stderr)
    load_path = os.path.abspath(args.load)
    if not os.access(load_path, os.X_OK) or os.path.isdir(load_path):
        raise BenchError(f"{load_path} is not there or not a program: run make first")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    setup = Setup(tmp=tmp, load_path=load_path, server_core=cores[0], load_core=cores[-1], quick=args.quick,
                  roles={"base": server_role(args.base), "subject": server_role(args.server)},
                  rounds=args.rounds, seconds=args.seconds)
    os.sched_setaffinity(0, {setup.load_core})
    return setup


def measure(args, setup):
    """All chosen scenarios, one after the other. Returns the exit code."""
    results, failures, code = [], {}, 0
    try:
        for scenario in SCENARIOS:
            if args.scenario and scenario.name not in args.scenario:
                continue
            try:
                results.append((scenario, RUNNERS[scenario.runner](scenario, setup)))
                progress_end()
            except BenchError as error:
                progress_end()
                failures[scenario.name] = str(error)
                print(f"bench: {scenario.name}: {error}", file=sys.stderr)
                code = 1
    except KeyboardInterrupt:
        progress_end()
        print("bench: interrupted", file=sys.stderr)
        code = 130
    end_all_processes()
    print_report(results, setup)
    if args.json:
        write_json(args.json, results, failures, setup)
    return code


def interrupt(signum, frame):
    raise KeyboardInterrupt


def main():
    args = arguments()
    if args.list:
        for scenario in SCENARIOS:
            limit = "-" if scenario.limit is None else f"{scenario.limit:g}"
            print(f"{scenario.name:<14} limit {limit:<5} {scenario.what}")
        print("servers: " + ", ".join(SERVERS))
        return 0
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="mario-bench-") as tmp:
            return measure(args, settle(args, tmp))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        end_all_processes()


if __name__ == "__main__":
    sys.exit(main())
