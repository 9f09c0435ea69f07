"""The live page in a headless Chromium: a person looks, clicks and types. usage: test_page.py [-p DIR] [TEST...]

APPS as scripts/test sets it. -p DIR: write pictures for the documents there, and test nothing. Prints what check's tests
print; what cannot be looked at is noted where TEST_SKIPPED says; CK_RUN_CASE other than `page`: nothing is run. Exit 0,
or 1."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
from app import App, ROOT, TOKEN  # noqa: E402

WARN_MS = 200


class Failed(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failed(" ".join(map(str, what)))


def equal(a, b):
    check(a == b, repr(a), "is not", repr(b))


class Page:
    """A server, a browser, and its page of that server."""

    def __init__(self, b, app):
        self.b, self.app = b, app
        b.events.clear()
        b.size(1280, 900)
        b.open(app.url)
        b.eval("sessionStorage.clear(); localStorage.clear(); document.body.focus()")
        b.wait("document.querySelectorAll('#workers-rows tr').length > 0 && live.connections === 0")

    def number(self, selector):
        return f"Number((document.querySelector('{selector}') || {{innerText: 'x'}}).innerText.replaceAll(',', ''))"

    def row(self, table, name, column):
        """Script: the number in this column of the row that begins with the name."""
        return (f"(() => {{ const r = [...document.querySelectorAll('#{table}-rows tr')].find(r => "
                f"r.cells[0].innerText === '{name}'); "
                f"return r ? Number(r.cells[{column}].innerText.replaceAll(',', '')) : -1; }})()")

    def top_has(self, client):
        """Script: the selector of the button of this client's row."""
        port = client.s.getsockname()[1]
        return (f"(() => {{ const r = [...document.querySelectorAll('#top-rows tr')].find(r => r.innerText.includes("
                f"':{port}')); if (r) r.cells[0].firstChild.id = 'that-one'; return Boolean(r); }})()")

    def show(self, client):
        self.b.click("#top-ask")
        self.b.wait(self.top_has(client))

    def count(self, name):
        """Wait until the page's counter is at least 1; its value."""
        return self.b.wait(f"live.counters['{name}'] || 0")


# ---- Tests ----

def it_loads_alone_and_nothing_is_wrong(p):
    p.b.wait("history.rows.length > 1")
    equal([a for a in p.b.asked() if not a.startswith(p.app.url) and not a.startswith("data:")], [])
    equal(p.b.complaints(), [])
    equal(p.b.text("#state"), "serving")
    check(re.search(r"up \d", p.b.text("#facts")), p.b.text("#facts"))
    check("0 " in p.b.eval("document.title"), p.b.eval("document.title"))


def numbers_change(p):
    clients = [p.app.client() for _ in range(30)]
    p.b.wait(p.number(".connections-now") + " === 30")
    p.b.wait("[...document.querySelectorAll('#workers-rows tr')].reduce((n, r) => n + Number(r.cells[1].innerText), 0)"
             " === 30")
    check(p.b.eval("history.rows.some(r => r[history.series.indexOf('accepts')] > 0)"), "no accepts in the history")
    for c in clients[:12]:
        c.ask("TEST_ECHO", b"x" * 100)
        c.close()
    p.b.wait(p.row("reasons", "peer closed", 2) + " === 12")
    p.b.wait(p.row("reasons", "peer closed", 1) + " === 12")
    p.b.wait(p.number(".connections-now") + " === 18")
    p.b.eval("askFunctions()")
    p.b.wait("[...document.querySelectorAll('#functions-rows tr')].some(r => r.innerText.includes('0x6103'))")
    p.b.wait("live.counters.packets_in >= 12")
    p.b.wait("history.rows.some(r => r[history.series.indexOf('packets')] > 0)")
    p.b.eval("topAsked = 0")
    p.b.wait("document.querySelectorAll('#top-rows tr').length === 18")  # by itself: there are few
    check(p.b.eval("document.querySelector('.chart path:last-of-type').getAttribute('d').length") > 10, "no line")


def the_pointer_asks_for_a_moment(p):
    p.b.wait("history.rows.length >= 3")
    x, y = p.b.eval("(() => { const r = document.querySelector('.plot').getBoundingClientRect(); "
                    "return [r.right - r.width / 59 * 2, r.top + 20]; })()")
    p.b.point(x, y)
    p.b.wait(r"/^\d\d:\d\d:\d\d$/.test(document.querySelector('.chart .name span:last-child').innerText)")
    p.b.point(5, 5)
    p.b.wait("document.querySelector('.chart .name span:last-child').innerText === ''")


