#!/usr/bin/env python3
"""Measure the models of bench/models, the ways to write a TCP server that the books teach, side by side.

Each server is started afresh for every measurement, pinned to one core; the load generator and this program
share another. The servers take turns, round by round, and what one gives is compared with what epoll_lt gave in
the same round; the median of the rounds is the result. CPU time and memory are those of a server with all its
threads and children, also of those that have ended.

Before it is measured each model must pass a check: split and merged packets, nonsense, slow and rude clients,
a clean end. --check does only that.

Exit code: 0 all that was asked for went well, 1 something failed or could not run, 130 after Ctrl-C.
"""
import argparse
import dataclasses
import datetime
import json
import os
import platform
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
sys.dont_write_bytecode = True  # no __pycache__ in the tree
sys.path.insert(1, os.path.join(BENCH, "models"))

from bench import SERVERS, Load, ServerKind, check_program, hold_connections
from model_report import BASE, print_tables, write_plots, write_table
from procs import (BenchError, CoreWatch, Server, clock_of, end_process, last_line, load_command, metric_of,
                   run_program, start_process)
from report import complain, cpu_model, progress
from wire_check import WireError, check_wall, check_wire

KERNEL_STACK = 16384  # bytes a thread, x86-64 and arm64
MEASURING = b"measuring:"  # in mario_load's status line


@dataclasses.dataclass(frozen=True)
class Model:
    """One way to write a server."""

    name: str
    title: str
    when: str  # a sentence: when it is the right one
    most: int = 10**6  # connections that it can serve at a time
    why: str = ""  # what sets that number
    wall: int = 0  # descriptors from here on are refused politely


MODELS = [
    Model("iterative", "one process, one connection at a time",
          "a visit is one short request, and nobody can be rude: a status port on a trusted machine",
          most=1, why="one at a time"),
    Model("fork", "a process for each connection",
          "connections are few and long, and one client's crash, leak or rights must not touch the others"),
    Model("prefork", "a pool of processes, notified in turn",
          "clients share nothing, and a crash is to cost only some of them"),
    Model("thread", "a thread for each connection",
          "some thousand clients at most, and requests that take long, block, or cannot be cut into steps"),
    Model("thread_lock", "a pool of threads, accept behind a mutex",
          "work blocks, and how much of it runs at a time must have a bound, as in front of a database",
          most=1024, why="its pool"),
    Model("select", "select() in a worker thread",
          "a few descriptors, in a program that must run everywhere",
          most=1000, why="FD_SETSIZE is 1024", wall=1024),
    Model("poll", "poll() in one thread",
          "some hundred descriptors at most, on a system without epoll or kqueue"),
    Model("epoll_lt", "level-triggered epoll in one thread",
          "Linux, many connections, short requests: nearly always"),
    Model("epoll_et", "edge-triggered epoll in one thread",
          "connections change between reading and writing all the time: proxies, large replies"),
    Model("epoll_pool", "edge-triggered epoll, EPOLLONESHOT, a queue and a thread pool",
          "the work behind a request is long or blocks, and any thread must be able to take any client"),
    Model("libevent", "libevent bufferevents",
          "it must run on every system or needs the library's TLS, timeouts and limits, and some microseconds do "
          "not matter"),
    Model("libuv", "libuv",
          "Windows too, or files, processes and name lookups beside sockets, in C"),
    Model("asio", "Asio (C++)",
          "a C++ program, above all a portable one"),
    Model("maritcp", "MarioTCP, one worker",
          "long-lived connections by the hundred thousand and requests with an id: only the functions are left to "
          "write"),
]
BY_NAME = {model.name: model for model in MODELS}
CONNS = [10, 100, 1000, 10000]
CHURN = Load(50, mode="churn")


@dataclasses.dataclass
class Setup:
    """What main() settled; run_load's friends in procs.py look at the first four."""

    tmp: str
    load_path: str
    server_core: int
    load_core: int
    programs: str  # where the models' programs are
    models: list
    conns: list
    rounds: int
    seconds: float
    warmup: float
    quick: bool


