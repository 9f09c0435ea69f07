#!/usr/bin/env python3
"""Measure what pushing costs: one message to many connections, against a bare loop of send() and against peers.

A server has one core; its driver (bench/push/fanout) and this program share another. Server and yardstick hold the
same number of connections at the same time and take turns, a fraction of a second each; what the server took for a
delivery is divided by what the yardstick took in the same round, and the median of the rounds is the result.

Parts: fanout (MarioTCP, peers, chat rooms), member (bytes a membership), slow (stopped readers), beside (echo clients
beside a broadcast), unused (this build against the one of --base, for who pushes nothing).

Exit code: 0 all that was asked for was measured, 1 something could not run, 130 after Ctrl-C. bench/README.md says how
to read the result. --check measures nothing.
"""
import argparse
import datetime
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
sys.dont_write_bytecode = True  # no __pycache__ in the tree
sys.path.insert(1, os.path.join(BENCH, "models"))

import bench
from chat_check import check_chat
from procs import BenchError, run_load, run_program
from push_driver import KINDS, PAYLOAD, Driver, core_busy, start
from push_report import LIMITS, publish
from report import DISTURBED, complain, cpu_model, progress, progress_end
from wire_check import WireError

COUNTS = (1000, 10000)
BURSTS = (1, 16)  # messages that stand together
OURS = ("group", "all", "group_uring", "maritcp")
PEERS = ("redis", "mosquitto", "nats")
ROOMS = ("chat_poll", "chat_shm")
PARTS = ("fanout", "member", "slow", "beside", "unused")
MEMBERS, GROUPS = 1000, 100
CALM = 4  # seconds after which a server has given back what growing has left over
SAID_LEN = 8 + 8 + 2 + PAYLOAD  # HEAD, group, who said it, the text
BLOCK = 5  # rounds for which servers stay; a room stays for all, so many take long to come in


class Task:
    """For the progress line."""

    def __init__(self, name):
        self.name = name


def middle(values):
    low, median, high = bench.middle(values)
    return {"q1": low, "median": median, "q3": high}


# --- fanout -------------------------------------------------------------------------------------------------


def burst(driver, messages, count, setup):
    """Server CPU a delivery, microseconds, and the share of its core that others had meanwhile. A fraction of a second:
    messages that stand together cost less each, so there are more of them."""
    deliveries = 40000 * setup.length * (4 if messages > 1 else 1)
    times = max(2, round(deliveries / (count * messages)))
    busy, begin = core_busy(setup.server_core), time.monotonic()
    got = driver.ask(f"burst {messages} {times}")
    own = (got["cpu_ns"] + got["first_ns"]) / 1e9
    foreign = max(0.0, (core_busy(setup.server_core) - busy - own) / (time.monotonic() - begin))
    return got["cpu_ns"] / 1e3 / got["deliveries"], foreign


def fan_round(base, driver, count, setup, turned):
    """[(messages, us, us of the yardstick, foreign)], one for each of BURSTS. The yardstick sends one message."""
    found = []
    for messages in reversed(BURSTS) if turned else BURSTS:
        halves = [(base, 1), (driver, messages)]
        costs = [burst(*half, count, setup) for half in (reversed(halves) if turned else halves)]
        (bare, foreign_bare), (own, foreign_own) = reversed(costs) if turned else costs
        found.append((messages, own, bare, max(foreign_bare, foreign_own)))
    return found


def fan_block(name, count, rounds, setup, first):
    """Start yardstick and server anew and measure some rounds."""
    with start("bare", count, setup) as bare, start(name, count, setup) as server, \
            Driver(bare, count, setup) as base, Driver(server, count, setup) as driver:
        for at in range(rounds):
            yield from fan_round(base, driver, count, setup, (first + at) % 2 == 1)


def fan_out(name, count, setup):
    """{messages: what summary() gives}: of as many rounds as wanted, the least disturbed of up to twice as many."""
    rounds, found = setup.rounds, {messages: [] for messages in BURSTS}
    done = 0
    while done < 2 * rounds:
        calm = min(sum(one[-1] <= DISTURBED for one in part) for part in found.values())
        if calm >= rounds:
            break
        block = min(rounds if name in ROOMS else BLOCK, 2 * rounds - done)
        progress(Task("fanout"), f"{name}, {count} connections, round {done + 1} of {rounds}")
        for messages, own, bare, foreign in fan_block(name, count, block, setup, done):
            found[messages].append((own / bare, own, bare, foreign))
        done += block
    return {str(messages): summary(sorted(part, key=lambda one: one[-1])[:rounds]) for messages, part in found.items()}


