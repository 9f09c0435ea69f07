"""What models.py shows and writes: tables, as text and as Markdown, and plots. All of it comes from the document
that models.json holds."""
import os
import subprocess

from report import DISTURBED

BASE = "epoll_lt"
COLOURS = ["#4477aa", "#66ccee", "#ee6677", "#aa3377", "#228833", "#ccbb44"]


def human(value, digits=3):
    """A number with about three digits, thousands set apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def cell(part, key, scale=1):
    """A table's cell: the number, "-" where nothing was measured, "failed"."""
    if not part:
        return "-"
    if "error" in part:
        return "failed"
    return human(part[key] * scale) if key in part else "-"


def caption(document):
    rounds = document["rounds"]
    lines = [f"{document['command']}   ({document['date']})",
             f"{document['cpu']}, {document['cores']} cores, Linux {document['kernel']}; server on one core, load on "
             f"another; {'one round' if rounds == 1 else f'median of {rounds} rounds'}"]
    if document["foreign"] > DISTURBED:
        lines.append(f"Rough figures: other programs had {document['foreign']:.0%} of a core meanwhile.")
    return lines


def counts_of(document):
    """All numbers of connections measured, smallest first."""
    return sorted({int(count) for one in document["models"].values() for count in one["points"]})


def reach(one):
    """How far a model goes, in words."""
    return f"{one['most']:,} ({one['why']})" if one["why"] else "the descriptor limit"


# --- tables -------------------------------------------------------------------------------------------------


def point_rows(document, key, scale=1):
    counts = [str(count) for count in counts_of(document)]
    rows = [["model", *(f"{int(count):,}" for count in counts)]]
    for name, one in document["models"].items():
        rows.append([name, *(cell(one["points"].get(count), key, scale) for count in counts)])
    return rows


def other_rows(document):
    rows = [["model", "connections/s", "us each", f"to {BASE}", "memory B", "kernel B", "held", "goes to"]]
    for name, one in document["models"].items():
        churn, memory = one["churn"], one["memory"]
        rows.append([name, cell(churn, "per_s"), cell(churn, "cpu_us"), cell(churn, "ratio"), cell(memory, "user"),
                     cell(memory, "kernel"), cell(memory, "connections"), reach(one)])
    return rows


def tables(document):
    """[(heading, rows)]"""
    return [
        ("Requests a second (LOGIN, each connection one at a time)", point_rows(document, "per_s")),
        ("Server CPU a request, microseconds", point_rows(document, "cpu_us")),
        (f"Server CPU a request, ratio to {BASE} in the same round", point_rows(document, "ratio")),
        ("p99 latency at that load, milliseconds", point_rows(document, "p99", 1e-3)),
        ("Connections that come, log in once and go; memory of one that is logged in and idle", other_rows(document)),
    ]


def print_tables(document):
    for line in caption(document):
        print(line)
    for heading, rows in tables(document):
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(f"\n{heading}")
        for row in rows:
            first, last = row[0].ljust(widths[0]), row[1:]
            print("  ".join([first, *(text.rjust(width) for text, width in zip(last, widths[1:]))]))
    for name, error in document.get("failed_check", {}).items():
        print(f"\n{name} was not measured, it failed its check: {error}")


def markdown(rows):
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" + "|---:" * (len(rows[0]) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows[1:]]


def write_table(document, out):
    """models.md: the tables, and a sentence each when a model is the right one. Raises OSError."""
    lines = ["# Server models, side by side", "",
             "Made by `make bench-models`. What is compared, how: [bench/models](../../bench/models/README.md).", "",
             *(f"> {line}" for line in caption(document)), ""]
    for heading, rows in tables(document):
        lines += [f"## {heading}", "", *markdown(rows), ""]
    lines += ["Memory is the growth of resident memory, children and threads included, a page that processes share "
              "counted once; kernel is page tables and kernel stacks. Sockets, the same for all, are in neither.", "",
              "## When each is the right one", "", "| model | what it is | right when |", "|---|---|---|"]
    lines += [f"| {name} | {one['title']} | {one['when']} |" for name, one in document["models"].items()]
    lines += ["", *(f"![{title}]({name}.svg)\n" for name, title, *_ in plots(document))]
    with open(os.path.join(out, "models.md"), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines).rstrip() + "\n")


