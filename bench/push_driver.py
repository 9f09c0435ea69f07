"""The servers that push.py measures, and bench/push/fanout, which drives them: many subscribers and one publisher."""
import dataclasses
import json
import os
import select
import shutil
import subprocess

from bench import maritcp_args
from procs import BenchError, Server, end_process, last_line, start_process

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
BUILT = os.path.join(ROOT, "build", "release")
PAYLOAD = 100  # bytes of text in each message
PATIENCE = 120  # seconds for the longest thing a driver is told


@dataclasses.dataclass(frozen=True)
class Kind:
    """A server that can be measured."""

    path: str  # from build/release, or maritcp, or the name of an installed program
    dialect: str  # of fanout
    args: object  # function(path, port, connections, log file) -> argv
    clean_exits: tuple = (0,)  # what wait() gives after SIGTERM
    most: int = 10**6  # connections that it is measured with
    title: str = ""

    def find(self):
        """Its path, or None if it is not installed."""
        if self.path == "maritcp":
            return os.path.join(ROOT, self.path)
        return os.path.join(BUILT, self.path) if "/" in self.path else shutil.which(self.path, path=SYSTEM_PATH)


SYSTEM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"


def plain_args(path, port, conns, log):
    return [path, str(port)]


def own_args(*keys):
    """Arguments of bench/push/server."""
    return lambda path, port, conns, log: [path, str(port), str(conns + 64), *keys]


def redis_args(path, port, conns, log):
    return [path, "--port", str(port), "--bind", "127.0.0.1", "--protected-mode", "no", "--save", "", "--appendonly",
            "no", "--maxclients", str(conns + 100), "--client-output-buffer-limit", "pubsub 0 0 0"]


def mosquitto_args(path, port, conns, log):
    conf = log + ".conf"
    with open(conf, "w", encoding="ascii") as stream:
        stream.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_connections -1\nset_tcp_nodelay true\n"
                     "log_type error\nmax_queued_messages 0\n")
    return [path, "-c", conf]


def nats_args(path, port, conns, log):
    conf = log + ".conf"
    with open(conf, "w", encoding="ascii") as stream:
        stream.write(f'listen: "127.0.0.1:{port}"\nmax_connections: {conns + 100}\nping_interval: "1h"\n'
                     'write_deadline: "60s"\nmax_pending: 1GB\n')
    return [path, "-c", conf]


KINDS = {
    "bare": Kind("push/bare", "mario", plain_args, title="one loop of send() over an array of descriptors"),
    "group": Kind("push/server", "mario", own_args(), title="MarioTCP, mario_send_group()"),
    "all": Kind("push/server", "mario-all", own_args(), title="MarioTCP, mario_send_all()"),
    "group_uring": Kind("push/server", "mario", own_args("uring=auto"), title="the same with push.uring = auto"),
    "maritcp": Kind("maritcp", "mario", maritcp_args, title="maritcp, SAY"),
    "redis": Kind("redis-server", "redis", redis_args, title="Redis, PUBLISH"),
    "mosquitto": Kind("mosquitto", "mqtt", mosquitto_args, title="Mosquitto, MQTT at QoS 0"),
    "nats": Kind("nats-server", "nats", nats_args, (0, 1), title="NATS, PUB"),
    "chat_poll": Kind("models/chat_poll", "mario", plain_args, title="a chat room in one thread, poll()"),
    "chat_shm": Kind("models/chat_shm", "mario", plain_args, most=1000,
                     title="a chat room of processes, shared memory and pipes"),
    "queue_64": Kind("push/server", "mario", own_args("slow=drop_newest"),
                     title="MarioTCP, at most 64 messages wait for a reader (push.queue's default)"),
    "queue_4096": Kind("push/server", "mario", own_args("slow=drop_newest", "queue=4096", "bytes=0", "memory=0"),
                       title="MarioTCP, at most 4,096 do"),
}


class Driver:
    """fanout with its connections to a server. Use it with `with`."""

    def __init__(self, server, subscribers, setup):
        self.server = server
        self.said = os.path.join(setup.tmp, f"driver-{server.port}.err")
        argv = [os.path.join(BUILT, "push", "fanout"), server.kind.dialect, str(server.port), str(subscribers),
                str(PAYLOAD), str(server.pid)]
        with open(self.said, "wb") as err:
            self.process = start_process(argv, setup.load_core, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=err)
        try:
            self.answer("connecting")
        except BaseException:
            end_process(self.process, 1)
            raise

    def answer(self, line):
        """The next object that it says. Raises BenchError."""
        out = self.process.stdout
        ready = select.select([out], [], [], PATIENCE)[0]
        text = out.readline() if ready else b""
        if not text:
            self.server.check_alive()
            said = last_line(self.said) if ready else f"no answer in {PATIENCE} s"
            raise BenchError(f"{self.server.name}: {line}: {said}")
        return json.loads(text)

    def tell(self, line):
        """Have it begin what takes a while; answer() is to follow."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise BenchError(f"{self.server.name}: {line}: {last_line(self.said)}") from error

    def ask(self, line):
        self.tell(line)
        return self.answer(line)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.stdin.close()
        end_process(self.process, 5)
        self.process.stdout.close()


def start(name, subscribers, setup):
    """A server of this name, ready for so many subscribers."""
    kind = KINDS[name]
    path = kind.find()
    if path is None or not os.access(path, os.X_OK):
        raise BenchError(f"{name}: {kind.path} is not there: run make bench-push, or scripts/deps peers")
    return Server(name, kind, path, subscribers + 16, setup)


def core_busy(core):
    """Seconds in which a core was not idle."""
    with open("/proc/stat", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(f"cpu{core} "):
                ticks = [int(word) for word in line.split()[1:9]]
                return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"/proc/stat does not know core {core}")