@dataclasses.dataclass(frozen=True)
class Task:
    """For the progress line."""

    name: str


# --- a server with its threads and children -----------------------------------------------------------------


def model_args(path, port, conns, log):
    return [path, str(port)]


def children_of(pid):
    """Those that the main thread has forked, which is where these servers do it."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
        return [int(word) for word in stream.read().split()]


def reaped_seconds(pid):
    """CPU time of the children that a process has reaped, in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        fields = stream.read().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def sum_lines(path, *keys):
    """Bytes: the sum of the lines `Key: N kB` of a /proc file; of `Threads:` the number; 0 if it is gone."""
    total = 0
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            for line in stream:
                key, _, rest = line.partition(":")
                if key in keys:
                    total += int(rest.split()[0]) * (KERNEL_STACK if key == "Threads" else 1024)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


class ModelServer(Server):
    """A server of one model; CPU and memory are the whole family's."""

    def __init__(self, model, conns, setup):
        kind = SERVERS.get(model.name)
        path = os.path.join(ROOT, kind.path) if kind else os.path.join(setup.programs, model.name)
        self.model = model
        super().__init__(model.name, kind or ServerKind(path, model_args, (0,)), path, conns, setup)

    def cpu_seconds(self):
        pids = children_of(self.pid)  # before the reaped: one that ends in between is missed once, not counted twice
        return sum(map(clock_of, pids)) + reaped_seconds(self.pid) + clock_of(self.pid)

    def memory(self):
        """Bytes: of user space, where a page shared by k processes counts 1/k; and the kernel's page tables and
        stacks for it."""
        family = [self.pid, *children_of(self.pid)]
        user = sum(sum_lines(f"/proc/{pid}/smaps_rollup", "Pss") for pid in family)
        kernel = sum(sum_lines(f"/proc/{pid}/status", "VmPTE", "Threads") for pid in family)
        return user, kernel

    def __exit__(self, kind, value, trace):
        try:
            super().__exit__(kind, value, trace)
        finally:
            self.end_family(kind is None)

    def end_family(self, complain_of_it):
        """SIGTERM must have ended the children too: they are in the server's process group."""
        deadline = time.monotonic() + 2
        while True:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        os.killpg(self.pid, signal.SIGKILL)
        if complain_of_it:
            raise BenchError(f"{self.name}: processes of it were left after SIGTERM")


# --- measuring ----------------------------------------------------------------------------------------------


def load_argv(server, load, setup, report):
    """A run without end, which says when it measures. mario_load's own look at the server's CPU is left out: it
    would not see children."""
    argv = load_command(server, load, 3600, setup.warmup, setup, report)
    at = argv.index("-P")
    return argv[:at] + argv[at + 2:] + ["-v"]


def watch_load(process, server, said, seconds):
    """Take (time, CPU) of the server until mario_load has measured for `seconds`; end it. Returns the samples, the
    last one taken as the measurement ended."""
    samples, until = [], None
    deadline = time.monotonic() + seconds + 90
    while process.poll() is None:
        begin = time.monotonic()
        if until is not None and begin >= until:
            samples.append((begin, server.cpu_seconds()))
            process.send_signal(signal.SIGINT)
            return samples
        if begin > deadline:
            raise BenchError(f"mario_load against {server.name} does not come to measure: {last_line(said)}")
        samples.append((begin, server.cpu_seconds()))
        if until is None:
            with open(said, "rb") as stream:
                until = begin + seconds if MEASURING in stream.read() else None
        cost = time.monotonic() - begin
        time.sleep(max(0.02, 15 * cost))
    raise BenchError(f"mario_load against {server.name} ended by itself: {last_line(said)}")


def cpu_at(samples, moment):
    """CPU seconds at a moment, between two samples taken as a straight line."""
    for (t0, c0), (t1, c1) in zip(samples, samples[1:]):
        if t0 <= moment <= t1:
            return c0 + (c1 - c0) * (moment - t0) / max(t1 - t0, 1e-9)
    raise BenchError("no sample of the server's CPU before the measurement began")


