"""The pictures of docs/operations.md: a server that has something to do for a minute and a half, and a function that
does not return. `make pictures` calls it by way of test_page.py -p DIR."""

import math
import os
import random
import struct
import time

import browser
from app import App

SECONDS = 90


def work(clients, second):
    """What they ask for in this second: more and less, like a day."""
    until = time.monotonic() + 1
    for i in range(int(250 + 150 * math.sin(second / 14) + random.random() * 60)):
        c = random.choice(clients)
        c.ask("TEST_ECHO", b"x" * random.randrange(20, 400))
        if i % 120 == 0:
            c.ask("TEST_SLEEP", struct.pack("<I", random.randrange(2, 16)))
    time.sleep(max(0, until - time.monotonic()))


def take(folder):
    random.seed(7)
    app = App("watch.warn_ms=200", "watch.replace_ms=0", "server.workernum=4")
    b = browser.Browser()
    try:
        stuck, saviour = app.client(2), app.client(1)
        clients = [app.client() for _ in range(120)]
        clients = [c for c in clients if c.worker() != 2]
        for second in range(SECONDS):
            if second % 3 == 0:
                clients.append(app.client(random.choice((0, 1, 3))))
                if second % 2 == 0:
                    clients.pop(0).close()
            work(clients, second)
        stuck.send("TEST_STICK", b"\0\0\0\0")
        b.size(1160, 860)
        b.open(app.url)
        b.wait("document.querySelector('#workers-rows tr.stuck .where')?.innerText.includes('do_stick')")
        for table in ("top", "slow"):
            b.wait(f"document.querySelectorAll('#{table}-rows tr').length > 3")
        work(clients, SECONDS)
        b.picture(os.path.join(folder, "page.png"))
        b.size(390, 844, dark=True)
        work(clients, SECONDS)
        b.picture(os.path.join(folder, "page-narrow.png"))
        b.size(960, 740, dark=True)
        b.click("#top-rows button")
        b.wait("document.querySelectorAll('#conn-list dt').length > 5")
        b.click("#conn-kick")
        b.eval("document.activeElement.blur()")
        b.picture(os.path.join(folder, "page-kick.png"))
        saviour.ask("TEST_UNSTICK")
    finally:
        b.close()
        app.stop()
    return 0
