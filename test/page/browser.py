"""A headless Chromium as a test needs it: pages, clicks, keys, sizes, pictures. It is driven by its own protocol over
two pipes, so nothing listens and nothing has to be fetched. One thread; every wait has a deadline."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40}


class BrowserError(Exception):
    pass


def find():
    """The program, or None."""
    return next((p for p in map(shutil.which, NAMES) if p), None)


class Browser:
    def __init__(self, seconds=20, more=()):
        """more: options of its command line."""
        self.seconds = seconds
        self.home = tempfile.mkdtemp(prefix="mario-page-")
        self.sent = 0
        self.buffer = b""
        self.events = []  # (method, params) of what the page said by itself
        to_read, self.write_fd = os.pipe()
        self.read_fd, to_write = os.pipe()

        def as_three_and_four():  # above both first: each may be where the other one is to go
            a, b = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_read, to_write))
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir=" + self.home, *more, "about:blank"],
            preexec_fn=as_three_and_four, close_fds=False, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # the group is this browser's own
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- The protocol: JSON, each ended by a NUL ----

    def receive(self, until):
        while b"\0" not in self.buffer:
            if not select.select([self.read_fd], [], [], max(0, until - time.monotonic()))[0]:
                raise BrowserError("no answer of the browser in time")
            got = os.read(self.read_fd, 1 << 20)
            if not got:
                raise BrowserError("the browser has ended")
            self.buffer += got
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data):]
        until = time.monotonic() + self.seconds
        while True:
            answer = self.receive(until)
            if answer.get("id") != self.sent:
                self.events.append((answer.get("method"), answer.get("params", {})))
            elif "error" in answer:
                raise BrowserError(f"{method}: {answer['error'].get('message')}")
            else:
                return answer["result"]

    # ---- What tests do ----

    def open(self, url):
        if self.call("Page.navigate", url=url).get("errorText"):
            raise BrowserError(f"{url} does not open")
        self.wait("document.readyState === 'complete'")

    def eval(self, script):
        r = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise BrowserError(f"{script}: {r['exceptionDetails'].get('exception', {}).get('description')}")
        return r["result"].get("value")

    def wait(self, script, seconds=None):
        """Until it is true; what it says then."""
        until = time.monotonic() + (seconds or self.seconds)
        while True:
            value = self.eval(f"(v => v instanceof Node || v)({script})")
            if value:
                return value
            if time.monotonic() > until:
                seen = self.eval("document.body.innerText") if os.environ.get("PAGE_SEEN") else ""
                raise BrowserError(f"not in time: {script}\n{seen}")
            time.sleep(0.05)

    def text(self, selector):
        return self.eval(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText")

    def click(self, selector):
        """As a person does: where the element is, by the mouse."""
        at = self.wait(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            if (!e || e.disabled) return null;
            e.scrollIntoView({{block: "center"}});
            const r = e.getBoundingClientRect();
            return r.width > 0 ? [r.left + r.width / 2, r.top + r.height / 2] : null; }})()""")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def point(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def key(self, name):
        code = {"key": name, "code": name if len(name) > 1 else "Space", "windowsVirtualKeyCode": KEYS[name]}
        text = {"Enter": "\r", " ": " "}.get(name)
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **down, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def size(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def complaints(self):
        """What the page has thrown, and what the browser has refused it."""
        return [p for m, p in self.events if m == "Runtime.exceptionThrown" or
                m == "Log.entryAdded" and p["entry"]["source"] in ("security", "violation", "javascript")]

    def asked(self):
        """The addresses that the page has asked for."""
        return [p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"]