def run_load(server, load, setup):
    """One run. Returns what counts of mario_load's JSON, and the server's CPU for each request (churn: for each
    connection).

    SIGINT ends the measured window at once, and mario_load says how long it was: so it is known when it began, and
    what the server had used by then."""
    report = os.path.join(setup.tmp, "load.json")
    said = os.path.join(setup.tmp, "load.out")
    if os.path.exists(report):
        os.unlink(report)
    watch = CoreWatch(server, setup)
    with open(said, "wb") as out:
        process = start_process(load_argv(server, load, setup, report), setup.load_core, stdout=out,
                                stderr=subprocess.STDOUT)
    try:
        samples = watch_load(process, server, said, setup.seconds)
        code = process.wait(60)
        foreign = watch.foreign()  # not before: mario_load's time counts once it has been waited for
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"mario_load against {server.name} does not end") from error
    finally:
        end_process(process, 1)
    server.check_alive()
    try:
        with open(report, encoding="utf-8") as stream:
            result = json.load(stream)
    except OSError as error:
        raise BenchError(f"mario_load against {server.name} failed ({code}): {last_line(said)}") from error
    errors = {name: count for name, count in result["errors"].items() if count}
    if code != 0 or errors or not result["requests"]:
        raise BenchError(f"mario_load against {server.name}: exit code {code}, {result['requests']} requests, "
                         f"errors {errors or 'none'}")
    return figures(result, samples, load, foreign, server.name)


def figures(result, samples, load, foreign, name):
    at_end, cpu_end = samples[-1]
    cpu = (cpu_end - cpu_at(samples, at_end - result["seconds"])) / result["seconds"]
    rate = metric_of(result, "conn_per_s" if load.mode == "churn" else "req_per_s", name)
    return {"per_s": rate, "cpu_us": cpu / rate * 1e6, "busy": cpu, "foreign": foreign,
            **{key: result["latency_us"][key] for key in ("p50", "p99", "p999")}}


def points_of(model, conns):
    """The numbers of connections that this model is measured with."""
    return [count for count in conns if count <= model.most] or [model.most]


def measure_round(jobs, setup, task):
    """jobs: {model: load}. {name: figures, or {"error": text}}"""
    found = {}
    for model, load in jobs.items():
        progress(task, model.name)
        try:
            with ModelServer(model, load.conns, setup) as server:
                found[model.name] = run_load(server, load, setup)
        except BenchError as error:
            complain(f"{task.name}: {error}")
            found[model.name] = {"error": str(error)}
    base = found.get(BASE, {})
    for part in found.values():
        if "cpu_us" in part and "cpu_us" in base:
            part["ratio"] = part["cpu_us"] / base["cpu_us"]
    return found


def measure_rounds(jobs, setup, what):
    """The median of all rounds, in each of which the servers come in another order. {name: figures}"""
    order, rounds = list(jobs), []
    for count in range(setup.rounds):
        shift = count * len(order) // setup.rounds
        turned = order[shift:] + order[:shift]
        task = Task(f"{what}, round {count + 1} of {setup.rounds}")
        rounds.append(measure_round({model: jobs[model] for model in turned}, setup, task))
    results = {}
    for model in order:
        good = [one[model.name] for one in rounds if "error" not in one[model.name]]
        if len(good) < setup.rounds:
            error = next(one[model.name]["error"] for one in rounds if "error" in one[model.name])
            results[model.name] = {"error": error}
            continue
        keys = set.intersection(*(set(one) for one in good))
        results[model.name] = {key: statistics.median(one[key] for one in good) for key in sorted(keys)}
        results[model.name]["rounds"] = good
    return results


def measure_memory(model, setup):
    """Growth for each held connection that has logged in."""
    count = min(model.most, max(setup.conns))
    held = []
    if count < 10:
        return None  # pages do not tell
    progress(Task("memory"), f"{model.name}, {count} connections")
    with ModelServer(model, count, setup) as server:
        before = server.memory()
        try:
            held = hold_connections(server, Load(count))
            time.sleep(0.3)
            server.check_alive()
            user, kernel = (now - then for now, then in zip(server.memory(), before))
        except OSError as error:
            raise BenchError(f"{server.name}: could not hold all {count}: {error}") from error
        finally:
            for sock in held:
                sock.close()
    return {"connections": count, "user": user / count, "kernel": kernel / count}


