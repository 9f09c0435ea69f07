"""Is a server of one room right, in which everybody hears what the others say? Exact guests, and rude ones.

Every check talks to a server that runs on 127.0.0.1:port and raises WireError, one clear line, on the first thing that
is not right.
"""
import random
import socket
import struct
import time

from wire_check import PACKET_MAX, STX, WireError, connect, expect_closed, packet, receive

LOGIN, JOIN, SAY, SAID = 0x6101, 0x6106, 0x6108, 0x6109
GROUP = 1
CHUNK, CHUNKS = 60, 200  # of 1,000 bytes each: beyond all that a kernel holds for one who does not read


def say(text):
    return packet(SAY, struct.pack("<Q", GROUP) + text)


def said(text):
    return packet(SAID, struct.pack("<QH", GROUP, 0) + text)


def texts(number, seed):
    """Texts of many lengths, each says which it is."""
    chance = random.Random(seed)
    return [struct.pack("<II", seed, index) + chance.randbytes(chance.choice((0, 1, 80, 900, PACKET_MAX - 24)))
            for index in range(number)]


def guest(port, piece=None):
    """One who has logged in and joined; piece: so many bytes at a time."""
    sock = connect(port)
    stream = packet(LOGIN, struct.pack("<H", 0)) + packet(JOIN, struct.pack("<Q", GROUP))
    for at in range(0, len(stream), piece or len(stream)):
        sock.sendall(stream[at:at + (piece or len(stream))])
    receive(sock, packet(LOGIN) + packet(JOIN), "LOGIN and JOIN")
    return sock


def nothing_else(sock, what):
    """What comes next is the answer to a LOGIN, so nothing stood before it."""
    sock.sendall(packet(LOGIN, struct.pack("<H", 0)))
    receive(sock, packet(LOGIN), f"{what}: nothing more but an answer")


def cut(sock, stream, seed):
    chance = random.Random(seed)
    at = 0
    while at < len(stream):
        size = chance.choice((1, 7, 8, 9, 500, 9000))
        sock.sendall(stream[at:at + size])
        at += size


def check_room(port):
    """What one says in pieces the others hear whole and in order, and he does not."""
    with guest(port, 1) as speaker, guest(port, 3) as left, guest(port) as right:
        spoken = texts(60, 1)
        cut(speaker, b"".join(map(say, spoken)), 2)
        for sock in (left, right):
            receive(sock, b"".join(map(said, spoken)), "what another said")
            nothing_else(sock, "who listens")
        nothing_else(speaker, "who spoke")


def check_two(port):
    """Two speak at a time: a third hears all of both, each in order."""
    with guest(port) as one, guest(port) as two, guest(port) as third:
        spoken = {3: texts(80, 3), 4: texts(80, 4)}
        for first, second in zip(*spoken.values()):
            one.sendall(say(first))
            two.sendall(say(second))
        left = {seed: list(map(said, parts)) for seed, parts in spoken.items()}
        while any(left.values()):
            head = third.recv(8 + 10 + 8, socket.MSG_WAITALL)
            seed = struct.unpack_from("<I", head, 18)[0] if len(head) == 26 else None
            if not left.get(seed) or not left[seed][0].startswith(head):
                raise WireError("two speak: a third heard something out of order")
            receive(third, left[seed].pop(0)[26:], "two speak")


def check_rude(port):
    """Nonsense and a sudden end cost only the one who did it."""
    with guest(port) as speaker, guest(port) as listener:
        for bad in (packet(0x7777), packet(SAY, b"short"), packet(SAY, stx=STX ^ 1),
                    packet(SAY, pkglen=PACKET_MAX + 1)):
            with guest(port) as rude:
                rude.sendall(bad)
                expect_closed(rude, "nonsense")
        for _ in range(5):
            with guest(port) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                rude.sendall(say(b"half")[:15])
        speaker.sendall(say(b"still here"))
        receive(listener, said(b"still here"), "after rude guests")


def check_slow(port):
    """One who does not read is thrown out; before that he has whole packets in order, and the others everything."""
    with guest(port) as speaker, guest(port) as listener, guest(port) as slow:
        total = b""
        for number in range(CHUNKS):
            spoken = [struct.pack("<I", number * CHUNK + index) + bytes(996) for index in range(CHUNK)]
            speaker.sendall(b"".join(map(say, spoken)))
            part = b"".join(map(said, spoken))
            receive(listener, part, "beside one who does not read")
            total += part
        got = bytearray()
        deadline = time.monotonic() + 20
        try:
            while more := slow.recv(1 << 18):
                got += more
                if time.monotonic() > deadline or len(got) >= len(total):
                    raise WireError("who does not read is not thrown out")
        except ConnectionResetError:
            pass
        if not total.startswith(got):
            raise WireError("who does not read got something else than what was said")


def check_chat(port):
    """All of it."""
    check_room(port)
    check_two(port)
    check_rude(port)
    check_slow(port)
