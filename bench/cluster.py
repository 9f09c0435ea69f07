#!/usr/bin/env python3
"""Measure what a cluster costs: nodes (bench/cluster/node) and their users (bench/cluster/ears) over engines that are
started here, on free ports of 127.0.0.1. Nothing else of this machine is touched.

What is compared is measured in turns, a fraction of a second each, and what counts is the median of the rounds' ratios
or differences.

Parts: push (CPU of a message to a user of another node, against one to a user here), storm (three nodes, as much as one
engine carries), latency, memory (bytes a subscription, and subscribing them again), killed (a node, the engine), idle
(LOGIN and ECHO of a maritcp that is in a cluster against one that is not).

Exit code: 0 all that was asked for was measured, 1 something could not run, 130 after Ctrl-C. bench/README.md says how
to read the result.
"""
import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import platform
import re
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
from cluster_nodes import BUILT, ENGINES, Ears, Node, await_that, find
from cluster_report import LIMITS, publish
from procs import BenchError, run_program
from report import complain, cpu_model, progress

PARTS = ("push", "storm", "latency", "memory", "killed", "idle")
LENGTH = 100  # bytes of a packet
USERS = 200
SUBSCRIPTIONS = 200000
USERS_CONNECTED = 15000
SETTLE = 4  # seconds after which a server has given back what growing has left over
TICK = 1000  # ticks of the clock a second in a storm


class Task:
    """For the progress line."""

    def __init__(self, name):
        self.name = name


@dataclasses.dataclass(frozen=True)
class Job:
    """What a node's sender is told: BENCH_JOB of bench/cluster/protocol.h."""

    first: int
    users: int
    count: int
    burst: int
    rate: int
    sender: int = 0
    mute: int = 0
    length: int = LENGTH


def middle(values):
    low, median, high = bench.middle(values)
    return {"q1": low, "median": median, "q3": high}


def difference(after, before):
    return {name: after[name] - before.get(name, 0) for name in after}


# --- push: CPU of a message -----------------------------------------------------------------------------------

MODES = {"alone": (1, 10000), "sixteen": (16, 40000)}  # messages at a time, messages a second


class Trio:
    """A node alone with users of its own; two nodes in a cluster, the second one with users. Use it with `with`."""

    def __init__(self, engine, setup, nodes, others):
        """nodes, others: the cores of the nodes; of the engine and of the users."""
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            self.engine = enter(ENGINES[engine]("engine", others, setup))
            self.engine.bus = engine
            self.alone = enter(Node("alone", None, nodes, setup, USERS))
            self.near = enter(Node("near", self.engine, nodes, setup, USERS))
            self.far = enter(Node("far", self.engine, nodes, setup, USERS))
            self.alone_ears = enter(Ears(self.alone, 1, USERS, others))
            self.far_ears = enter(Ears(self.far, 1, USERS, others))
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        return self.stack.__exit__(*what)

    def run(self, sender, ears, job):
        """Until all has come: seconds of CPU of {"nodes", "engine"} and of "near", "far"; what ears and sender say."""
        nodes = (self.alone, self.near, self.far)
        ears.tell("zero")
        before = [node.cpu() for node in nodes], self.engine.cpu()
        sender.send(job)
        sent = sender.await_sent()
        heard = ears.await_received(0 if job.mute else job.count)
        if not job.mute and (heard["received"] != job.count or heard["missing"] or heard["twice"]):
            raise BenchError(f"{job.count} messages were sent, and this came: {heard}")
        used = [node.cpu() - then for node, then in zip(nodes, before[0])]
        return {"nodes": sum(used), "near": used[1], "far": used[2], "engine": self.engine.cpu() - before[1],
                "sent": sent, "heard": heard}


