"""What push.py shows and writes: tables, as text and as Markdown, and plots. All of it comes from the document that
push.json holds."""
import os
import subprocess

from model_report import caption, human, markdown, quoted, script_of

# What MarioTCP is to reach. A ratio is to the yardstick, which sends one message, in the same round.
LIMITS = {"1": 1.15, "16": 0.085, "uring": 0.75, "member": 24, "waiting": 10, "kernel": 65536, "beside": 1.3,
          "unused": 1.01}
OURS = ("group", "all", "group_uring", "maritcp")


def spread(part, digits=3):
    return f"{part['median']:.{digits}f} [{part['q1']:.{digits}f} {part['q3']:.{digits}f}]"


def verdict(value, limit):
    return "-" if limit is None or value is None else f"{limit:g} {'ok' if value <= limit else 'OVER'}"


def limit_of(name, messages):
    """None: not judged."""
    if name not in OURS:
        return None
    return LIMITS["uring"] if name == "group_uring" and messages == "1" else LIMITS[messages]


def fan_rows(document, messages):
    counts = sorted({int(count) for found in document["fanout"].values() for count in found})
    rows = [["server", *(word for count in counts for word in (f"{count:,}", "us", "bare us")), "at most"]]
    for name, found in document["fanout"].items():
        cells, worst = [], 0
        for count in counts:
            one = found.get(str(count), {}).get(messages)
            cells += ["-"] * 3 if one is None else [spread(one["ratio"]), human(one["us"]), human(one["bare_us"])]
            worst = worst if one is None else max(worst, one["ratio"]["median"])
        rows.append([name, *cells, verdict(worst, limit_of(name, messages))])
    return rows


def member_rows(document):
    rows = [["server", "all in the same 100", "at most", "each in 100 of 1,000"]]
    for name, one in document["member"].items():
        rows.append([name, human(one["same"]), verdict(one["same"], LIMITS["member"] if name in OURS else None),
                     human(one["spread"])])
    return rows


def slow_rows(document):
    rows = [["server", "readers", "messages", "to send B", "takes B", "at most", "at the client B", "takes B",
             "a waiting message B", "at most"]]
    for name, one in document["slow"].items():
        each = one["grown"] / one["waiting"] if one.get("waiting") else None
        ours = name.startswith("queue")
        rows.append([name, f"{one['readers']:,}", f"{one['messages']:,}", human(one["to_send"]),
                     human(one["send_memory"]), verdict(one["send_memory"], LIMITS["kernel"] if ours else None),
                     human(one["to_read"]), human(one["read_memory"]), "-" if each is None else human(each),
                     verdict(each, LIMITS["waiting"] if name == "queue_4096" else None)])
    return rows


def beside_rows(document):
    words = {"clock": "50 that ask 10,000 times a second by the clock", "busy": "1,000 that ask as fast as they can"}
    judged = ("busy", "p99")
    rows = [["echo clients", "", "without, us", "with, us", "ratio", "at most"]]
    for which, found in document["beside"].items():
        for key in ("p50", "p99", "p999"):
            one = found[key]
            rows.append([words[which], key, human(one["without"]), human(one["with"]), spread(one["ratio"]),
                         verdict(one["ratio"]["median"], LIMITS["beside"] if (which, key) == judged else None)])
    return rows


def unused_rows(document):
    rows = [["", "before, us", "now, us", "ratio", "at most"]]
    for one in document["unused"].values():
        rows.append([one["what"], human(one["before"]), human(one["now"]), spread(one["ratio"]),
                     verdict(one["ratio"]["median"], LIMITS["unused"])])
    return rows


def tables(document):
    """[(heading, rows)] of what was measured."""
    whole = [
        ("fanout", "One message to all: server CPU a delivery, ratio to the bare loop", fan_rows(document, "1")),
        ("fanout", "16 messages that came together, each: ratio to the bare loop that sends one",
         fan_rows(document, "16")),
        ("member", f"Bytes a membership: {document['groups']} groups on each of {document['members']:,} connections",
         member_rows(document)),
        ("slow", "Stopped readers, bytes for each", slow_rows(document)),
        ("beside", "Echo clients beside a message to 10,000 others each 100 ms", beside_rows(document)),
        ("unused", "Who pushes nothing: server CPU a request, before push and now", unused_rows(document)),
    ]
    return [(heading, rows) for part, heading, rows in whole if document[part]]


def print_tables(document):
    for line in caption(document):
        print(line)
    for heading, rows in tables(document):
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(f"\n{heading}")
        for row in rows:
            cells = (text.rjust(width) for text, width in zip(row[1:], widths[1:]))
            print("  ".join([row[0].ljust(widths[0]), *cells]))
    for name, error in document["failed"].items():
        print(f"\n{name} was not measured: {error}")


def write_page(document, out):
    """push.md. Raises OSError."""
    lines = ["# Push, side by side", "",
             "Made by `make bench-push`. What is compared, how: [bench](../../bench/README.md#push).", "",
             *(f"> {line}" for line in caption(document)), ""]
    for heading, rows in tables(document):
        lines += [f"## {heading}", "", *markdown(rows), ""]
    lines += ["A ratio stands with its quartiles. Microseconds are for orientation: they belong to that machine and "
              "that hour.", "", "## Who is who", "", "| server | what it is |", "|---|---|"]
    lines += [f"| {name} | {title} |" for name, title in document["titles"].items()]
    lines += ["", *(f"![{title}]({name}.svg)\n" for name, title, *_ in plots(document))]
    with open(os.path.join(out, "push.md"), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines).rstrip() + "\n")


def fan_series(document, names, messages):
    """[(label, [(row, ratio)])]: one series for each number of connections, rows from the top."""
    counts = sorted({int(count) for found in document["fanout"].values() for count in found})
    series = []
    for count in counts:
        parts = [(len(names) - at, document["fanout"][name].get(str(count), {}).get(messages))
                 for at, name in enumerate(names)]
        series.append((f"{count:,} connections", [(row, one["ratio"]["median"]) for row, one in parts if one]))
    return [one for one in series if one[1]]


def plots(document):
    """[(file name, title, label of the axis, log scale, series)]; those without a mark are left out."""
    names = list(document["fanout"])
    member = [(len(document["member"]) - at, one["same"]) for at, one in enumerate(document["member"].values())]
    whole = [
        ("push-one", "One message to all: server CPU a delivery", "ratio to a bare loop of send()", names, False,
         fan_series(document, names, "1")),
        ("push-sixteen", "16 messages that came together: server CPU of each delivery",
         "ratio to a bare loop that sends one", names, True, fan_series(document, names, "16")),
        ("push-member", "Memory of a membership", "bytes", list(document["member"]), False,
         [("all in the same 100", [mark for mark in member if mark[1] > 0])]),
    ]
    return [plot for plot in whole if plot[-1] and plot[-1][0][1]]


def write_plots(document, out):
    """An SVG for each plot, by gnuplot. Raises OSError or CalledProcessError."""
    for name, title, axis, names, log, series in plots(document):
        path = os.path.join(out, f"{name}.svg")
        shown = {**document, "models": dict.fromkeys(names)}
        terminal = "svg size 860,560 background 'white' font 'sans-serif,13'"
        text = (f"set terminal {terminal}\nset output {quoted(path)}\n"
                + script_of(shown, title, axis, "%g", log, series))
        subprocess.run(["gnuplot", "-"], input=text, text=True, check=True)


def publish(document, out):
    """Tables to the terminal, page and plots to a directory. Raises OSError, CalledProcessError."""
    print_tables(document)
    write_page(document, out)
    write_plots(document, out)
