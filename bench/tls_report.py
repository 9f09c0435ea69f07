"""What tls.py shows and writes: tables, as text and as Markdown, and plots. All of it comes from the document that
tls.json holds."""
import os
import statistics
import subprocess

import tls_adds
from model_report import caption, human, markdown, quoted, script_of

# What MarioTCP is to reach; see the tables.
LIMITS = {"slim bytes": 600, "openssl bytes": 15000, "handshake": 1.15}
PLAIN = {"openssl": "plain", "slim": "plain", "nginx": "nginx-plain", "haproxy": "haproxy-plain",
         "nginx+maritcp": "plain", "haproxy+maritcp": "plain", "bare": "bare-plain"}  # what each is without TLS


def value(document, part, name, key="us"):
    return document[part].get(name, {}).get(key, {}).get("median")


def verdict(what, limit):
    if limit is None or what is None:
        return "-"
    if what <= 0:
        return "noise: run again"  # nothing of this is free
    return f"{human(limit)} {'ok' if what <= limit else 'OVER'}"


def text(number):
    return "-" if number is None else human(number)


def alone(document, key):
    runs = [one[key] for one in document["alone"]]
    return statistics.median(runs) if runs else None


def less(one, other):
    return None if one is None or other is None else one - other


def memory_rows(document):
    rows = [["server", "held", "bytes a connection", "at most", "MB once"]]
    for name in document["memory"]:
        grown = value(document, "memory", name, "bytes")
        once = value(document, "memory", name, "once") / 1e6
        rows.append([name, text(value(document, "memory", name, "held")), text(grown),
                     verdict(grown, LIMITS.get(f"{name} bytes")), f"{once:.1f}"])
    return rows


def request_rows(document):
    rows = [["server", "us a request", "without TLS", "TLS adds"]]
    for name in document["request"]:
        us = value(document, "request", name)
        without = value(document, "request", PLAIN.get(name, ""))
        rows.append([name, text(us), text(without), text(less(us, without))])
    return rows


def shake_limit(document, key):
    """What a connection may cost: OpenSSL alone, with what is allowed above it, and a connection without TLS."""
    base, connect = alone(document, key), value(document, "handshake", "plain")
    return None if base is None or connect is None else LIMITS["handshake"] * base + connect


def ratio(one, other):
    return one / other if one is not None and other else None


def handshake_rows(document):
    rows = [["server", "us a connection", "at most", "without TLS", "TLS adds", "to bare", "a second and core",
             "resumed, us", "at most"]]
    for name in document["handshake"]:
        us, resumed = value(document, "handshake", name), value(document, "handshake", name, "resumed")
        without = value(document, "handshake", PLAIN.get(name, ""))
        limits = [shake_limit(document, key) if name in ("openssl", "slim") else None for key in ("us", "resumed")]
        rows.append([name, text(us), verdict(us, limits[0]), text(without), text(less(us, without)),
                     text(ratio(us, value(document, "handshake", "bare")) if name in PLAIN else None),
                     text(1e6 / us if us else None), text(resumed), verdict(resumed, limits[1])])
    base = alone(document, "us")
    if base:
        rows.append(["OpenSSL alone", text(base), "-", "-", "-", "-", text(1e6 / base),
                     text(alone(document, "resumed")), "-"])
    return rows


def handshake_heading(document):
    heading = "Server CPU of a connection that comes, asks once and goes; P-256, TLS 1.3"
    limit = shake_limit(document, "us")
    if limit is None:
        return heading
    return (f"{heading}. At most: {LIMITS['handshake']} x OpenSSL alone ({text(alone(document, 'us'))}) + a connection "
            f"without TLS ({text(value(document, 'handshake', 'plain'))}) = {text(limit)} us")


def tables(document):
    """[(heading, rows)] of what was measured."""
    whole = [
        ("memory", "Memory of each further idle connection that has asked once; what the first ones bring besides",
         memory_rows(document)),
        ("request", "Server CPU of a request of 64 bytes, one at a time on each of 20 connections",
         request_rows(document)),
        ("adds", tls_adds.heading(document.get("adds")), tls_adds.rows(document.get("adds"))),
        ("handshake", handshake_heading(document), handshake_rows(document)),
    ]
    return [(heading, rows) for part, heading, rows in whole if document.get(part)]


def print_tables(document):
    for line in caption(document):
        print(line)
    for heading, rows in tables(document):
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(f"\n{heading}")
        for row in rows:
            cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
            print("  ".join([row[0].ljust(widths[0]), *cells]))
    for name, error in document["failed"].items():
        print(f"\n{name} was not measured: {error}")


def write_page(document, out):
    """tls.md. Raises OSError."""
    lines = ["# TLS, side by side", "",
             "Made by `make bench-tls`. What is compared, how: [bench](../../bench/README.md#tls).", "",
             *(f"> {line}" for line in [*caption(document), document["openssl"]]), ""]
    for heading, rows in tables(document):
        lines += [f"## {heading}", "", *markdown(rows), ""]
    lines += [f"Not measured: {name}: {error}.\n" for name, error in document["failed"].items()]
    lines += ["nginx and haproxy by themselves speak HTTP, so compare what TLS adds to each, not their requests with "
              "MarioTCP's. In front of maritcp they carry the same packets, and both processes count. Microseconds "
              "belong to that machine and that hour.", "", "## Who is who", "", "| server | what it is |", "|---|---|"]
    lines += [f"| {name} | {one['title']} |" for name, one in document["models"].items()]
    lines += ["", *(f"![{title}]({name}.svg)\n" for name, title, *_ in plots(document))]
    with open(os.path.join(out, "tls.md"), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines).rstrip() + "\n")


def series_of(document, part, key, names):
    """[(row, value)], rows from the top."""
    found = [(len(names) - at, value(document, part, name, key)) for at, name in enumerate(names)]
    return [(row, number) for row, number in found if number is not None and number > 0]


def plots(document):
    """[(file name, title, label of the axis, names, log scale, series)]; those without a mark are left out."""
    names = {part: list(document[part]) for part in ("memory", "request", "handshake")}
    whole = [
        ("tls-memory", "Memory of an idle connection", "bytes", names["memory"], True,
         [("process memory", series_of(document, "memory", "bytes", names["memory"]))]),
        ("tls-request", "Server CPU of a request of 64 bytes", "microseconds", names["request"], False,
         [("all processes", series_of(document, "request", "us", names["request"]))]),
        ("tls-handshake", "Server CPU of a connection: handshake, one request, end", "microseconds", names["handshake"],
         False, [("full handshake", series_of(document, "handshake", "us", names["handshake"])),
                 ("resumed", series_of(document, "handshake", "resumed", names["handshake"]))]),
    ]
    return [plot for plot in whole if plot[-1][0][1]]


def write_plots(document, out):
    """An SVG for each plot, by gnuplot. Raises OSError or CalledProcessError."""
    for name, title, axis, names, log, series in plots(document):
        path = os.path.join(out, f"{name}.svg")
        shown = {**document, "models": dict.fromkeys(names)}
        terminal = "svg size 860,560 background 'white' font 'sans-serif,13'"
        script = script_of(shown, title, axis, "%g", log, [one for one in series if one[1]])
        text_of_all = f"set terminal {terminal}\nset output {quoted(path)}\n{script}"
        subprocess.run(["gnuplot", "-"], input=text_of_all, text=True, check=True)


def publish(document, out):
    """Tables to the terminal, page and plots to a directory. Raises OSError, CalledProcessError."""
    print_tables(document)
    write_page(document, out)
    write_plots(document, out)