def push_round(trio, mode, setup, turned):
    """Microseconds of CPU a message. What the sender's clock takes, and being there, is taken off."""
    burst, rate = MODES[mode]
    count = int(rate * setup.length)
    job = Job(1, USERS, count, burst, rate)
    halves = {"local": (trio.alone, trio.alone_ears, job), "cross": (trio.near, trio.far_ears, job),
              "here": (trio.far, trio.far_ears, job),
              "mute": (trio.alone, trio.alone_ears, dataclasses.replace(job, mute=1))}
    found = {name: trio.run(*halves[name]) for name in (reversed(halves) if turned else halves)}
    ticking = found["mute"]
    cost = {name: (found[name]["nodes"] - ticking["nodes"]) / count * 1e6 for name in ("local", "cross", "here")}
    cross = found["cross"]
    return cost | {"ratio": cost["cross"] / cost["local"], "here_ratio": cost["here"] / cost["local"],
                   "engine": (cross["engine"] - ticking["engine"]) / count * 1e6,
                   "far": (cross["far"] - ticking["far"]) / count * 1e6}


def run_push(engine, setup):
    found = {mode: [] for mode in MODES}
    with Trio(engine, setup, setup.server_core, setup.load_core) as trio:
        for ears in (trio.alone_ears, trio.far_ears):
            ears.tell("doze")
        for at in range(setup.rounds):
            progress(Task("push"), f"{engine}, round {at + 1} of {setup.rounds}")
            for mode in MODES:
                found[mode].append(push_round(trio, mode, setup, at % 2 == 1))
    keys = ("local", "cross", "here", "far", "engine")
    return {mode: {key: statistics.median(one[key] for one in rounds) for key in keys}
            | {"ratio": middle([one["ratio"] for one in rounds]),
               "here_ratio": middle([one["here_ratio"] for one in rounds])}
            for mode, rounds in found.items()}


# --- storm: three nodes through one engine --------------------------------------------------------------------


def engine_publishes(setup):
    """Messages a second that redis-benchmark publishes here, without pipelining."""
    with ENGINES["redis"]("bare", setup.both_cores, setup) as redis:
        argv = [find("redis-benchmark") or "redis-benchmark", "-p", str(redis.port), "-n", "100000", "-q", "PUBLISH",
                "bench", "x" * LENGTH]
        said = subprocess.run(argv, capture_output=True, text=True, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, setup.both_cores)).stdout
    rates = re.findall(r"([\d.]+) requests per second", said)
    if not rates:
        raise BenchError(f"redis-benchmark said nothing: {said[-200:]!r}")
    return float(rates[-1])


COUNTERS = ("cluster_published", "cluster_received", "cluster_nobody", "cluster_dropped", "cluster_lost",
            "cluster_garbage", "cluster_gaps", "cluster_reconnects", "push_sent")