def a_stuck_worker_is_shown(p):
    stuck, other = p.app.client(0), p.app.client(1)
    stuck.send("TEST_STICK", b"\0\0\0\0")
    p.b.wait("document.querySelector('#workers-rows tr.stuck')")
    row = p.b.text("#workers-rows tr.stuck")
    check("▲ stuck in 0x7020" in row, row)
    check(row.split()[0] == "0", row)
    check(f":{stuck.s.getsockname()[1]}" in row, row)
    p.b.wait("/at .*do_stick/.test(document.querySelector('#workers-rows tr.stuck').innerText)")
    p.b.wait(r"/for [1-9]\.\d s/.test(document.querySelector('#workers-rows tr.stuck').innerText)")  # it goes on
    p.b.wait("document.querySelector('#workers-note').innerText === '▲ 1 stuck'")
    # what goes over all connections has its answer, too
    p.b.eval("void askTop()")
    p.b.wait("/worker 0: .*0x7020/.test(document.querySelector('#top-note').innerText)")
    other.ask("TEST_UNSTICK")
    p.b.wait("!document.querySelector('#workers-rows tr.stuck')")
    equal(p.b.text("#workers-note"), "")
    stuck.receive()


def a_kick_takes_the_token(p):
    one, other = p.app.client(), p.app.client()
    p.show(one)
    p.b.click("#that-one")
    p.b.wait("document.querySelector('#conn').open && document.querySelectorAll('#conn-list dt').length > 5")
    check(f":{one.s.getsockname()[1]}" in p.b.text("#conn-list"), p.b.text("#conn-list"))
    p.b.click("#conn-kick")
    p.b.click("#conn-no")
    check(not p.b.eval("document.querySelector('#token').open"), "it asks, though nothing is to be done")
    p.b.click("#conn-kick")
    p.b.click("#conn-yes")
    p.b.wait("document.querySelector('#token').open")
    p.b.click("#token-no")
    p.b.wait("document.querySelector('#conn-said').innerText === 'Not done: it needs the token.'")
    p.b.click("#conn-kick")
    p.b.click("#conn-yes")
    p.b.wait("document.querySelector('#token').open")
    p.b.type("a wrong one")
    p.b.key("Enter")
    p.b.wait("document.querySelector('#conn-said').innerText.startsWith('▲ Refused (401)')")
    equal(p.b.eval("sessionStorage.length"), 0)
    equal(one.ask("TEST_ECHO", b"alive"), b"alive")
    p.b.click("#conn-kick")
    p.b.click("#conn-yes")
    p.b.wait("document.querySelector('#token').open")
    p.b.type(TOKEN)
    p.b.key("Enter")
    p.b.wait("document.querySelector('#conn-said').innerText === 'Kicked.'")
    check(one.is_closed(10), "it is not closed")
    equal(other.ask("TEST_ECHO", b"alive"), b"alive")
    check(p.count("closed_kicked") > 0)
    equal(p.b.eval("localStorage.length + document.cookie.length"), 0)
    # it is known now, until it is forgotten
    p.b.click("#conn-close")
    p.show(other)
    p.b.click("#that-one")
    p.b.wait("!document.querySelector('#conn-kick').disabled")
    p.b.click("#conn-kick")
    p.b.click("#conn-yes")
    check(other.is_closed(10), "it is not closed")
    p.b.click("#conn-close")
    p.b.click("#forget")
    equal(p.b.eval("sessionStorage.length"), 0)


def tab_to(p, what, most=60):
    """Press Tab until this script is true of the focused element e; each one on the way is seen to be focused."""
    for _ in range(most):
        p.b.key("Tab")
        p.b.wait("document.activeElement")
        check(p.b.eval("document.activeElement === document.body || "
                       "getComputedStyle(document.activeElement).outlineStyle !== 'none'"),
              "no focus is seen on", p.b.eval("document.activeElement.outerHTML"))
        if p.b.eval(f"(e => {what})(document.activeElement)"):
            return
    raise Failed("no Tab leads to " + what)