def measure_all(setup, document):
    """Fills document["models"]. Returns 0, or 1 when something failed."""
    results = document["models"]
    for conns in sorted({count for model in setup.models for count in points_of(model, setup.conns)}):
        jobs = {model: Load(conns) for model in setup.models
                if conns in points_of(model, setup.conns) or model.name == BASE}
        for name, found in measure_rounds(jobs, setup, f"{conns} connections").items():
            results[name]["points"][str(conns)] = found
    churn = measure_rounds({model: CHURN for model in setup.models}, setup, "churn")
    for model in setup.models:
        results[model.name]["churn"] = churn[model.name]
        try:
            results[model.name]["memory"] = measure_memory(model, setup)
        except BenchError as error:
            complain(error)
            results[model.name]["memory"] = {"error": str(error)}
    parts = [part for one in results.values() for part in (*one["points"].values(), one["churn"], one["memory"])]
    return 1 if any(part and "error" in part for part in parts) else 0


# --- checking -----------------------------------------------------------------------------------------------


def check_load(server, setup, *options):
    """mario_load for a second, every reply checked by it."""
    said = os.path.join(setup.tmp, "check.out")
    argv = [setup.load_path, "127.0.0.1", str(server.port), "-w", "0", *options]
    with open(said, "wb") as out:
        process = start_process(argv, setup.load_core, stdout=out, stderr=subprocess.STDOUT)
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{server.name}: mario_load {' '.join(options)} does not end") from error
    finally:
        end_process(process, 1)
    if code != 0:
        with open(said, encoding="utf-8", errors="replace") as stream:
            lines = [line.strip() for line in stream if line.startswith(("errors", "ledger", "mario_load"))]
        raise BenchError(f"{server.name}: mario_load {' '.join(options)} says: {'; '.join(lines)}")


def check_model(model, setup):
    """Raises BenchError. The server is started and ended here, so a clean end is part of it."""
    conns = str(min(10, model.most))
    with ModelServer(model, 2000, setup) as server:
        try:
            check_wire(server.port, model.most, server.cpu_seconds)
            check_load(server, setup, "-c", conns, "-t", "1", "-a", "login", "-p", "16")
            check_load(server, setup, "-c", conns, "-t", "1", "-a", "echo", "-p", "16", "-s", "3000")
            check_load(server, setup, "-c", "10", "-t", "0.3", "-m", "churn")
            if model.wall:
                check_wall(server.port, model.wall)
            held = hold_connections(server, Load(min(10, model.most)))  # until after it has been told to end
        except (WireError, OSError) as error:
            server.check_alive()
            raise BenchError(f"{model.name}: {error}") from error
    for sock in held:
        sock.close()


def check_all(setup, say):
    """{name: error} of those that failed."""
    failed = {}
    for model in setup.models:
        progress(Task("check"), model.name)
        begin = time.monotonic()
        try:
            check_model(model, setup)
        except BenchError as error:
            failed[model.name] = str(error)
            complain(f"check: {error}")
            continue
        if say:
            progress(Task("check"), "")
            print(f"{model.name:<12} right, {time.monotonic() - begin:.1f} s", flush=True)
    return failed