def storm(nodes, ears, engine, rate, setup):
    """Each node sends to the users of the next one, a third of `rate` each."""
    seconds = 5 * setup.length
    each = int(rate / len(nodes))
    burst = max(1, each // TICK)
    count = int(each * seconds)
    for one in ears:
        one.tell("zero")
    before = [{name: node.stat(name) for name in COUNTERS} for node in nodes]
    cpu = [one.cpu() for one in (*nodes, engine)]
    begin = time.monotonic()
    for at, node in enumerate(nodes):
        node.send(Job(ears[(at + 1) % len(nodes)].first, USERS, count, burst, each, at))
    sent = [node.await_sent() for node in nodes]
    heard = [one.await_received(count) for one in ears]
    took = time.monotonic() - begin
    grown = [difference({name: node.stat(name) for name in COUNTERS}, then) for node, then in zip(nodes, before)]
    used = [one.cpu() - then for one, then in zip((*nodes, engine), cpu)]
    total = count * len(nodes)
    return {"rate": rate, "sent": total, "received": sum(one["received"] for one in heard),
            "missing": sum(one["missing"] for one in heard), "twice": sum(one["twice"] for one in heard),
            "refused": sum(one["refused"] for one in sent), "reached": total / max(s["took_ns"] for s in sent) * 1e9,
            "took": took, "node_us": sum(used[:-1]) / total * 1e6, "engine_us": used[-1] / total * 1e6,
            "counters": {name: sum(one[name] for one in grown) for name in COUNTERS}}


def run_storm(engine, setup):
    bare = setup.bare_rate()
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(ENGINES[engine]("engine", setup.both_cores, setup))
        one.bus = engine
        nodes = [stack.enter_context(Node(f"node{at}", one, setup.both_cores, setup, USERS)) for at in range(3)]
        ears = [stack.enter_context(Ears(node, 1 + at * USERS, USERS, setup.both_cores))
                for at, node in enumerate(nodes)]
        for some in ears:
            some.tell("doze")
        found = []
        for share in setup.shares:
            progress(Task("storm"), f"{engine}, {share:g} of {bare:,.0f}/s")
            found.append(storm(nodes, ears, one, bare * share, setup) | {"share": share})
    return {"bare": bare, "steps": found}


# --- latency --------------------------------------------------------------------------------------------------


def run_latency(engine, setup):
    rate, found = 10000, []
    with Trio(engine, setup, setup.both_cores, setup.both_cores) as trio:
        halves = {"local": (trio.alone, trio.alone_ears), "cross": (trio.near, trio.far_ears)}
        for at in range(setup.rounds):
            progress(Task("latency"), f"{engine}, round {at + 1} of {setup.rounds}")
            job = Job(1, USERS, int(2 * rate * setup.length), 1, rate)
            found.append({name: trio.run(*halves[name], job)["heard"]["latency_us"]
                          for name in (halves if at % 2 else reversed(halves))})
    result = {}
    for key in ("p50", "p99", "p999"):
        result[key] = {side: statistics.median(one[side][key] for one in found) for side in ("local", "cross")}
        result[key]["added"] = middle([one["cross"][key] - one["local"][key] for one in found])
    return result


# --- memory: bytes a subscription, and all of them again --------------------------------------------------------


@contextlib.contextmanager
def growing(engine, conns, setup):
    """A node that is warm, and what it and its engine have grown by, bytes: asked at the end."""
    with Node("one", engine, setup.server_core, setup, conns) as node:
        node.join(10**6, 1)
        time.sleep(SETTLE / 2)
        before = node.rss(), engine.memory() if engine is not None else 0

        def grown():
            time.sleep(SETTLE)
            return node.rss() - before[0], (engine.memory() - before[1]) if engine is not None else 0

        yield node, grown


def groups_grow(engine, count, setup):
    """One connection joins so many groups."""
    with growing(engine, 0, setup) as (node, grown):
        node.join(10**7, count)
        if engine is not None:
            await_that("all are subscribed", lambda: engine.channels() >= count)
        return grown()


def users_grow(engine, count, setup):
    """So many connections, each bound to a user of its own."""
    with growing(engine, count, setup) as (node, grown), Ears(node, 10**7, count, setup.load_core):
        return grown()


def run_memory(engine, setup):
    found = {}
    for name, count, grow in (("groups", SUBSCRIPTIONS, groups_grow), ("users", USERS_CONNECTED, users_grow)):
        progress(Task("memory"), f"{engine}, {name}")
        bare = grow(None, count, setup)[0]
        with ENGINES[engine]("engine", setup.load_core, setup) as one:
            one.bus = engine
            grown, theirs = grow(one, count, setup)
        found[name] = {"count": count, "ours": (grown - bare) / count, "engine": theirs / count,
                       "without": bare / count}
    progress(Task("memory"), f"{engine}, restarted")
    return found | {"again": subscribed_again(engine, SUBSCRIPTIONS, setup)}


def subscribed_again(engine, count, setup):
    """Seconds from the moment at which an engine that was killed listens again until it has all subscriptions, and
    until the node says that it is up."""
    with ENGINES[engine]("engine", setup.load_core, setup) as one:
        one.bus = engine
        with Node("one", one, setup.server_core, setup) as node:
            node.join(10**7, count)
            await_that("all are subscribed", lambda: one.channels() >= count)
            ups, cpu = node.event("up"), node.cpu()
            one.kill()
            await_that("the node knows", lambda: node.event("down") > 0)
            one.start()
            begin = time.monotonic()
            await_that("all are subscribed again", lambda: one.channels() >= count)
            subscribed = time.monotonic() - begin
            await_that("the node is up", lambda: node.event("up") > ups)
            return {"count": count, "subscribed": subscribed, "up": time.monotonic() - begin, "gaps": node.event("gap"),
                    "cpu": node.cpu() - cpu, "engine_cpu": one.cpu()}


# --- killed -----------------------------------------------------------------------------------------------------


def run_killed(engine, setup):
    """Nodes send 2,000 messages a second each. Two of them to each other's users, and a third one is killed; then each
    to its own users, and the engine is killed and comes back a second later."""
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(ENGINES[engine]("engine", setup.both_cores, setup))
        one.bus = engine
        nodes = [stack.enter_context(Node(f"node{at}", one, setup.both_cores, setup, USERS)) for at in range(3)]
        ears = [stack.enter_context(Ears(node, 1 + at * USERS, USERS, setup.both_cores))
                for at, node in enumerate(nodes)]
        found = {}
        progress(Task("killed"), f"{engine}, a node")
        found["node"] = beside(nodes, (ears[1], ears[0]), nodes[2].kill)
        progress(Task("killed"), f"{engine}, the engine")
        ups = [node.event("up") for node in nodes[:2]]
        found["engine"] = beside(nodes, (ears[0], ears[1]), lambda: restart(one))
        await_that("the nodes are up again", lambda: all(node.event("up") > up for node, up in zip(nodes, ups)))
        found["afterwards"] = beside(nodes, (ears[1], ears[0]), lambda: None)
    return found


def restart(engine):
    engine.kill()
    time.sleep(1)
    engine.start()


def beside(nodes, targets, disaster):
    """What the users of the first two nodes hear meanwhile."""
    seconds, rate = 4, 2000
    for some in targets:
        some.tell("zero")
    for at, some in enumerate(targets):
        nodes[at].send(Job(some.first, USERS, seconds * rate, 2, rate, at))
    time.sleep(1)
    disaster()
    for node in nodes[:2]:
        node.await_sent()
    heard = [some.await_received(seconds * rate) for some in targets]
    return {"sent": 2 * seconds * rate, "closed": sum(one["closed"] for one in heard),
            "missing": 2 * seconds * rate - sum(one["received"] for one in heard),
            "twice": sum(one["twice"] for one in heard)}


# --- idle -------------------------------------------------------------------------------------------------------

IDLE = [bench.Scenario(f"{name}-50x{inflight}", f"{name.upper()}, 50 connections, {inflight} in flight", "ratio",
                       bench.CPU_REQUEST, "us", LIMITS["idle"],
                       bench.Load(50, inflight=inflight, akg=name, payload=payload), left="off", right="on")
        for name, payload in (("login", None), ("echo", 32)) for inflight in (1, 16)]


def run_idle(engine, setup):
    """A maritcp in a cluster of its own, against one that is in none. Over the first engine: which one does nothing is
    all the same."""
    if engine != setup.engines[0]:
        return None
    with ENGINES[engine]("engine", setup.load_core, setup) as one:
        def in_cluster(path, port, conns, log):
            return bench.maritcp_args(path, port, conns, log) + [
                "-o", f"cluster.bus={engine}", "-o", f"cluster.{engine}=127.0.0.1:{one.port}"]

        _, kind, path = bench.server_role("maritcp")
        with bench.Server("on", dataclasses.replace(kind, args=in_cluster), path, 50, setup):
            await_that("maritcp is a node", lambda: one.channels() >= 2)
        roles = {"off": ("off", kind, path), "on": ("on", dataclasses.replace(kind, args=in_cluster), path)}
        pairs = bench.Setup(tmp=setup.tmp, load_path=setup.load_path, server_core=setup.server_core,
                            load_core=setup.load_core, roles=roles, quick=setup.quick, rounds=2 * setup.rounds)
        found = {}
        for scenario in IDLE:
            result = bench.run_ratio(scenario, pairs)
            found[scenario.name] = {
                "what": scenario.what, "off": result["left"], "on": result["right"],
                "ratio": {"q1": result["q1"], "median": result["ratio"], "q3": result["q3"]},
                "foreign": statistics.median(pair["foreign"] for pair in result["rounds"])}
        return found


# --- the program ------------------------------------------------------------------------------------------------


class Setup:
    """What main() settled; procs.py looks at tmp, load_path and the cores."""

    def __init__(self, args, tmp):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            complain("one core only: all share it, so the figures say little")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.tmp, self.quick = tmp, args.quick
        self.load_path = os.path.join(ROOT, "test", "mario_load")
        self.server_core, self.load_core, self.both_cores = cores[0], cores[-1], {cores[0], cores[-1]}
        self.rounds = args.rounds or (3 if args.quick else 9)
        self.length = 0.2 if args.quick else 0.5
        self.shares = (0.5, 1) if args.quick else (0.5, 1, 1.5, 2)
        self.engines = [name for name in args.engine or ENGINES if find(ENGINES[name].program)]
        self.rate = None

    def bare_rate(self):
        if self.rate is None:
            self.rate = engine_publishes(self)
        return self.rate


RUNNERS = {"push": run_push, "storm": run_storm, "latency": run_latency, "memory": run_memory, "killed": run_killed,
           "idle": run_idle}


def arguments():
    parser = argparse.ArgumentParser(description="Measure what a cluster costs.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; written to build/bench")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--engine", action="append", choices=list(ENGINES), help="only over this one; may be repeated")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (9; with --quick 3)")
    parser.add_argument("--page-only", action="store_true", help="make the page again from cluster.json")
    parser.add_argument("--out", metavar="DIR", help="where cluster.json and cluster.md go (docs/bench; build/bench if "
                        "this is not the whole run)")
    args = parser.parse_args()
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    part = (args.quick or args.part or args.engine) and not args.page_only
    args.out = os.path.abspath(args.out or os.path.join(ROOT, *(("build", "bench") if part else ("docs", "bench"))))
    return args


