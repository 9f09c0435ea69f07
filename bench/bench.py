#!/usr/bin/env python3
"""Measure maritcp against bench/ceiling, a bare epoll server for the same wire format.

Both servers are pinned to one core and started afresh for every few rounds; the load generator and this
program share another. A round measures both, in the order A B, the next one B A, and gives one ratio; the
median of the ratios is the result, so a machine that gets slower or faster for a while does not matter. Latencies
are judged by the calm rounds of each side.
Nothing here is a test: the exit code is 0 when all that was asked for was measured, 1 when something could
not run, 130 after Ctrl-C.

What can be measured is in two tables: SERVERS and SCENARIOS. bench/README.md explains how to read the result.
"""
import argparse
import dataclasses
import os
import random
import resource
import signal
import socket
import statistics
import struct
import sys
import time

sys.dont_write_bytecode = True  # no __pycache__ in the tree

from procs import STX, BenchError, Server, end_all_processes, metric_of, run_load, run_program
from report import DISTURBED, complain, number, print_moved, print_report, progress, record, write_json

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
RECORDED = os.path.join(BENCH, "recorded.json")  # the figures that later runs are compared with
LOGIN = 0x6101
ECHO = 0x6103
WORD_ECHO = "0x6140"  # what in_buf shows, framed as the listener's packets are
ECHO_DATA = 56  # with its HEAD 64 bytes; so are a line of 63 and a length of 4 bytes with 60 behind it
INLINE, OFFLOADED, SLEEPER = "0x0001", "0x0002", "0x0004"  # of bench/offload
SCRAPES, SCRAPE_LINES = 300, 1800
SLEEP_US, SLEEP_THREADS = 1000, 16  # likewise
IP_BIND_ADDRESS_NO_PORT = 24
OPEN_INFLIGHT = 64  # so many may wait on a connection before the clock's pace cannot be kept
DRAWS = 1000
CALM = 0.1  # of the rounds are taken to be free of what others do, whatever happens
BLOCK = 5  # rounds for which the servers stay: enough to pay for the start, few enough to average its luck


# --- what there is to measure -------------------------------------------------------------------------------


def ceiling_args(path, port, conns, log):
    return [path, str(port)]


def maritcp_args(path, port, conns, log, framing=""):
    options = {
        "server.listen": f"127.0.0.1:{port}{framing}",
        "server.workernum": 1,
        "server.connnum": conns + conns // 20 + 64,
        "server.timeout": 0,
        "log.file": log,
        "log.level": "warn",
    }
    return [path] + [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def unwatched_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log) + ["-o", "watch.warn_ms=0"]


def untimed_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log) + ["-o", "stats.timing=off"]


def lines_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log, f" proto=line id={WORD_ECHO}")


def lengths_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log, f" proto=length size=4 endian=big strip=4 id={WORD_ECHO}")


def browsers_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log, " proto=ws")


def exported_args(path, port, conns, log):
    return maritcp_args(path, port, conns, log) + ["-o", f"admin.listen=unix:{admin_path(port)}"]


def admin_path(port):
    return f"admin-{port}.sock"  # in the directory that servers run in


def offload_args(path, port, conns, log):
    return [path, str(port)]


@dataclasses.dataclass(frozen=True)
class ServerKind:
    """A server that can be measured: one row for each peer."""

    path: str  # from the top of the tree
    args: object  # function(path, port, connections, log file) -> argv
    clean_exits: tuple  # what wait() gives after SIGTERM