def summary(part):
    return {"ratio": middle([one[0] for one in part]), "us": statistics.median(one[1] for one in part),
            "bare_us": statistics.median(one[2] for one in part), "foreign": statistics.median(one[3] for one in part),
            "rounds": [one[0] for one in part]}


def run_fanout(setup, document):
    names = [*OURS, *PEERS, *ROOMS]
    for name in names:
        for count in setup.counts:
            if count <= KINDS[name].most and not setup.leaves_out(name):
                yield name, lambda name=name, count=count: document["fanout"].setdefault(name, {}).update(
                    {str(count): fan_out(name, count, setup)})


# --- member -------------------------------------------------------------------------------------------------


def memberships(name, of, step, setup):
    """Bytes that the server grows by for each of 1,000 x 100 memberships."""
    with start(name, MEMBERS, setup) as server, Driver(server, MEMBERS, setup) as driver:
        driver.ask("burst 16 1")  # what a first message takes is taken
        before = server.rss()
        driver.ask(f"join {GROUPS} {of} {step}")
        time.sleep(CALM)
        return (server.rss() - before) / (MEMBERS * GROUPS)


def run_member(setup, document):
    for name in ("group", *PEERS):
        if setup.leaves_out(name):
            continue
        progress(Task("member"), name)
        yield name, lambda name=name: document["member"].update(
            {name: {"same": memberships(name, GROUPS, 0, setup), "spread": memberships(name, 10 * GROUPS, 7, setup)}})


# --- slow ---------------------------------------------------------------------------------------------------


def socket_memory(port):
    """Of all connections to a server on this port, bytes: what its kernel holds to send, what that takes in memory;
    what has come to the clients and is not read, and what that takes."""
    text = subprocess.run(["ss", "-tmnH", "state", "established", f"( sport = :{port} or dport = :{port} )"],
                          capture_output=True, text=True, check=True).stdout
    sums = {"to_send": 0, "send_memory": 0, "to_read": 0, "read_memory": 0}
    ours = False
    for line in text.splitlines():
        words = line.split()
        if "skmem:" not in line:
            received, queued, local = int(words[0]), int(words[1]), words[2]
            ours = local.endswith(f":{port}")
            sums["to_send"] += queued if ours else 0
            sums["to_read"] += 0 if ours else received
        if "skmem:" in line:
            fields = line[line.index("skmem:(") + 7:].split(")")[0].split(",")
            held = {field.rstrip("0123456789"): int(field[len(field.rstrip("0123456789")):]) for field in fields}
            sums["send_memory"] += held["w"] + held["t"] if ours else 0
            sums["read_memory"] += 0 if ours else held["r"]
    return sums


def stopped_readers(name, readers, messages, setup):
    """Publish to who does not read. Bytes for each reader, and for each message that waits in the server."""
    with start(name, readers, setup) as server, Driver(server, readers, setup) as driver:
        driver.ask("burst 16 1")
        ours = server.kind.dialect == "mario"
        sent = driver.ask("stat push_sent")["value"] if ours else 0
        before, rss = socket_memory(server.port), server.rss()
        driver.ask(f"flood 1 {messages}")
        time.sleep(CALM)
        after, grown = socket_memory(server.port), server.rss() - rss
        found = {key: (after[key] - before[key]) / readers for key in after}
        found |= {"readers": readers, "messages": messages, "grown": grown}
        if ours:
            found["waiting"] = driver.ask("stat push_pending")["value"]
            check_ledger(name, driver, sent)
        return found


def check_ledger(name, driver, before):
    """What the server says it has sent since then is what the readers find, now that they read."""
    came = driver.ask("drain")["bytes"] / SAID_LEN
    sent, waiting = (driver.ask(f"stat {counter}")["value"] for counter in ("push_sent", "push_pending"))
    if came != sent - before or waiting != 0:
        raise BenchError(f"{name}: by its ledger {sent - before} messages were sent and {waiting} wait; {came} came")


