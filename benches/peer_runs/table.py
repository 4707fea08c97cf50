"""The results as Markdown: one table of rates, one of start and memory, and what they rest on.

A pure function of the JSON document. No figure is made here.
"""
NOT_AVAILABLE = "n/a"
MIB = 1 << 20


def number(value, form):
    return NOT_AVAILABLE if value is None else format(value, form)


def line(cells):
    return f"| {' | '.join(cells)} |"


def head(columns, left):
    return [line(columns), "|" + "|".join(":---" if i < left else "---:" for i in range(len(columns))) + "|"]


def rate_rows(document):
    engines = document["engines"]
    columns = ["file", "cell", *(f"{name} (tokens/s)" for name in engines), "limit (tokens/s)", "ratio [rounds]",
               "bar", "ctxbench of limit", "best peer of limit", "verdict"]
    out = head(columns, 2)
    for entry in document["cells"]:
        row = entry.get("row")
        if entry["kind"] == "start" or row is None:
            continue
        spread = row["ratio_by_round"]
        ratio = NOT_AVAILABLE if row["ratio"] is None else \
            f"{row['ratio']:.2f} [{min(spread):.2f}-{max(spread):.2f}]"
        peer = row["of_floor"].get(row["best_peer"]) if row["best_peer"] else None
        out.append(line([f"{entry['model']} {entry['type']}", f"{entry['kind']} {entry['tokens']}",
                         *(number(row["medians"].get(name), ".1f") for name in engines),
                         number(row["ceiling"], ".0f"), ratio, f"≥ {row['bar']}",
                         number(row["of_floor"].get("ctxbench"), ".0%"), number(peer, ".0%"), row["verdict"]]))
    return out


def start_rows(document):
    engines = document["engines"]
    out = head(["file", "figure", *engines, "bar", "verdict"], 2)
    for entry in document["cells"]:
        if entry["kind"] != "start" or entry.get("row") is None:
            continue
        wall, memory = entry["row"]["wall_s"], entry["row"]["max_rss_bytes"]
        name = f"{entry['model']} {entry['type']}"
        out.append(line([name, f"start to first token of {entry['tokens']} (s)",
                         *(number(wall["medians"].get(x), ".2f") for x in engines), "≤ llama.cpp + 0.5",
                         wall["verdict"]]))
        out.append(line([name, "peak memory (MiB)",
                         *(number(v and v / MIB, ".0f") for v in map(memory["medians"].get, engines)),
                         "≤ 1.05 × llama.cpp", memory["verdict"]]))
    return out


def about(document):
    box = document["machine"]
    out = [f"{box['cpu']}, {box['threads']} threads for each engine; {document['started_at']}.", ""]
    if document.get("busy_processes"):
        out += [f"With {document['busy_processes']} busy processes beside them: the bar is the ratio to llama.cpp "
                "without these, disturbance is not judged.", ""]
    out += [f"- {name}: {', '.join(str(v) for v in version.values() if v)}"
            for name, version in document["versions"].items()]
    for limits in document["limits"]:
        flops = ", ".join(f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in limits["flops_per_s"].items())
        out.append(f"- limits before {limits['before']}: {limits['bandwidth_bytes_per_s'] / 1e9:.1f} GB/s, {flops}"
                   f" (others took {limits['others_cores']:.0%} of a core meanwhile)")
    out += [f"- {entry['model']} {entry['type']} {entry['kind']} {entry['tokens']}: {name} left out: {why}"
            for entry in document["cells"] for name, why in entry["record"]["left_out"].items()]
    return out


def conclusion(document):
    rows = [row for entry in document["cells"] for row in rows_of(entry)]
    open_rows = [row for row in rows if row["verdict"] not in ("met", "not met")]
    met = sum(row["verdict"] == "met" for row in rows)
    text = f"{met} of {len(rows)} bars met, {len(rows) - met - len(open_rows)} not met"
    return text + (f", {len(open_rows)} not concluded" if open_rows else "") + "."


def rows_of(entry):
    """One row for a rate, two for a start."""
    if entry.get("row") is None:
        return []
    return [entry["row"]["wall_s"], entry["row"]["max_rss_bytes"]] if entry["kind"] == "start" else [entry["row"]]


def markdown(document):
    parts = [["# ctxbench against its peers", "", conclusion(document), ""], rate_rows(document), [""]]
    if any(entry["kind"] == "start" for entry in document["cells"]):
        parts += [start_rows(document), [""]]
    return "\n".join(text for part in [*parts, about(document)] for text in part) + "\n"