def keys_alone_kick(p):
    one = p.app.client()
    p.b.wait(p.top_has(one))
    tab_to(p, "e.id === 'that-one'")
    p.b.key("Enter")
    p.b.wait("document.querySelector('#conn').open && !document.querySelector('#conn-kick').disabled")
    p.b.key("Escape")
    p.b.wait("!document.querySelector('#conn').open")
    equal(p.b.eval("document.activeElement.id"), "that-one")
    p.b.key("Enter")
    p.b.wait("document.querySelector('#conn').open && document.querySelectorAll('#conn-list dt').length > 5")
    p.b.eval("$('conn').close(); openConn($('that-one').innerText)")  # at once: that it has closed is said later
    p.b.wait("document.querySelectorAll('#conn-list dt').length > 5")
    tab_to(p, "e.id === 'conn-kick'", 6)
    p.b.key("Enter")
    p.b.wait("document.activeElement.id === 'conn-no'")  # Enter twice kicks nobody
    tab_to(p, "e.id === 'conn-yes'", 6)
    p.b.key("Enter")
    p.b.wait("document.querySelector('#token').open && document.activeElement.id === 'token-text'")
    p.b.key("Escape")
    p.b.wait("document.querySelector('#conn-said').innerText === 'Not done: it needs the token.'")
    tab_to(p, "e.id === 'conn-kick'", 6)
    p.b.key("Enter")
    tab_to(p, "e.id === 'conn-yes'", 6)
    p.b.key("Enter")
    p.b.wait("document.querySelector('#token').open && document.activeElement.id === 'token-text'")
    p.b.type(TOKEN)
    p.b.key("Enter")
    check(one.is_closed(10), "it is not closed")
    p.b.key("Escape")
    p.b.wait("!document.querySelector('#conn').open")


WIDE = """[...document.querySelectorAll('body *')].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width > 0 && (r.right > innerWidth + .5 || r.left < -.5) && !e.closest('.scroll') && !e.closest('svg');
}).map(e => e.tagName + '#' + e.id + '.' + e.className).join()"""


def it_fits_a_telephone(p):
    one = p.app.client(0)
    p.app.client(1).ask("TEST_ECHO", b"x")
    one.send("TEST_STICK", b"\0\0\0\0")
    p.b.size(390, 844)
    p.b.wait("document.querySelector('#workers-rows tr.stuck')")
    p.b.wait("document.querySelectorAll('#top-rows tr').length > 0")
    p.b.eval("askFunctions()")
    p.b.wait("document.querySelectorAll('#functions-rows tr').length > 0")
    equal(p.b.eval("document.documentElement.scrollWidth"), 390)
    equal(p.b.eval(WIDE), "")
    equal(p.b.eval("[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"), 0)
    p.b.click("#top-rows button")
    p.b.wait("document.querySelector('#conn').open")
    equal(p.b.eval("document.documentElement.scrollWidth"), 390)
    equal(p.b.eval(WIDE), "")
    p.b.eval("document.querySelector('#conn').close()")
    p.app.client(1).ask("TEST_UNSTICK")
    one.receive()
    p.b.size(320, 700)
    equal(p.b.eval("document.documentElement.scrollWidth"), 320)


CONTRAST = """(() => {
    const parts = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => parts(c).slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const ground = e => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (parts(c)[3] !== 0) return c;
        }
        return 'rgb(255, 255, 255)';
    };
    return [...document.querySelectorAll('main *, header *')].filter(e =>
        e.getBoundingClientRect().width > 0 && !e.disabled &&
        [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
        const a = light(getComputedStyle(e).color), b = light(ground(e));
        return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.outerHTML.slice(0, 80)];
    }).sort((a, b) => a[0] - b[0])[0];
})()"""


def it_is_read_in_light_and_dark(p):
    one = p.app.client(0)
    p.app.client(1)
    one.send("TEST_STICK", b"\0\0\0\0")
    p.b.wait("document.querySelector('#workers-rows tr.stuck')")
    grounds = []
    for dark in (False, True):
        p.b.size(1280, 900, dark)
        p.b.eval("document.getAnimations().forEach(a => a.finish())")
        worst, where = p.b.eval(CONTRAST)
        check(worst >= 4.5, f"contrast {worst:.2f}:", where)
        ground = p.b.eval("getComputedStyle(document.documentElement).backgroundColor")
        grounds.append(sum(map(int, re.findall(r"\d+", ground)[:3])))
    check(grounds[0] > 600 and grounds[1] < 120, grounds)
    p.app.client(1).ask("TEST_UNSTICK")
    one.receive()


def a_server_that_goes_and_comes_back(p):
    p.app.client()
    p.b.wait(p.number(".connections-now") + " === 1")
    before = p.b.eval("live.boot")
    p.b.wait("history.last > 5 && (before = history.last)")
    p.app.kill()
    p.b.wait("/^▲ No answer since \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('#away').innerText)", 10)
    check(p.b.eval("document.body.classList.contains('away')"))
    p.app.start()
    p.b.wait("document.querySelector('#away').hidden", 10)
    check(p.b.eval("live.boot") != before, "the same start")
    p.b.wait(p.number(".connections-now") + " === 0")
    check(p.b.eval("history.rows.length === history.last && history.last <= before"), "the old history is shown")