def run_slow(setup, document):
    jobs = {"queue_64": (1000, 3200), "queue_4096": (1000, 6400), "redis": (20, 64000), "mosquitto": (20, 64000), "nats": (20, 64000)}
    for name, (readers, messages) in jobs.items():
        if not setup.leaves_out(name):
            progress(Task("slow"), name)
            yield name, lambda name=name, readers=readers, messages=messages: document["slow"].update(
                {name: stopped_readers(name, readers, messages, setup)})


# --- beside -------------------------------------------------------------------------------------------------


def beside_load(which):
    """How echo clients ask: some by the clock, or many as fast as they can."""
    return {"clock": bench.Load(50, mode="open", inflight=bench.OPEN_INFLIGHT, akg="echo", payload=32, rate=10000),
            "busy": bench.Load(1000, akg="echo", payload=32)}[which]


def beside(which, setup):
    """p99 of echo clients, microseconds, with a message to 10,000 others each 100 ms and without, in turns."""
    count, seconds, found = 10000, 2, []
    load = beside_load(which)
    with start("group", count + load.conns + 64, setup) as server, Driver(server, count, setup) as driver:
        server.own_fds = len(os.listdir(f"/proc/{server.pid}/fd"))
        for at in range(setup.rounds):
            progress(Task("beside"), f"{which}, round {at + 1} of {setup.rounds}")
            pair = {}
            for beating in (at % 2 == 0, at % 2 != 0):
                if beating:
                    driver.tell(f"beat 100 {10 * (seconds + 2)}")  # longer than the load, which reading would disturb
                result = run_load(server, load, seconds, 0.3, setup)
                pair[beating] = {key: result["latency_us"][key] for key in ("p50", "p99", "p999")}
                if beating:
                    pair["beats"] = driver.answer("beat")
            found.append(pair)
    ratios = {key: {"without": statistics.median(pair[False][key] for pair in found),
                    "with": statistics.median(pair[True][key] for pair in found),
                    "ratio": middle([pair[True][key] / pair[False][key] for pair in found])}
              for key in ("p50", "p99", "p999")}
    return ratios | {"late_ms": max(pair["beats"]["late_ns"] for pair in found) / 1e6}


def run_beside(setup, document):
    for which in ("clock", "busy"):
        yield which, lambda which=which: document["beside"].update({which: beside(which, setup)})


# --- unused -------------------------------------------------------------------------------------------------

UNUSED = [bench.Scenario(f"{name}-50x{inflight}", f"{name.upper()}, 50 connections, {inflight} in flight", "ratio",
                         bench.CPU_REQUEST, "us", LIMITS["unused"],
                         bench.Load(50, inflight=inflight, akg=name, payload=payload))
          for name, payload in (("login", None), ("echo", 32)) for inflight in (1, 16)]


def run_unused(setup, document):
    if setup.base is None:
        return
    roles = {"base": bench.server_role(setup.base), "subject": bench.server_role("maritcp")}
    pairs = bench.Setup(tmp=setup.tmp, load_path=setup.load_path, server_core=setup.server_core,
                        load_core=setup.load_core, roles=roles, quick=setup.quick, rounds=4 * setup.rounds)

    def compare(scenario):
        result = bench.run_ratio(scenario, pairs)
        ratio = {"q1": result["q1"], "median": result["ratio"], "q3": result["q3"]}
        document["unused"][scenario.name] = {"what": scenario.what, "before": result["left"], "now": result["right"],
                                             "ratio": ratio}

    for scenario in UNUSED:
        yield scenario.name, lambda scenario=scenario: compare(scenario)


RUNNERS = {"fanout": run_fanout, "member": run_member, "slow": run_slow, "beside": run_beside, "unused": run_unused}


# --- checking -----------------------------------------------------------------------------------------------


def check_one(name, setup):
    """A hundred subscribers get every byte that they should; a room of the models is right with rude guests too. The
    server is started and ended here, so a clean end is part of it."""
    with start(name, 200, setup) as server:
        if name in ROOMS:
            try:
                check_chat(server.port)
            except (WireError, OSError) as error:
                server.check_alive()
                raise BenchError(f"{name}: {error}") from error
        with Driver(server, 100, setup) as driver:
            for line in ("burst 1 20", "burst 16 5", "burst 64 2", "join 100 300 7", "burst 1 1"):
                driver.ask(line)