# --- the program --------------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description="Measure the models of bench/models side by side.")
    parser.add_argument("--check", action="store_true", help="only check that each speaks the wire format")
    parser.add_argument("--quick", action="store_true", help="one short round each; written to build/bench")
    parser.add_argument("--only", action="append", metavar="NAME", choices=list(BY_NAME),
                        help=f"only this one, beside {BASE}; may be repeated")
    parser.add_argument("--conns", metavar="LIST", help="numbers of connections (10,100,1000,10000)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (5; with --quick 1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="least seconds of a measurement (1; 0.3)")
    parser.add_argument("--plot-only", action="store_true", help="make table and plots again from models.json")
    parser.add_argument("--out", metavar="DIR", help="where models.json, models.md and the plots go "
                        "(docs/bench; build/bench if this is not the whole run)")
    parser.add_argument("--programs", metavar="DIR", default=os.path.join(ROOT, "build", "release", "models"),
                        help="the models' programs (build/release/models)")
    parser.add_argument("--load", default=os.path.join(ROOT, "test", "mario_load"), metavar="PATH",
                        help="the load generator (test/mario_load)")
    args = parser.parse_args()
    try:
        args.counts = sorted({int(word) for word in args.conns.split(",")}) if args.conns else CONNS
    except ValueError:
        parser.error("--conns is a list of numbers, such as 10,1000")
    if not 1 <= args.counts[0] <= args.counts[-1] <= 100000:
        parser.error("--conns: each must be 1 .. 100000")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if args.seconds is not None and not 0.1 <= args.seconds <= 600:
        parser.error("--seconds must be 0.1 .. 600")
    part = args.quick or args.only or args.conns
    args.out = os.path.abspath(args.out or os.path.join(ROOT, *(("build", "bench") if part and not args.plot_only
                                                                 else ("docs", "bench"))))
    return args


def settle(args, tmp):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        complain("one core only: server and load share it, so latencies say little")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not args.check and hard < args.counts[-1] + 100:
        raise BenchError(f"needs {args.counts[-1] + 100} descriptors, the limit is {hard}: see ulimit -Hn, or --conns")
    names = [*args.only, *([] if args.check or BASE in args.only else [BASE])] if args.only else list(BY_NAME)
    setup = Setup(tmp=tmp, load_path=os.path.abspath(args.load), server_core=cores[0], load_core=cores[-1],
                  programs=os.path.abspath(args.programs), models=[one for one in MODELS if one.name in names],
                  conns=args.counts, rounds=args.rounds or (1 if args.quick else 5),
                  seconds=args.seconds or (0.3 if args.quick else 1), warmup=0.2 if args.quick else 0.3,
                  quick=args.quick)
    check_program(setup.load_path)
    for model in setup.models:
        check_program(os.path.join(ROOT, SERVERS[model.name].path) if model.name in SERVERS
                      else os.path.join(setup.programs, model.name))
    os.sched_setaffinity(0, {setup.load_core})
    return setup


def command_line(argv):
    given = " ".join(shlex.quote(word) for word in argv)
    return f"make bench-models ARGS='{given}'" if given else "make bench-models"


def document_of(setup):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command_line(sys.argv[1:]),
        "kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(),
        "server_core": setup.server_core, "load_core": setup.load_core,
        "rounds": setup.rounds, "seconds": setup.seconds, "conns": setup.conns,
        "models": {model.name: {"title": model.title, "when": model.when, "why": model.why,
                                "most": model.most, "points": {}, "churn": None, "memory": None}
                   for model in setup.models},
    }


def foreign_share(document):
    """The share of a core that other programs had, the median of all measurements."""
    parts = [part for one in document["models"].values() for part in (*one["points"].values(), one["churn"])]
    shares = [part["foreign"] for part in parts if part and "foreign" in part]
    return statistics.median(shares) if shares else 0.0


def publish(document, out):
    """Plots and table from what was measured. Raises BenchError."""
    print_tables(document)
    try:
        write_table(document, out)
        write_plots(document, out)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"cannot write to {out}: {error}") from error


def run(args, tmp):
    setup = settle(args, tmp)
    failed = check_all(setup, args.check)
    if args.check:
        return 1 if failed else 0
    setup.models = [model for model in setup.models if model.name not in failed]
    document = document_of(setup)
    document["failed_check"] = failed
    code = measure_all(setup, document)
    document["foreign"] = foreign_share(document)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "models.json"), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")
    publish(document, args.out)
    return 1 if failed else code


def plot_again(out):
    path = os.path.join(out, "models.json")
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}: run make bench-models first") from error
    publish(document, out)
    return 0


def main():
    args = arguments()
    return run_program("models", lambda tmp: plot_again(args.out) if args.plot_only else run(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