def a_drain_is_watched_and_stopped(p):
    for _ in range(4):
        p.app.client()
    p.b.wait("document.querySelector('#drain-state').innerText === 'off'")
    p.b.click("#drain-start")
    p.b.click("#drain-no")
    check(not p.b.eval("document.querySelector('#token').open"), "it asks, though nothing is to be done")
    p.b.click("#drain-start")
    p.b.click("#drain-yes")
    p.b.wait("document.querySelector('#token').open")
    p.b.type(TOKEN)
    p.b.key("Enter")
    p.b.wait("document.querySelector('#drain-said').innerText === 'Done: start.'")
    p.b.wait("document.querySelector('#drain-state').innerText === 'closing'")
    check("of 4 were told to leave" in p.b.text("#drain-text"), p.b.text("#drain-text"))
    p.b.wait("!document.querySelector('#drain-bar').hidden")
    p.b.wait("document.querySelector('#state').innerText === 'draining'")
    p.b.click("#drain-pause")
    p.b.wait("document.querySelector('#drain-state').innerText === 'paused'")
    equal(p.b.text("#drain-start"), "Go on")
    p.b.click("#drain-stop")
    p.b.wait("document.querySelector('#drain-state').innerText === 'off'")
    p.b.wait("document.querySelector('#state').innerText === 'serving'")


def foreign_text_stays_text(p):
    evil = "<img src=x onerror=\\\"document.title = \\'evil\\'\\\"><b>"
    p.b.eval(f"""showTop([{{id: '{evil}', peer: '{evil}', user: '{evil}', bytes: 1}}], 'bytes');
        showFunctions({{functions: [{{id: '{evil}', name: '{evil}', calls: 1}}]}});
        showSlow({{slow: [{{at: 1, function: '{evil}', peer: '{evil}', seconds: 1}}]}});
        list('conn-list', flat({{peer: '{evil}', groups: ['{evil}'], tcp: {{state: '{evil}'}}}}, ''));""")
    equal(p.b.eval("document.querySelectorAll('img, main b, dialog b').length"), 0)
    check("<img src=x" in p.b.text("#top-rows"), p.b.text("#top-rows"))
    with open(os.path.join(ROOT, "mario/admin/page.html"), encoding="utf-8") as f:
        found = re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?!www\.w3\.org)",
                           f.read())
    equal(found, [])


TESTS = [numbers_change, it_loads_alone_and_nothing_is_wrong, the_pointer_asks_for_a_moment, a_stuck_worker_is_shown,
         a_kick_takes_the_token, keys_alone_kick, it_fits_a_telephone, it_is_read_in_light_and_dark,
         a_server_that_goes_and_comes_back, a_drain_is_watched_and_stopped, foreign_text_stays_text]


def run(b, app, test):
    try:
        test(Page(b, app))
        equal(b.complaints(), [])
        return True
    except (Failed, browser.BrowserError, RuntimeError, OSError, EOFError) as e:
        say(test.__code__.co_firstlineno, test.__name__, str(e) or type(e).__name__)
        return False


def say(line, name, what):
    """As check does, so that scripts/again understands it."""
    print(f"test/page/test_page.py:{line}:F:page:{name}:0: {what}", flush=True)


def begin():
    return App(f"watch.warn_ms={WARN_MS}", "watch.replace_ms=0", "drain.delay=1")


def end(app):
    code, report = app.stop()
    if (code, report) != (0, None):
        say(end.__code__.co_firstlineno, "its_end", f"exit code {code}; {report}")
    return (code, report) == (0, None)


def run_all(tests):
    """One browser, and one server as long as all is well. How many failed."""
    failed, b, app = 0, browser.Browser(), begin()
    try:
        for t in tests:
            began = time.monotonic()
            good = run(b, app, t)
            app.leave()
            if not good:
                end(app)
                app = begin()
            failed += not good
            if os.environ.get("PAGE_TIMES"):
                print(f"  {t.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    finally:
        failed += not end(app)
        b.close()
    return failed


def skip(why):
    line = f"test/page/test_page.py: page: {why}\n"
    with open(os.environ.get("TEST_SKIPPED", "/dev/stderr"), "a", encoding="utf-8") as f:
        f.write(line)


def main(args):
    if os.environ.get("CK_RUN_CASE", "page") != "page":
        return 0
    if browser.find() is None:
        skip("no chromium here (apt-get install chromium)")
        return 0
    if args[:1] == ["-p"]:
        import pictures
        return pictures.take(args[1])
    tests = [t for t in TESTS if not args or t.__name__ in args]
    print("Running page tests", flush=True)
    checks = len(tests) + 1  # the server's end
    failed = run_all(tests)
    print(f"{100 * (checks - failed) // checks}%: Checks: {checks}, Failures: {failed}, Errors: 0")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