def check_all(setup):
    """Returns the exit code."""
    code = 0
    for name in KINDS:
        if setup.leaves_out(name):
            continue
        progress(Task("check"), name)
        begin = time.monotonic()
        try:
            check_one(name, setup)
        except (BenchError, OSError) as error:
            complain(f"check: {error}")
            code = 1
            continue
        progress_end()
        print(f"{name:<12} right, {time.monotonic() - begin:.1f} s", flush=True)
    return code


# --- the program --------------------------------------------------------------------------------------------


class Setup:
    """What main() settled; procs.py looks at tmp, load_path and the cores."""

    def __init__(self, args, tmp):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            complain("one core only: server and driver share it, so the figures say little")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < max(args.counts) + 1200:
            raise BenchError(f"needs {max(args.counts) + 1200} descriptors, the limit is {hard}: see ulimit -Hn")
        self.tmp, self.base, self.quick, self.only = tmp, args.base, args.quick, args.only
        self.load_path = os.path.join(ROOT, "test", "mario_load")
        self.server_core, self.load_core = cores[0], cores[-1]
        self.counts = args.counts
        self.rounds = args.rounds or (3 if args.quick else 9)
        self.length = 0.5 if args.quick else 1
        self.absent = {name for name in PEERS if KINDS[name].find() is None}
        for name in self.absent if not args.check else ():
            complain(f"{name} is not installed, it is left out (scripts/deps peers)")
        os.sched_setaffinity(0, {self.load_core})

    def leaves_out(self, name):
        return name in self.absent or (self.only and name not in self.only)


def arguments():
    parser = argparse.ArgumentParser(description="Measure what pushing costs.")
    parser.add_argument("--check", action="store_true",
                        help="only: does each deliver what it should, and end cleanly?")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; written to build/bench")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--only", action="append", metavar="NAME", choices=list(KINDS),
                        help="only this server; may be repeated: " + ", ".join(KINDS))
    parser.add_argument("--conns", metavar="LIST", help="numbers of connections (1000,10000)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (9; with --quick 3)")
    parser.add_argument("--base", metavar="PATH", help="a maritcp of before, for the part unused")
    parser.add_argument("--plot-only", action="store_true", help="make the page and plots again from push.json")
    parser.add_argument("--out", metavar="DIR", help="where push.json, push.md and the plots go (docs/bench; "
                        "build/bench if this is not the whole run)")
    args = parser.parse_args()
    try:
        args.counts = sorted({int(word) for word in args.conns.split(",")}) if args.conns else list(COUNTS)
    except ValueError:
        parser.error("--conns is a list of numbers, such as 1000,10000")
    if not 1 <= args.counts[0] <= args.counts[-1] <= 100000:
        parser.error("--conns: each must be 1 .. 100000")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    part = (args.quick or args.part or args.only or args.conns) and not args.plot_only
    args.out = os.path.abspath(args.out or os.path.join(ROOT, *(("build", "bench") if part else ("docs", "bench"))))
    return args


def document_of(setup):
    given = " ".join(shlex.quote(word) for word in sys.argv[1:])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"make bench-push ARGS='{given}'" if given else "make bench-push",
        "kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(), "rounds": setup.rounds,
        "payload": PAYLOAD, "members": MEMBERS, "groups": GROUPS, "limits": LIMITS,
        "titles": {name: kind.title for name, kind in KINDS.items()},
        **{part: {} for part in PARTS}, "failed": {},
    }


def measure(args, tmp):
    setup = Setup(args, tmp)
    if args.check:
        return check_all(setup)
    document = document_of(setup)
    for part in args.part or PARTS:
        for name, work in RUNNERS[part](setup, document):
            try:
                work()
            except (BenchError, OSError) as error:
                document["failed"][f"{part}, {name}"] = str(error)
                complain(f"{part}, {name}: {error}")
    shares = [one["foreign"] for found in document["fanout"].values() for count in found.values()
              for one in count.values()]
    document["foreign"] = statistics.median(shares) if shares else 0.0
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "push.json"), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")
    publish(document, args.out)
    return 1 if document["failed"] else 0


def plot_again(out):
    path = os.path.join(out, "push.json")
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}: run make bench-push first") from error
    publish(document, out)
    return 0


def main():
    args = arguments()
    return run_program("push", lambda tmp: plot_again(args.out) if args.plot_only else measure(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
