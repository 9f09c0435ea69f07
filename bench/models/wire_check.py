"""Does a server speak the wire format? One client that is exact, and rude where a network or a peer may be.

Every check talks to a server that runs on 127.0.0.1:port and raises WireError, one clear line, on the first
answer that is not right. There is one connection at a time unless `most` allows more, so a server that serves
one client at a time can be checked too.
"""
import random
import selectors
import socket
import struct
import time

STX = 0x8EB69AF7
LOGIN, HELLO, ECHO = 0x6101, 0x6102, 0x6103
PACKET_MAX = 8192
PATIENCE = 5  # seconds for an answer


class WireError(Exception):
    """What was wrong."""


def packet(akg, data=b"", stx=STX, pkglen=None):
    return struct.pack("<IHH", stx, 8 + len(data) if pkglen is None else pkglen, akg) + data


def pair(kind, number):
    """A request and its reply."""
    if kind == "login":
        return packet(LOGIN, struct.pack("<H", number % 65536)), packet(LOGIN)
    if kind == "hello":
        return packet(HELLO, bytes(number % 7)), packet(HELLO, b"hello")
    data = random.Random(number).randbytes(number)
    return packet(ECHO, data), packet(ECHO, data)


MIXED = [pair("login", 1), pair("echo", 0), pair("hello", 0), pair("echo", 1), pair("hello", 3), pair("login", 65535),
         pair("echo", 57), pair("echo", 1200), pair("login", 7)]
LONGEST = pair("echo", PACKET_MAX - 8)


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive(sock, wanted, what):
    """Receive exactly the bytes of `wanted`."""
    got = bytearray()
    try:
        while len(got) < len(wanted):
            more = sock.recv(len(wanted) - len(got))
            if not more:
                raise WireError(f"{what}: closed after {len(got)} of {len(wanted)} bytes of reply")
            got += more
    except OSError as error:
        raise WireError(f"{what}: {error} after {len(got)} of {len(wanted)} bytes of reply") from error
    if got != wanted:
        raise WireError(f"{what}: {len(wanted)} bytes of reply are not the right ones")


def expect_closed(sock, what):
    """Nothing more comes, and the server closes. A reset is as good: bytes may wait that it did not read."""
    try:
        more = sock.recv(1)
    except TimeoutError as error:
        raise WireError(f"{what}: not closed within {PATIENCE} s") from error
    except ConnectionResetError:
        return
    if more:
        raise WireError(f"{what}: an answer to what should end the connection")


def check_split(port):
    """Packets that arrive a byte at a time, and cut at random places."""
    with connect(port) as sock:
        for request, reply in MIXED[:7]:
            for index in range(len(request)):
                sock.sendall(request[index:index + 1])
            receive(sock, reply, "one byte at a time")
        stream = b"".join(request for request, _ in MIXED + [LONGEST]) * 6
        replies = b"".join(reply for _, reply in MIXED + [LONGEST]) * 6
        cuts = random.Random(1)
        at = 0
        while at < len(stream):
            size = cuts.choice((1, 3, 7, 8, 9, 500, 3000, 9000))
            sock.sendall(stream[at:at + size])
            at += size
            if cuts.random() < 0.2:
                time.sleep(0.0005)
        receive(sock, replies, "cut at random")


def check_merged(port):
    """Many packets in one write, and a half-close behind them: all are answered, then the server closes."""
    with connect(port) as sock:
        sock.sendall(b"".join(request for request, _ in MIXED * 40))
        sock.shutdown(socket.SHUT_WR)
        receive(sock, b"".join(reply for _, reply in MIXED * 40), "merged, then a half-close")
        expect_closed(sock, "half-close")


def check_nonsense(port):
    """What ends a connection, each behind a right packet, whose answer must still come."""
    request, reply = pair("echo", 33)
    nonsense = {
        "wrong stx": packet(LOGIN, b"\0\0", stx=STX ^ 1),
        "stx in the other byte order": struct.pack(">I", STX) + packet(ECHO)[4:],
        "pkglen 0": packet(ECHO, pkglen=0),
        "pkglen 7": packet(ECHO, pkglen=7),
        "pkglen 8193": packet(ECHO, pkglen=PACKET_MAX + 1),
        "pkglen 65535": packet(ECHO, pkglen=65535),
        "unknown akg_id": packet(0x7777),
        "reserved akg_id": packet(0xFFFC),
        "a LOGIN without uid": packet(LOGIN),
    }
    for what, bad in nonsense.items():
        with connect(port) as sock:
            sock.sendall(request + bad)
            receive(sock, reply, f"the packet before {what}")
            expect_closed(sock, what)


