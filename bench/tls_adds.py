"""What TLS adds to a request, for tls.py: one maritcp with both listeners, asked in turns by a client that does as much
either way (tls_request.c). And what a system call costs on this machine: that is the unit in which it is judged."""
import json
import os
import statistics

from bench import ROOT, ServerKind, maritcp_args
from model_report import human
from procs import STX, BenchError, Server, end_process, free_port, last_line, start_process

RECORDS = ("slim", "openssl")
LIMITS = {"slim": 1.0}  # microseconds, where a system call takes one
CALLS = ("getppid", "unix", "tcp")
ROUNDS = 20  # for each of what --rounds says: they are short
PATIENCE = 300  # seconds for a run


def serve(records, setup):
    """A maritcp with a listener without TLS and one with it. Returns (server, port with TLS)."""
    secure = free_port()

    def args(path, port, places, log):
        return maritcp_args(path, port, places, log, f", 127.0.0.1:{secure} tls=default") + [
            "-o", f"tls default.certificate={setup.certificate}", "-o", f"tls default.key={setup.key}",
            "-o", f"tls.records={records}"]

    return Server(records, ServerKind("maritcp", args, (0,)), os.path.join(ROOT, "maritcp"), 200, setup), secure


def ask(server, secure, rounds, setup):
    """What tls_request says."""
    said = os.path.join(setup.tmp, "tls_request.out")
    argv = [os.path.join(ROOT, "bench", "tls_request"), str(server.pid), f"{STX:#x}", str(server.port), str(secure),
            "20", str(min(ROUNDS * rounds, 1000))]
    with open(said, "wb") as out, open(said + ".err", "wb") as err:
        process = start_process(argv, setup.server_core, stdout=out, stderr=err)
    try:
        code = process.wait(PATIENCE)
    finally:
        end_process(process, 1)
    if code != 0:
        raise BenchError(f"tls_request: {last_line(said + '.err')}")
    with open(said, encoding="utf-8") as stream:
        return json.load(stream)


def measure(setup, names, rounds):
    """{records: what tls_request says}, of those that are among the names."""
    found = {}
    for records in (one for one in RECORDS if one in names):
        server, secure = serve(records, setup)
        with server:
            found[records] = ask(server, secure, rounds, setup)
    return found


def system_calls(adds):
    """Microseconds by kind."""
    return {key: statistics.median(one[key]["median"] for one in adds.values()) for key in CALLS}


def verdict(more, unit, limit):
    """What is said of quartiles in microseconds where a system call takes `unit`. TLS is never free, so rounds of which
    a quarter says that it is, or that differ by more than what they found, have measured the machine.

    >>> verdict({"q1": 0.95, "median": 1.05, "q3": 1.15}, 3.4, 1.0)
    '1 ok'
    >>> verdict({"q1": 4.1, "median": 4.2, "q3": 5}, 3.4, 1.0)
    '1 OVER'
    >>> verdict({"q1": 3.2, "median": 3.3, "q3": 3.5}, 3.4, 1.0)
    '1 ok, but it lies within the quartiles: run again'
    >>> verdict({"q1": 1.5, "median": 1.6, "q3": 2.6}, 3.4, None)
    '-'
    >>> {verdict(dict(zip(("q1", "median", "q3"), us)), 3.4, 1.0)
    ...  for us in ((-0.66, -0.367, -0.228), (-0.1, 0.5, 0.7), (0, 0, 0), (0.5, 1.0, 1.6), (4, 9, 14))}
    {'noise: run again'}
    >>> verdict({"q1": -1, "median": 1, "q3": 2}, 3.4, None)
    'noise: run again'
    """
    if more["q1"] <= 0 or more["q3"] - more["q1"] > more["median"]:
        return "noise: run again"
    if limit is None:
        return "-"
    said = f"{human(limit)} {'ok' if more['median'] <= limit * unit else 'OVER'}"
    within = more["q1"] <= limit * unit <= more["q3"]
    return f"{said}, but it lies within the quartiles: run again" if within else said


def rows(adds):
    if not adds:
        return []
    unit = system_calls(adds)["tcp"]
    table = [["records", "without TLS, us", "with TLS, us", "TLS adds, us", "quartiles", "at 1 us a system call",
              "at most"]]
    for records, one in adds.items():
        more = one["more"]
        table.append([records, human(one["plain"]["median"]), human(one["tls"]["median"]), human(more["median"]),
                      f"{human(more['q1'])} .. {human(more['q3'])}", human(more["median"] / unit),
                      verdict(more, unit, LIMITS.get(records))])
    return table


def heading(adds):
    if not adds:
        return ""
    calls = {key: human(us) for key, us in system_calls(adds).items()}
    return (f"What TLS adds to a request of 64 bytes. A system call here: getppid() {calls['getppid']} us; send() and "
            f"recv() of 64 bytes, the mean of the two, {calls['unix']} us over a pair of unix sockets, {calls['tcp']} "
            "us over TCP: this is the unit")
