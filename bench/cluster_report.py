"""What cluster.py shows and writes: tables, as text and as Markdown, from the document that cluster.json holds."""
import os

from model_report import human, markdown

# What is to be reached.
LIMITS = {"push": 2.5, "storm": 0, "p50": 300, "p99": 2000, "ours": 64, "again": 5, "killed": 0, "idle": 1.01}
LOAD = 0.5  # a machine that was busier before has given rough figures


def spread(part, digits=3):
    return f"{part['median']:.{digits}f} [{part['q1']:.{digits}f} {part['q3']:.{digits}f}]"


def verdict(value, limit):
    return "-" if limit is None else f"{limit:g} {'ok' if value <= limit else 'OVER'}"


def caption(document):
    engines = ", ".join(f"{name} {version}" for name, version in document["engines"].items())
    lines = [f"{document['command']}   ({document['date']})",
             f"{document['cpu']}, {document['cores']} cores, Linux {document['kernel']}; {engines}; "
             f"{document['rounds']} rounds; packets of {document['length']} bytes"]
    if document["load"] > LOAD:
        lines.append(f"Rough figures: the machine's load was {document['load']:.1f} before it began.")
    return lines


def push_rows(document):
    rows = [["engine", "messages", "alone, us", "cross-node, us", "of it who delivers, us", "ratio", "at most",
             "engine, us", "to one's own users in a cluster"]]
    for engine, found in document["push"].items():
        for mode, one in found.items():
            burst, rate = document["modes"][mode]
            rows.append([engine, f"{burst} at a time, {rate:,}/s", human(one["local"]), human(one["cross"]),
                         human(one["far"]), spread(one["ratio"]), verdict(one["ratio"]["median"], LIMITS["push"]),
                         human(one["engine"]), spread(one["here_ratio"])])
    return rows


def storm_rows(document):
    rows = [["engine", "of redis-benchmark's", "wanted/s", "reached/s", "sent", "lost", "at most", "twice", "dropped",
             "refused", "nodes, us", "engine, us"]]
    for engine, found in document["storm"].items():
        for step in found["steps"]:
            lost = step["sent"] - step["received"]
            limit = LIMITS["storm"] if step["share"] == 0.5 else None
            rows.append([engine, f"{step['share']:g} x {found['bare']:,.0f}", human(step["rate"]),
                         human(step["reached"]), f"{step['sent']:,}", f"{lost:,}", verdict(lost, limit),
                         f"{step['twice']:,}", f"{step['counters']['cluster_dropped']:,}", f"{step['refused']:,}",
                         human(step["node_us"]), human(step["engine_us"])])
    return rows


def latency_rows(document):
    rows = [["engine", "", "on one node, us", "to another, us", "added, us", "at most"]]
    for engine, found in document["latency"].items():
        for key, one in found.items():
            rows.append([engine, key, human(one["local"]), human(one["cross"]), spread(one["added"], 0),
                         verdict(one["added"]["median"], LIMITS.get(key))])
    return rows


def memory_rows(document):
    rows = [["engine", "subscriptions", "ours B", "at most", "the engine's B", "the same without a cluster B"]]
    for engine, found in document["memory"].items():
        for name in ("groups", "users"):
            one = found[name]
            rows.append([engine, f"{one['count']:,} {name}", human(one["ours"]), verdict(one["ours"], LIMITS["ours"]),
                         human(one["engine"]), human(one["without"])])
    return rows


def again_rows(document):
    rows = [["engine", "subscriptions", "all there, s", "the node says so, s", "at most", "CPU of the node, s",
             "of the engine, s"]]
    for engine, found in document["memory"].items():
        one = found["again"]
        rows.append([engine, f"{one['count']:,}", human(one["subscribed"]), human(one["up"]),
                     verdict(one["up"], LIMITS["again"]), human(one["cpu"]), human(one["engine_cpu"])])
    return rows


def killed_rows(document):
    words = {"node": "a third node, beside messages between two", "engine": "the engine, beside messages within nodes",
             "afterwards": "nothing: between two nodes, afterwards"}
    rows = [["engine", "killed", "messages", "missing", "twice", "clients lost", "at most"]]
    for engine, found in document["killed"].items():
        for what, one in found.items():
            bad = one["closed"] + one["missing"] + one["twice"]
            rows.append([engine, words[what], f"{one['sent']:,}", f"{one['missing']:,}", f"{one['twice']:,}",
                         f"{one['closed']:,}", verdict(bad, LIMITS["killed"])])
    return rows


def idle_rows(document):
    rows = [["engine", "", "off, us", "on, us", "ratio", "at most", "others had"]]
    for engine, found in document["idle"].items():
        for one in found.values():
            rows.append([engine, one["what"], human(one["off"]), human(one["on"]), spread(one["ratio"]),
                         verdict(one["ratio"]["median"], LIMITS["idle"]), f"{one['foreign']:.0%}"])
    return rows


def tables(document):
    """[(heading, rows)] of what was measured."""
    whole = [
        ("push", "A message to one user: CPU of all nodes concerned, against a server that is alone", push_rows),
        ("storm", "Three nodes through one engine", storm_rows),
        ("latency", "From sending to the client, 10,000 a second, one at a time", latency_rows),
        ("memory", "Bytes a subscription", memory_rows),
        ("memory", "The engine was killed: all subscribed again", again_rows),
        ("killed", "Something is killed: what the others' clients notice", killed_rows),
        ("idle", "maritcp's CPU a request, in a cluster in which nothing happens, against in none", idle_rows),
    ]
    return [(heading, rows(document)) for part, heading, rows in whole if document[part]]


def print_tables(document):
    for line in caption(document):
        print(line)
    for heading, rows in tables(document):
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(f"\n{heading}")
        for row in rows:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for name, error in document["failed"].items():
        print(f"\n{name} was not measured: {error}")


def write_page(document, out):
    """cluster.md. Raises OSError."""
    lines = ["# Several servers as one: what it costs", "",
             "Made by `make bench-cluster`. What is compared, how: [bench](../../bench/README.md#cluster).", "",
             *(f"> {line}" for line in caption(document)), ""]
    for heading, rows in tables(document):
        lines += [f"## {heading}", "", *markdown(rows), ""]
    lines += ["A ratio stands with its quartiles. Microseconds are for orientation: they belong to that machine and "
              "that hour."]
    with open(os.path.join(out, "cluster.md"), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines).rstrip() + "\n")


def publish(document, out):
    """Tables to the terminal, the page to a directory. Raises OSError."""
    print_tables(document)
    write_page(document, out)