SERVERS = {
    "ceiling": ServerKind("bench/ceiling", ceiling_args, (-signal.SIGTERM,)),
    "maritcp": ServerKind("maritcp", maritcp_args, (0,)),
    "unwatched": ServerKind("maritcp", unwatched_args, (0,)),
    "untimed": ServerKind("maritcp", untimed_args, (0,)),
    "exported": ServerKind("maritcp", exported_args, (0,)),
    "lines": ServerKind("maritcp", lines_args, (0,)),
    "lengths": ServerKind("maritcp", lengths_args, (0,)),
    "browsers": ServerKind("maritcp", browsers_args, (0,)),
    "offload": ServerKind("bench/offload", offload_args, (0,)),
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
    proto: str = "head"  # how packets stand in the stream


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One line of the result: one server under one load (left) against another (right), or against itself."""

    name: str
    what: str
    runner: str  # which function measures it, see RUNNERS
    metric: str  # key in mario_load's JSON, see metric_of(); or what the runner measures
    unit: str
    limit: float  # for the ratio right / left; of "memory" for the right value; None: shown, not judged
    load: Load
    left_load: Load = None  # None: the same load
    left: str = "base"  # the roles that settle() fills with servers: base, subject, unwatched, untimed, exported, lines, lengths, offload
    right: str = "subject"
    half_rate: bool = False  # requests by the clock, at half of the left server's throughput
    rounds: int = 45
    seconds: float = 0.25  # measured in each half of a round
    warmup: float = 0.1


CPU_REQUEST = "server_cpu_us_per_request"
CPU_CONNECTION = "server_cpu_us_per_connection"
CPU_CLIENT = "client_cpu_us_per_request"
CORES, CONNECTIONS_LEAST = 2, 40000  # so many a second are to be possible on so many cores of the server

SCENARIOS = [
    Scenario("login-50x1", "server CPU per LOGIN, 50 connections, 1 in flight",
             "ratio", CPU_REQUEST, "us", 1.08, Load(50)),
    Scenario("login-1000x1", "server CPU per LOGIN, 1000 connections, 1 in flight",
             "ratio", CPU_REQUEST, "us", 1.08, Load(1000)),
    Scenario("login-50x16", "server CPU per LOGIN, 50 connections, 16 in flight",
             "ratio", CPU_REQUEST, "us", 1.15, Load(50, inflight=16)),
    Scenario("churn", "server CPU per accept + LOGIN + close",
             "churn", CPU_CONNECTION, "us", 1.30, Load(50, mode="churn")),
    Scenario("p99-half", "p99 latency at half of the base's throughput, calm rounds",
             "latency", "latency_us.p99", "us", 1.20, Load(50), half_rate=True, rounds=120, seconds=0.12),
    Scenario("p999-half", "p99.9 latency in the same rounds",
             "latency", "latency_us.p999", "us", 1.30, Load(50), half_rate=True, rounds=120, seconds=0.12),
    Scenario("memory", "growth of RSS per idle, logged-in connection, 15,000 of them",
             "memory", "rss", "B", 400, Load(15000), rounds=1),
    Scenario("memory-ws", "the same of a browser's, which has said something and is nobody",
             "memory", "rss", "B", 400, Load(15000, proto="ws"), left="browsers", right="browsers", rounds=1),
    Scenario("scale-10000", "server CPU per LOGIN, 10,000 busy connections against 50, subject",
             "ratio", CPU_REQUEST, "us", 1.15, Load(10000), Load(50), "subject", rounds=15, seconds=0.6),
    Scenario("scale-base", "the same of the base: what so many sockets cost the kernel",
             "ratio", CPU_REQUEST, "us", None, Load(10000), Load(50), "base", "base", rounds=15, seconds=0.6),
    Scenario("idle-15000", "server CPU per LOGIN, 50 busy and 15,000 idle connections against 50, subject",
             "ratio", CPU_REQUEST, "us", 1.05, Load(50, idle=15000), Load(50), "subject",
             rounds=25, seconds=0.4),
    Scenario("watch", "server CPU per LOGIN, 50 connections, the watch on against off, subject",
             "ratio", CPU_REQUEST, "us", 1.01, Load(50), left="unwatched", rounds=60),
    Scenario("timing", "server CPU per LOGIN, 50 connections, 16 in flight, stats.timing sampled against off, subject",
             "ratio", CPU_REQUEST, "us", 1.01, Load(50, inflight=16), left="untimed", rounds=60),
    *(Scenario(f"{proto}-50x{inflight}",
               f"server CPU per ECHO of 64 bytes, {inflight} in flight, proto={proto} against HEAD+Data, subject",
               "ratio", CPU_REQUEST, "us", most, Load(50, inflight, akg="echo", payload=data, proto=proto),
               Load(50, inflight, akg="echo", payload=ECHO_DATA), "subject", role, rounds=60)
      for proto, role, data, most in (("line", "lines", 58, 1.05), ("length", "lengths", 60, 1.05),
                                      ("ws", "browsers", ECHO_DATA, 1.10)) for inflight in (1, 16)),
    Scenario("scrape", "server CPU to answer /metrics, for 1,800 lines, against /healthz",
             "scrape", "cpu", "us", 1000, Load(50, inflight=16), left="exported", right="exported", rounds=1),
    Scenario("load-50x1", "mario_load's CPU per LOGIN against the subject's, the load of login-50x1",
             "load", CPU_CLIENT, "us", 1.00, Load(50), left="subject", rounds=15),
    Scenario("load-1000x1", "the same with the load of login-1000x1",
             "load", CPU_CLIENT, "us", 1.00, Load(1000), left="subject", rounds=15),
    Scenario("load-50x16", "the same with the load of login-50x16",
             "load", CPU_CLIENT, "us", 1.00, Load(50, inflight=16), left="subject", rounds=15),
    Scenario("load-open", "the same with the load of p99-half; what it pays for is the waking of both, see README",
             "load", CPU_CLIENT, "us", None, Load(50), left="subject", half_rate=True, rounds=15),
    Scenario("offload-1", "median latency of an empty offloaded function against inline, 1 connection",
             "ratio", "latency_us.p50", "us", 3.0, Load(1, akg=OFFLOADED), Load(1, akg=INLINE),
             "offload", "offload", rounds=21),
    Scenario("offload-50", "the same with 50 connections, each waits for its answer",
             "ratio", "latency_us.p50", "us", 3.0, Load(50, akg=OFFLOADED), Load(50, akg=INLINE),
             "offload", "offload", rounds=21),
    Scenario("offload-sleep", "time per request of functions that sleep 1 ms on 16 threads, against 1 ms / 16",
             "sleep", "req_per_s", "us", 1.11, Load(64, akg=SLEEPER), None, "offload", "offload", rounds=9),
]


# --- runners: each measures one kind of scenario ------------------------------------------------------------


@dataclasses.dataclass
class Setup:
    """What main() settled: paths, cores, the servers in the two roles, how long to measure."""

    tmp: str
    load_path: str
    server_core: int
    load_core: int
    roles: dict  # role -> (name, row of SERVERS, path)
    quick: bool
    rounds: int = None
    seconds: float = None
    measured: dict = dataclasses.field(default_factory=dict)  # rounds that a later scenario shares

    def length(self, scenario):
        """rounds, seconds, warm-up of this run."""
        rounds = max(5, scenario.rounds // 4) if self.quick else scenario.rounds
        return self.rounds or rounds, self.seconds or scenario.seconds, scenario.warmup


def half_rate(scenario, server, setup):
    """The scenario's load, by the clock at half of what this server manages in a closed loop: the best of three runs,
    since a disturbance only takes away."""
    rates = [run_load(server, scenario.load, 0.25, scenario.warmup, setup)["req_per_s"] for _ in range(3)]
    return dataclasses.replace(scenario.load, mode="open", inflight=OPEN_INFLIGHT,
                               rate=max(rates) / 2)


def measure_block(scenario, rounds, setup, rate):
    """Start both servers and measure some rounds, every other one with the right server first. Yields
    {"left": JSON, "right": JSON, "ratio": r, "foreign": share, "rate": requests a second or 0}. rate: of a scenario
    at half of the left server's throughput, once it is known."""
    _, seconds, warmup = setup.length(scenario)
    left_load, right_load = scenario.left_load or scenario.load, scenario.load
    conns = max(load.conns + load.idle for load in (left_load, right_load))
    with Server(*setup.roles[scenario.left], conns, setup) as left, \
            Server(*setup.roles[scenario.right], conns, setup) as right:
        if scenario.half_rate:
            by_clock = dataclasses.replace(scenario.load, mode="open", inflight=OPEN_INFLIGHT, rate=rate)
            left_load = right_load = by_clock if rate else half_rate(scenario, left, setup)
        halves = [("left", left, left_load), ("right", right, right_load)]
        for _ in range(rounds):
            pair = {side: run_load(server, load, seconds, warmup, setup) for side, server, load in halves}
            pair["ratio"] = metric_of(pair["right"], scenario.metric, right.name) / \
                metric_of(pair["left"], scenario.metric, left.name)
            pair["foreign"] = max(pair["left"]["foreign"], pair["right"]["foreign"])
            pair["rate"] = right_load.rate
            yield pair
            halves.reverse()


def measure_pairs(scenario, setup):
    """The rounds of one scenario, see measure_block(). For each disturbed one there is another, up to twice
    as many in all; the least disturbed count. How much others took says nothing about the ratio, so this
    favours nobody."""
    rounds = setup.length(scenario)[0]
    pairs, block = [], 0
    while len(pairs) < 2 * rounds:
        missing = rounds - sum(pair["foreign"] <= DISTURBED for pair in pairs)
        if missing <= 0:
            break
        rate = pairs[0]["rate"] if pairs else 0
        for pair in measure_block(scenario, min(BLOCK, missing, 2 * rounds - len(pairs)), setup, rate):
            pairs.append({**pair, "block": block})
            said = f"round {len(pairs)} of {rounds}: {pair['ratio']:.3f}, others {pair['foreign']:.0%}"
            progress(scenario, said)
        block += 1
    return sorted(pairs, key=lambda pair: pair["foreign"])[:rounds]


def quantile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


def middle(values):
    """Lower quartile, median, upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3


def result_of(scenario, pairs, left, right, spread):
    """spread: the ratio, and between what it may lie: (from, ratio, to)."""
    low, ratio, high = spread
    return {"left": left, "right": right, "ratio": ratio, "q1": low, "q3": high, "limit": scenario.limit,
            "ok": None if scenario.limit is None else ratio <= scenario.limit, "rounds": pairs}


def run_ratio(scenario, setup):
    """The median of the rounds' ratios."""
    pairs = measure_pairs(scenario, setup)
    sides = [statistics.median(metric_of(pair[side], scenario.metric, side) for pair in pairs)
             for side in ("left", "right")]
    return result_of(scenario, pairs, *sides, middle([pair["ratio"] for pair in pairs]))


def run_churn(scenario, setup):
    result = run_ratio(scenario, setup)
    per_s = CORES / result["right"] * 1e6
    result["note"] = (f"{CORES} cores / {result['right']:.1f} us = {per_s:.0f} connections/s, "
                      f"wanted more than {CONNECTIONS_LEAST}")
    result["ok"] = result["ok"] and per_s > CONNECTIONS_LEAST
    return result


def calm(scenario, pairs, side):
    """What calm rounds gave: the lowest tenth of one side's rounds ends here."""
    return quantile([metric_of(pair[side], scenario.metric, side) for pair in pairs], CALM)


def calm_ratio(scenario, pairs):
    return calm(scenario, pairs, "right") / calm(scenario, pairs, "left")


def bootstrap(scenario, pairs):
    """Between what the ratio lies in nine of ten draws of as many blocks, with repeats. Blocks, not rounds, are
    drawn: those of one start have the same luck."""
    blocks = {}
    for pair in pairs:
        blocks.setdefault(pair["block"], []).append(pair)
    chance = random.Random(1)
    drawn = [calm_ratio(scenario, [pair for block in chance.choices(list(blocks.values()), k=len(blocks))
                                   for pair in block]) for _ in range(DRAWS)]
    return quantile(drawn, 0.05), quantile(drawn, 0.95)


def run_latency(scenario, setup):
    """The ratio of both sides' calm rounds. Scenarios with the same load look at the same rounds."""
    key = (scenario.load, scenario.left, scenario.right, *setup.length(scenario))
    if key not in setup.measured:
        setup.measured[key] = measure_pairs(scenario, setup)
    pairs = setup.measured[key]
    low, high = bootstrap(scenario, pairs)
    result = result_of(scenario, pairs, calm(scenario, pairs, "left"), calm(scenario, pairs, "right"),
                       (low, calm_ratio(scenario, pairs), high))
    rate = pairs[0]["rate"]
    result["note"] = f"at {rate:.0f} requests/s"
    for side in ("left", "right"):
        if statistics.median(pair[side]["req_per_s"] / rate for pair in pairs) < 0.97:
            result["note"] += f", which is too much for {setup.roles[getattr(scenario, side)][0]}"
    return result


def run_own_load(scenario, setup):
    """mario_load's CPU for each request against the server's, both in the same runs."""
    rounds, seconds, warmup = setup.length(scenario)
    pairs = []
    while len(pairs) < rounds:
        with Server(*setup.roles[scenario.left], scenario.load.conns, setup) as server:
            load = half_rate(scenario, server, setup) if scenario.half_rate else scenario.load
            for _ in range(min(BLOCK, rounds - len(pairs))):
                run = run_load(server, load, seconds, warmup, setup)
                costs = metric_of(run, CPU_REQUEST, server.name), metric_of(run, CPU_CLIENT, server.name)
                pairs.append({"left": run, "right": run, "ratio": costs[1] / costs[0], "costs": costs,
                              "foreign": run["foreign"], "rate": load.rate})
                progress(scenario, f"round {len(pairs)} of {rounds}: {pairs[-1]['ratio']:.3f}")
    sides = [statistics.median(pair["costs"][side] for pair in pairs) for side in (0, 1)]
    result = result_of(scenario, pairs, *sides, middle([pair["ratio"] for pair in pairs]))
    result["note"] = "columns: server, mario_load"
    return result


UPGRADE = (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
UPGRADED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def hold_connections(server, load):
    """Log in so many connections, or have browsers' ones say something, and return them, all answered. Each 10,000 have a source address of their
    own, or the ports would run out."""
    held, count = [], load.conns
    request = struct.pack("<IHHH", STX, 10, LOGIN, 1)
    answer = struct.pack("<IHH", STX, 8, LOGIN)
    if load.proto == "ws":
        packet = struct.pack("<IHH", STX, 8, ECHO)
        request = UPGRADE + bytes((0x82, 0x80 | len(packet), 0, 0, 0, 0)) + packet
        answer = UPGRADED + bytes((0x82, len(packet))) + packet
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
                if waiting.recv(len(answer), socket.MSG_WAITALL) != answer:
                    raise BenchError(f"{server.name}: wrong answer on a held connection")
    return held


def grow(role, scenario, setup):
    """Bytes that the server in this role grows by for each of the held connections."""
    held = []
    with Server(*setup.roles[role], scenario.load.conns, setup) as server:
        before = server.rss()
        try:
            held = hold_connections(server, scenario.load)
            time.sleep(0.5)
            server.check_alive()
            return (server.rss() - before) / scenario.load.conns
        except OSError as error:
            raise BenchError(f"{server.name}: could not hold all {scenario.load.conns}: {error}") from error
        finally:
            for sock in held:
                sock.close()


def run_memory(scenario, setup):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < scenario.load.conns + 100:
        raise BenchError(f"needs {scenario.load.conns + 100} descriptors, the limit is {limit} (ulimit -Hn)")
    progress(scenario, f"{scenario.load.conns} connections")
    left, right = (grow(role, scenario, setup) for role in (scenario.left, scenario.right))
    return {"left": left, "right": right, "ratio": None, "limit": scenario.limit,
            "ok": right <= scenario.limit, "rounds": []}


def run_sleep(scenario, setup):
    """Microseconds for each request, when functions only sleep, against what the threads could do at best."""
    rounds, seconds, warmup = setup.length(scenario)
    best, pairs = SLEEP_US / SLEEP_THREADS, []
    with Server(*setup.roles[scenario.right], scenario.load.conns, setup) as server:
        for _ in range(rounds):
            result = run_load(server, scenario.load, seconds, warmup, setup)
            ratio = 1e6 / metric_of(result, scenario.metric, server.name) / best
            pairs.append({"left": {}, "right": result, "ratio": ratio, "foreign": result["foreign"], "rate": 0})
            progress(scenario, f"round {len(pairs)} of {rounds}: {ratio:.3f}")
    low, median, high = middle([pair["ratio"] for pair in pairs])
    result = result_of(scenario, pairs, best, best * median, (low, median, high))
    result["note"] = f"{1e6 / best / median:.0f} requests/s"
    return result


def scrape(server, setup, path):
    """One answer of its admin thread, without its head."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.path.join(setup.tmp, admin_path(server.port)))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"{server.name}: no answer to {path}")
    return body


def run_scrape(scenario, setup):
    """Microseconds of CPU, all of the server's threads, for each answer: of /healthz, which is next to nothing but being
    asked; of /metrics, had it SCRAPE_LINES lines."""
    costs = {}
    with Server(*setup.roles[scenario.right], scenario.load.conns, setup) as server:
        run_load(server, scenario.load, 0.25, scenario.warmup, setup)
        server.wait_until_quiet()
        for path in ("/healthz", "/metrics"):
            progress(scenario, path)
            lines = scrape(server, setup, path).count(b"\n")
            before = server.cpu_seconds()
            for _ in range(SCRAPES):
                scrape(server, setup, path)
            costs[path] = (server.cpu_seconds() - before) / SCRAPES * 1e6
    asking = costs["/healthz"]
    right = asking + (costs["/metrics"] - asking) / lines * SCRAPE_LINES
    return {"left": asking, "right": right, "ratio": None, "limit": scenario.limit,
            "ok": right <= scenario.limit, "rounds": [], "note": f"{lines} lines in {costs['/metrics']:.0f} us"}


RUNNERS = {"ratio": run_ratio, "churn": run_churn, "latency": run_latency, "load": run_own_load,
           "memory": run_memory, "sleep": run_sleep, "scrape": run_scrape}


# --- the program --------------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description="Measure maritcp against a bare epoll server.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a minute or two")
    parser.add_argument("--list", action="store_true", help="list the scenarios and servers, measure nothing")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each scenario")
    parser.add_argument("--seconds", type=float, metavar="S", help="seconds measured in each half of a round")
    parser.add_argument("--record", action="store_true",
                        help="write the figures to bench/recorded.json, which later runs are compared with")
    parser.add_argument("--json", metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--server", default="maritcp", metavar="WHO",
                        help="the subject: a name of --list, or the path of a maritcp (default maritcp)")
    parser.add_argument("--base", default="ceiling", metavar="WHO",
                        help="what the subject is compared with, given likewise (default ceiling)")
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
    """(name, row of SERVERS, path) for what the user gave as --server or --base."""
    if who in SERVERS:
        name, path = who, os.path.join(ROOT, SERVERS[who].path)
    else:
        name, path = "maritcp", os.path.abspath(who)
    check_program(path)
    return name, SERVERS[name], path


def check_program(path):
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise BenchError(f"{path} is not there or is no program: run make first, or see --help")


def settle(args, tmp):
    """Everything that has to be right before the first measurement."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        complain("one core only: server and load share it, so latencies say little")
    load_path = os.path.abspath(args.load)
    check_program(load_path)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    setup = Setup(tmp=tmp, load_path=load_path, server_core=cores[0], load_core=cores[-1], quick=args.quick,
                  roles={"base": server_role(args.base), "subject": server_role(args.server),
                         "unwatched": ("maritcp", SERVERS["unwatched"], server_role(args.server)[2]),
                         "untimed": ("maritcp", SERVERS["untimed"], server_role(args.server)[2]),
                         "exported": ("maritcp", SERVERS["exported"], server_role(args.server)[2]),
                         "lines": ("maritcp", SERVERS["lines"], server_role(args.server)[2]),
                         "lengths": ("maritcp", SERVERS["lengths"], server_role(args.server)[2]),
                         "browsers": ("maritcp", SERVERS["browsers"], server_role(args.server)[2]),
                         "offload": server_role("offload")},
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
            except (BenchError, OSError) as error:
                failures[scenario.name] = str(error)
                complain(f"{scenario.name}: {error}")
                code = 1
    except KeyboardInterrupt:
        complain("interrupted")
        code = 130
    end_all_processes()
    print_report(results, setup)
    own = setup.roles["base"][0] == "ceiling" and setup.roles["subject"][0] == "maritcp"
    if own:
        print_moved(results, RECORDED)
    if own and args.record:
        record(results, RECORDED)
    if args.json:
        try:
            write_json(args.json, results, failures, setup)
        except OSError as error:
            raise BenchError(f"cannot write {args.json}: {error.strerror}") from error
    return code


def list_all():
    for scenario in SCENARIOS:
        limit = "-" if scenario.limit is None else f"{scenario.limit:g}"
        print(f"{scenario.name:<14} limit {limit:<5} {scenario.what}")
    print("servers: " + ", ".join(SERVERS))
    return 0


def main():
    args = arguments()
    return list_all() if args.list else run_program("bench", lambda tmp: measure(args, settle(args, tmp)))


if __name__ == "__main__":
    sys.exit(main())
