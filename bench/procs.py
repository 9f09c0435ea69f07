"""Processes for bench.py and models.py: start them on a core, know what they cost, leave none behind.

There is one thread. Whatever is started dies with this program, even if this program is killed.
"""
import ctypes
import json
import os
import platform
import random
import resource
import signal
import socket
import subprocess
import tempfile
import time

from report import complain

STX = 0x8EB69AF7
PR_SET_PDEATHSIG = 1
TRIES = 3
FEW = 16  # descriptors that a server may open for itself after it listens
LIBC = ctypes.CDLL(None)

children = []  # every process that runs
held_ports = []  # sockets whose names reserve ports, until we end


class BenchError(Exception):
    """Something could not run; the text is one clear line for the user."""


def interrupt(signum, frame):
    raise KeyboardInterrupt


def run_program(name, work):
    """Call work(a directory of its own) and return the exit code: work's; 1 after an error, which is said; 130 when
    interrupted. However it ends, no process and no directory stays behind."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix=f"mario-{name}-") as tmp:
            return work(tmp)
    except BenchError as error:
        complain(error)
        return 1
    except OSError as error:
        complain(f"{error.filename or ''}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    finally:
        end_all_processes()


def start_process(argv, core, **streams):
    """Start argv on one core, or on a set of them."""

    def in_child():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, core if isinstance(core, set) else {core})

    try:
        process = subprocess.Popen(argv, preexec_fn=in_child, start_new_session=True,
                                   **{"stdin": subprocess.DEVNULL, **streams})
    except OSError as error:
        raise BenchError(f"cannot start {argv[0]}: {error.strerror}") from error
    children.append(process)
    return process


def end_process(process, grace):
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


def clock_of(pid):
    """Seconds of CPU time of a process: nanoseconds exact, and with the threads that have ended."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of that process
    except OSError:
        return 0.0  # it has just ended and been reaped