def version_of(program):
    said = subprocess.run([find(program), "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.\d+[\d.]*", said).group()


def document_of(setup):
    given = " ".join(shlex.quote(word) for word in sys.argv[1:])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"make bench-cluster ARGS='{given}'" if given else "make bench-cluster",
        "kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(), "rounds": setup.rounds,
        "length": LENGTH, "users": USERS, "modes": MODES, "limits": LIMITS, "load": os.getloadavg()[0],
        "engines": {name: version_of(ENGINES[name].program) for name in setup.engines},
        **{part: {} for part in PARTS}, "failed": {},
    }


def measure(args, tmp):
    setup = Setup(args, tmp)
    if not os.access(os.path.join(BUILT, "node"), os.X_OK):
        raise BenchError("bench/cluster is not built: run make bench-cluster")
    for name in set(args.engine or ENGINES) - set(setup.engines):
        complain(f"{ENGINES[name].program} is not installed, it is left out")
    document = document_of(setup)
    for part in args.part or PARTS:
        for engine in setup.engines:
            try:
                if (found := RUNNERS[part](engine, setup)) is not None:
                    document[part][engine] = found
            except (BenchError, OSError, subprocess.CalledProcessError) as error:
                document["failed"][f"{part}, {engine}"] = str(error)
                complain(f"{part}, {engine}: {error}")
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "cluster.json"), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")
    publish(document, args.out)
    return 1 if document["failed"] or not setup.engines else 0


def page_again(out):
    path = os.path.join(out, "cluster.json")
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}: run make bench-cluster first") from error
    publish(document, out)
    return 0


def main():
    args = arguments()
    return run_program("cluster", lambda tmp: page_again(args.out) if args.page_only else measure(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
