"""What bench.py shows and writes."""
import json
import platform
import statistics
import sys
import time

DISTURBED = 0.10  # a round in which others had more of a core than this is measured again


def progress(scenario, text):
    """Where it stands, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{scenario.name}: {text}", end="", file=sys.stderr, flush=True)


def progress_end():
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def complain(text):
    """One line on standard error."""
    progress_end()
    print(f"bench: {text}", file=sys.stderr, flush=True)


def number(value, unit):
    return f"{value:.0f} {unit}" if unit == "B" or value >= 1000 else f"{value:.3g} {unit}"


def verdict(result):
    if result["ok"] is None:
        return "not judged"
    text = "ok" if result["ok"] else "OVER"
    if result["ratio"] is not None and result["q1"] <= result["limit"] <= result["q3"]:
        text += ", but the limit lies within the brackets: take more --rounds"
    return text


def row_of(scenario, result, names):
    left, right = number(result["left"], scenario.unit), number(result["right"], scenario.unit)
    ratio, limit = "", "-"
    if result["ratio"] is not None:
        ratio = f"{result['ratio']:.3f} [{result['q1']:.3f} {result['q3']:.3f}]"
    if scenario.limit is not None:
        limit = number(scenario.limit, scenario.unit) if result["ratio"] is None else f"{scenario.limit:.2f}"
    notes = [verdict(result)]
    if "note" in result:
        notes.append(result["note"])
    if scenario.left == scenario.right and scenario.runner != "load":
        notes.append(f"both columns {names[scenario.left]}")
    return scenario.name, left, right, ratio, limit, "; ".join(notes)


def print_report(results, setup):
    progress_end()
    if not results:
        return
    names = {role: server[0] for role, server in setup.roles.items()}
    if names["base"] == names["subject"]:
        names = {"base": names["base"] + " A", "subject": names["subject"] + " B"}
    rows = [("scenario", names["base"], names["subject"], "ratio [from to]", "limit", "")]
    rows += [row_of(scenario, result, names) for scenario, result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [row[column].rjust(widths[column]) for column in range(1, 5)]
        print("  ".join(cells + [row[5]]).rstrip())
    shares = [pair["foreign"] for _, result in results for pair in result["rounds"]]
    if shares and statistics.median(shares) > DISTURBED:
        share = f"{statistics.median(shares):.0%}"
        print(f"Other programs had {share} of a core meanwhile: these figures are rough.")


MOVED = 0.05  # a figure that differs by more from the recorded one is pointed out


def figure(result):
    """What is compared from run to run: the ratio, or where there is none the subject's value."""
    return result["right"] if result["ratio"] is None else result["ratio"]


def print_moved(results, path):
    """Say which figures have moved since they were recorded in `path`, a file of one JSON object."""
    try:
        with open(path, encoding="utf-8") as stream:
            recorded = json.load(stream)
    except FileNotFoundError:
        return
    moved = []
    for scenario, result in results:
        before = recorded["figures"].get(scenario.name)
        now = figure(result)
        if before and abs(now / before - 1) > MOVED:
            moved.append(f"{scenario.name} {before:.3f} -> {now:.3f} ({now / before - 1:+.0%})")
    print(f"Against what was recorded on {recorded['date']}: "
          + ("; ".join(moved) if moved else "nothing moved by more than 5 %") + ".")


def record(results, path):
    """Write this run's figures to `path`, over what was recorded of the same scenarios before."""
    try:
        with open(path, encoding="utf-8") as stream:
            figures = json.load(stream)["figures"]
    except FileNotFoundError:
        figures = {}
    figures.update({scenario.name: round(figure(result), 4) for scenario, result in results})
    with open(path, "w", encoding="utf-8") as stream:
        json.dump({"date": time.strftime("%Y-%m-%d"), "machine": cpu_model(), "figures": figures}, stream, indent=2)
        stream.write("\n")


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def write_json(path, results, failures, setup):
    """Everything measured; raises OSError."""
    document = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(), "cpu": cpu_model(),
        "server_core": setup.server_core, "load_core": setup.load_core,
        "base": setup.roles["base"][0], "subject": setup.roles["subject"][0],
        "failures": failures,
        "scenarios": {
            scenario.name: {"what": scenario.what, "metric": scenario.metric, "unit": scenario.unit, **result}
            for scenario, result in results
        },
    }
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")