def last_line(path):
    with open(path, "rb") as stream:
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def port_range():
    """First and last port that the kernel gives to no outgoing connection."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
        low, high = map(int, stream.read().split())
    if low >= 21000:
        return 20000, low - 1
    return (high + 1, 65535) if high <= 64535 else (20000, 65535)


def free_port():
    """A port that nobody listens on, and that no test or bench beside gets before we end: see test/lib/own_port.c."""
    while True:
        port = random.randint(*port_range())
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0mario-port-{port}")
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            name.close()
            continue
        held_ports.append(name)
        return port


class Server:
    """A running server of one kind (a row of SERVERS), ready for `conns` connections. Use it with `with`."""

    def __init__(self, name, kind, path, conns, setup):
        self.name = name
        self.kind = kind
        self.port = free_port()
        self.said = os.path.join(setup.tmp, f"server-{self.port}.out")
        self.log = os.path.join(setup.tmp, f"server-{self.port}.log")
        argv = kind.args(path, self.port, conns, self.log)
        with open(self.said, "wb") as out:
            self.process = start_process(argv, setup.server_core, stdout=out, stderr=subprocess.STDOUT,
                                         cwd=setup.tmp)
        self.pid = self.process.pid
        try:
            self.wait_until_it_listens()
            self.own_fds = len(os.listdir(f"/proc/{self.pid}/fd"))
        except BaseException:
            end_process(self.process, 1)
            raise

    def wait_until_it_listens(self):
        deadline = time.monotonic() + 10
        while True:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    said = last_line(self.said)
                    raise BenchError(f"{self.name} does not listen after 10 s: {said}") from error
            time.sleep(0.005)

    def wait_until_quiet(self):
        """Until it has closed what the last load left behind: that still takes places of its pool."""
        deadline = time.monotonic() + 20
        while (still := len(os.listdir(f"/proc/{self.pid}/fd")) - self.own_fds) > FEW:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} holds {still} connections 20 s after their clients have gone")
            time.sleep(0.01)

    def check_alive(self):
        code = self.process.poll()
        if code is not None:
            raise BenchError(f"{self.name} ended by itself (exit code {code}): {last_line(self.said)}")

    def rss(self):
        """Bytes, counted page by page: VmRSS of /proc/PID/status may be off by some hundred KB."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise BenchError(f"/proc/{self.pid}/smaps_rollup has no Rss line")

    def cpu_seconds(self):
        """CPU time of all its threads."""
        return clock_of(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            end_process(self.process, 1)
            return
        self.check_alive()
        code = end_process(self.process, 15)
        if code not in self.kind.clean_exits:
            raise BenchError(f"{self.name} did not stop cleanly (exit code {code}): {last_line(self.said)}")
        os.unlink(self.said)


class CoreWatch:
    """How much of the two cores went to programs that are no part of the measurement, between two moments."""

    def __init__(self, server, setup):
        self.server = server
        self.cores = (setup.server_core, setup.load_core)
        self.before = self.now()

    def now(self):
        """Seconds: the clock, what the server used, what this program and its ended children used, then each
        core's rest."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        load = used.ru_utime + used.ru_stime + time.process_time()
        return time.monotonic(), self.server.cpu_seconds(), load, *(core_rest(core) for core in self.cores)

    def foreign(self):
        """The larger share of the two cores, 0 .. 1."""
        passed = [now - then for now, then in zip(self.now(), self.before)]
        elapsed, server, load, server_rest, load_rest = passed
        return max(0.0, 1 - (server + server_rest) / elapsed, 1 - (load + load_rest) / elapsed)


def irq_time_is_apart():
    """True if this kernel does not count interrupts as time of the thread that they interrupt."""
    try:
        with open(f"/boot/config-{platform.release()}", encoding="ascii") as stream:
            return "CONFIG_IRQ_TIME_ACCOUNTING=y" in stream.read()
    except OSError:
        return False


IRQ_APART = irq_time_is_apart()


def core_rest(core):
    """Seconds in which a core was idle, or in interrupts where those belong to nobody."""
    with open("/proc/stat", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(f"cpu{core} "):
                ticks = [int(word) for word in line.split()[1:8]]
                return (sum(ticks[3:7]) if IRQ_APART else sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"/proc/stat does not know core {core}")


def load_command(server, load, seconds, warmup, setup, report):
    argv = [setup.load_path, "127.0.0.1", str(server.port), "-c", str(load.conns), "-p", str(load.inflight)]
    argv += ["-a", load.akg, "-m", load.mode, "-T", "1", "-P", str(server.pid)]
    argv += ["-t", f"{seconds:g}", "-w", f"{warmup:g}", "-x", f"{STX:#x}", "-j", report]
    if load.proto != "head":
        argv += ["--proto", load.proto]
    if load.payload is not None:
        argv += ["-s", str(load.payload)]
    if load.idle:
        argv += ["-i", str(load.idle)]
    if load.mode == "open":
        argv += ["-r", f"{load.rate:.0f}"]
    return argv


def run_load(server, load, seconds, warmup, setup):
    """Run mario_load against server. Returns its JSON object, and in it as "foreign" the share of a core that
    others had. Where no reply at all came in time it says so and tries again: a crowded machine can do that
    to a short run, and so can a stalled server."""
    for _ in range(TRIES):
        result = run_load_once(server, load, seconds, warmup, setup)
        if result["requests"]:
            return result
        complain(f"{server.name}: no request was answered in {seconds:g} s ({load.mode}), measured again")
    raise BenchError(f"{server.name}: no request was answered, {TRIES} times running")


def run_load_once(server, load, seconds, warmup, setup):
    report = os.path.join(setup.tmp, "load.json")
    said = os.path.join(setup.tmp, "load.out")
    argv = load_command(server, load, seconds, warmup, setup, report)
    if os.path.exists(report):
        os.unlink(report)
    watch = CoreWatch(server, setup)
    with open(said, "wb") as out:
        process = start_process(argv, setup.load_core, stdout=out, stderr=subprocess.STDOUT)
    try:
        code = process.wait(seconds + warmup + 60)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"mario_load does not end: {' '.join(argv)}") from error
    finally:
        end_process(process, 1)
    server.check_alive()
    foreign = watch.foreign()
    server.wait_until_quiet()
    if not os.path.exists(report):
        raise BenchError(f"mario_load failed against {server.name} (exit code {code}): {last_line(said)}")
    with open(report, encoding="utf-8") as stream:
        result = json.load(stream)
    errors = {name: count for name, count in result["errors"].items() if count}
    behind = load.mode == "open" and result.get("not_sent", 0) > 0  # no error: req_per_s and latency show it
    if errors or result.get("lost", 0) or (code != 0 and not behind):
        log = last_line(server.log) if os.path.exists(server.log) else "there is none"
        raise BenchError(f"mario_load against {server.name}: exit code {code}, errors {errors or 'none'}; "
                         f"the server's log: {log}")
    result["foreign"] = foreign
    return result


def metric_of(result, metric, name):
    """The number that `metric` names in mario_load's JSON object; "latency_us.p99" reaches inside."""
    value = result
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, (int, float)) or value <= 0:
        raise BenchError(f"mario_load against {name} gave no {metric}")
    return value
