#!/usr/bin/env python3
"""Do those who behave notice those who come too often? `make bench-gate`.

maritcp on the first core with admit.* set, mario_load and bench/storm on the last one. A round measures the p99
latency of 50 good clients at 2,000 requests a second three times: alone; while RATE connects a second come from 1,000
addresses of 127/8, of which an address may make two a second; and while as many come to another port, where a bare loop
on the server's core accepts and resets, which is what the kernel takes of these two cores for such a storm whatever a
server does. In the end the server's counters must be what the storm has seen. Exit code 1 when they are not, or when the
good ones' p99 beside the gate is, in the median of the rounds, above 1.3 times that beside the bare loop.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

from procs import BenchError, end_process, free_port, run_program, start_process

LIMIT = 1.3
SECONDS = 4
TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def p99(port, core, tmp):
    report = os.path.join(tmp, "load.json")
    argv = ["chrt", "-f", "1"] if os.geteuid() == 0 else []  # else it mostly measures when it gets its own core
    argv += [os.path.join(TREE, "test/mario_load"), "127.0.0.1", str(port), "-m", "open", "-r", "2000", "-c", "50"]
    argv += ["-p", "8", "-a", "echo", "-t", str(SECONDS), "-w", "1", "-j", report]
    load = start_process(argv, core, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if load.wait() != 0:
        raise BenchError("a good client was refused, or got a wrong answer")
    with open(report, encoding="ascii") as stream:
        return json.load(stream)["latency_us"]["p99"]


def storm(port, core, rate):
    argv = ["chrt", "-i", "0", os.path.join(TREE, "bench/storm"), str(port), str(rate), str(SECONDS + 2)]
    argv += ["1000", "2000"]  # addresses, and how many stay
    return start_process(argv, core, stdout=subprocess.PIPE)


def counters(log):
    with open(log, encoding="utf-8") as stream:
        last = [line for line in stream if " stopped:" in line][-1]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", last)}


def beside(port, to, core, rate, tmp):
    """The good ones' p99 while a storm comes to a port, and what that has seen."""
    crowd = storm(to, core, rate)
    time.sleep(0.5)
    value = p99(port, core, tmp)
    said = json.loads(crowd.communicate()[0])
    time.sleep(1)
    return value, said


def rounds(args, port, bare_port, core, tmp):
    seen = {"made": 0, "served": 0, "reset": 0, "failed": 0, "open": 0}
    ratios = []
    for n in range(args.rounds):
        alone = p99(port, core, tmp)
        gate, said = beside(port, port, core, args.rate, tmp)
        bare, _ = beside(port, bare_port, core, args.rate, tmp)
        for key in seen:
            seen[key] += said[key]
        ratios.append((gate / bare, gate / alone))
        print(f"round {n + 1}: p99 {alone:.0f} us alone, {gate:.0f} us beside {said['rate']:.0f} connects/s, "
              f"{said['reset']} of {said['made']} refused, {bare:.0f} us beside a bare loop that refuses: "
              f"{ratios[-1][0]:.2f}", flush=True)
    return seen, [statistics.median(column) for column in zip(*ratios)]


def work(args, tmp):
    cores = sorted(os.sched_getaffinity(0))
    port, log, allow = free_port(), os.path.join(tmp, "log"), os.path.join(tmp, "allow")
    with open(allow, "w", encoding="ascii") as stream:
        stream.write("127.0.0.1\n")
    argv = [os.path.join(TREE, "maritcp")]
    for option in (f"server.listen=127.0.0.1:{port}", "server.workernum=1", "admit.ip_conns=4", "admit.ip_rate=2",
                   f"admit.allow_file={allow}", f"log.file={log}"):
        argv += ["-o", option]
    server = start_process(argv, cores[0])
    bare_port = free_port()
    bare = start_process([os.path.join(TREE, "bench/storm"), "refuse", str(bare_port)], cores[0])
    time.sleep(0.5)
    seen, (ratio, to_alone) = rounds(args, port, bare_port, cores[-1], tmp)
    bare.kill()
    bare.wait()
    if end_process(server, 15) != 0:
        raise BenchError("the server did not stop cleanly")
    is_counted = counters(log)
    refused = sum(value for name, value in is_counted.items() if name.startswith("refused_"))
    book = refused == seen["reset"] and seen["failed"] == seen["open"] == 0
    print(f"the book: {seen}; the server refused {refused}: {'the same' if book else 'WRONG'}")
    print(f"p99 of the good ones: {ratio:.2f} times that beside a bare loop, at most {LIMIT}: "
          f"{'ok' if ratio <= LIMIT else 'OVER'}; {to_alone:.1f} times that without a storm")
    return 0 if book and ratio <= LIMIT else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=int, default=20000, help="connects a second (20000)")
    args = parser.parse_args()
    return run_program("storm", lambda tmp: work(args, tmp))


if __name__ == "__main__":
    sys.exit(main())