# --- plots --------------------------------------------------------------------------------------------------


def point_series(document, key, scale=1):
    """[(label, [(row, value)])]: one series for each number of connections, rows from the top."""
    series = []
    names = list(document["models"])
    for count in counts_of(document):
        parts = [(len(names) - at, document["models"][name]["points"].get(str(count))) for at, name in enumerate(names)]
        marks = [(row, part[key] * scale) for row, part in parts if part and part.get(key)]
        series.append((f"{count:,}", marks))
    return [one for one in series if one[1]]


def part_series(document, part, keys):
    """The same from churn or memory: keys are (key, label). Less than 1 of anything is left out: it is noise."""
    names = list(document["models"])
    series = []
    for key, label in keys:
        parts = [(len(names) - at, document["models"][name][part]) for at, name in enumerate(names)]
        series.append((label, [(row, found[key]) for row, found in parts if found and found.get(key, 0) >= 1]))
    return [one for one in series if one[1]]


def plots(document):
    """[(file name, title, label of the axis, format of its numbers, log scale, series)]; those without a mark are
    left out."""
    whole = [
        ("models-throughput", "Requests a second on one core, by number of connections", "requests a second", "%.0s%c",
         False, point_series(document, "per_s")),
        ("models-cpu", "Server CPU for each request, by number of connections", "microseconds", "%g", False,
         point_series(document, "cpu_us")),
        ("models-p99", "p99 latency when all ask as fast as they can, by number of connections", "milliseconds", "%g",
         True, point_series(document, "p99", 1e-3)),
        ("models-memory", "Memory for each idle connection, without its socket", "bytes", "%.0s%c", True,
         part_series(document, "memory", [("user", "user space"), ("kernel", "page tables and kernel stacks")])),
        ("models-churn", "Connections a second: connect, log in, close", "connections a second", "%.0s%c", False,
         part_series(document, "churn", [("per_s", "50 at a time")])),
    ]
    return [plot for plot in whole if plot[-1]]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def script_of(document, title, axis, numbers, log, series):
    """A gnuplot script: a row for each model, a mark for each value. Its data is in it."""
    names = list(document["models"])
    tics = ", ".join(f"{quoted(name)} {len(names) - at}" for at, name in enumerate(names))
    lines = [f"set title {quoted(title)} noenhanced offset 0,1.5", f"set ytics ({tics}) noenhanced",
             "set grid xtics ytics lt 1 lw 1 lc rgb '#cccccc'", "set tics scale 0.001", "set border 1",
             f"set yrange [0.4:{len(names) + 0.6}]",
             "set key at graph 0.5, 1.06 center horizontal noenhanced maxrows 1",
             f"set xlabel {quoted(axis)}", f"set format x {quoted(numbers)}",
             "set lmargin 13", "set rmargin 5", "set tmargin 5.5", "set bmargin 7.5"]
    lines += [f"set label {number + 1} {quoted(line)} noenhanced at screen 0.02, screen {0.086 - 0.033 * number:.3f} "
              "font ',9' tc rgb '#666666'" for number, line in enumerate(caption(document))]
    lines += ["set logscale x 10" if log else "set xrange [0:*]"]
    for number, (_, marks) in enumerate(series):
        lines += [f"$data{number} << END", *(f"{value:.6g} {row}" for row, value in marks), "END"]
    drawn = [f"$data{number} using 1:2 with points pt 7 ps 1.3 lc rgb '{COLOURS[number % len(COLOURS)]}' "
             f"title {quoted(label)}" for number, (label, _) in enumerate(series)]
    return "\n".join(lines) + "\nplot " + ", \\\n    ".join(drawn) + "\n"


def write_plots(document, out):
    """An SVG for each plot, by gnuplot. Raises OSError or CalledProcessError."""
    terminal = "svg size 860,560 background 'white' font 'sans-serif,13'"
    os.makedirs(out, exist_ok=True)
    for name, *rest in plots(document):
        path = os.path.join(out, f"{name}.svg")
        text = f"set terminal {terminal}\nset output {quoted(path)}\n{script_of(document, *rest)}"
        subprocess.run(["gnuplot", "-"], input=text, text=True, check=True)