def check_slow_reader(port, cpu_seconds):
    """A client that sends on and on and reads only when the server takes no more: it waits without a spin, and
    nothing is lost."""
    requests, replies = LONGEST
    total = 600 * len(requests)
    stream, wanted = memoryview(requests * 600), replies * 600
    with connect(port) as sock:
        sock.setblocking(False)
        sent, idle = 0, time.monotonic()
        while sent < total and time.monotonic() < idle + 0.15:
            try:
                sent += sock.send(stream[sent:sent + 65536])
                idle = time.monotonic()
            except BlockingIOError:
                time.sleep(0.005)
        before = cpu_seconds()
        time.sleep(0.1)
        if cpu_seconds() - before > 0.05:
            raise WireError("slow reader: the server spins while the client does not read")
        got = send_and_receive(sock, stream, sent, total)
    if got != wanted:
        raise WireError("slow reader: what came back is not what was sent")


def send_and_receive(sock, stream, sent, total):
    """Send the rest of stream and receive `total` bytes, whichever is possible."""
    got = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while len(got) < total:
            ready = selector.select(PATIENCE)
            if not ready:
                raise WireError(f"slow reader: stuck after {sent} bytes sent and {len(got)} received")
            for _, events in ready:
                if events & selectors.EVENT_READ:
                    more = sock.recv(1 << 18)
                    if not more:
                        raise WireError(f"slow reader: closed after {len(got)} of {total} bytes")
                    got += more
                if events & selectors.EVENT_WRITE and sent < total:
                    sent += sock.send(stream[sent:sent + 65536])
            if sent == total:
                selector.modify(sock, selectors.EVENT_READ)
    return got


def check_gone(port):
    """Clients that leave without a word, in the middle of a packet, or with a reset while replies are under way."""
    for data in (b"", packet(ECHO, bytes(100))[:50], LONGEST[0] * 20):
        for reset in (False, True):
            with connect(port) as sock:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(data)


def check_order(port, most):
    """Others are served while these are there, and each gets its own answers."""
    socks = [connect(port) for _ in range(min(most, 20))]
    try:
        for turn in range(3):
            pairs = [pair("echo", 100 * turn + index) for index in range(len(socks))]
            for sock, (request, _) in zip(socks, pairs):
                sock.sendall(request[:5])
            for sock, (request, _) in reversed(list(zip(socks, pairs))):
                sock.sendall(request[5:])
            for sock, (_, reply) in zip(socks, pairs):
                receive(sock, reply, f"{len(socks)} clients at once")
    finally:
        for sock in socks:
            sock.close()


def check_wire(port, most, cpu_seconds):
    """All of it. most: connections that the server can serve at a time; cpu_seconds(): the CPU time that it has
    used."""
    check_split(port)
    check_merged(port)
    check_nonsense(port)
    check_slow_reader(port, cpu_seconds)
    check_gone(port)
    check_order(port, most)


def is_served(port):
    request, reply = pair("echo", 40)
    with connect(port) as sock:
        try:
            sock.sendall(request)
            receive(sock, reply, "a connection within the wall")
        except (WireError, OSError):
            return False
    return True


def check_wall(port, wall):
    """A server that can have no descriptor from `wall` on refuses politely: those beyond are closed at once, the
    others go on, and when they leave there is room again."""
    socks = []
    request, reply = pair("login", 1)
    served = 0
    try:
        for index in range(wall + 20):
            socks.append(connect(port))
            try:
                socks[-1].sendall(request)
                receive(socks[-1], reply, f"connection {index + 1}")
                served += 1
            except (WireError, OSError):
                if index < wall - 64:
                    raise
        if served >= wall:
            raise WireError(f"{served} connections served, beyond the wall of {wall}")
        socks[0].sendall(request)
        receive(socks[0], reply, "a connection within the wall")
    finally:
        for sock in socks:
            sock.close()
    deadline = time.monotonic() + PATIENCE
    while not is_served(port):
        if time.monotonic() > deadline:
            raise WireError("no room though all have left")
        time.sleep(0.01)
