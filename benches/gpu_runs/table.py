"""The results as Markdown: one table, what fell short, and what they rest on.

A pure function of the JSON document. No figure is made here.
"""
NOT_AVAILABLE = "n/a"
COLUMNS = ["row", "ctxbench", "llama.cpp", "transformers", "limit", "of the limit", "llama.cpp's share",
           "× llama.cpp", "bar", "verdict"]


def number(value, form):
    return NOT_AVAILABLE if value is None else format(value, form)


def line(cells):
    return f"| {' | '.join(cells)} |"


def best(medians, beginning):
    """The highest median of the engines whose names begin so."""
    return max((value for name, value in medians.items() if name.startswith(beginning)), default=None)


def entry_line(entry):
    row = entry["result"]
    medians, shares = row["medians"], row["of_limit"]
    form = ".2f" if entry["kind"] == "start" else ".1f"
    return line([entry["name"], number(medians.get("ctxbench"), form), number(best(medians, "llama.cpp"), form),
                 number(best(medians, "transformers"), form), number(row["limit"], ".0f"),
                 number(shares.get("ctxbench"), ".1%"), number(best(shares, "llama.cpp"), ".1%"),
                 number(row["of_llama"], ".2f"), entry["bar"], row["verdict"]])


def stages(document):
    """Of the starts, in the order in which they came."""
    out = []
    for entry in document["rows"]:
        for visits in entry["record"]["rounds"]:
            found = visits.get("ctxbench", {}).get("stages_ms")
            if found:
                out.append(f"- {entry['name']}, ms: " + ", ".join(f"{k} {number(v, '.0f')}" for k, v in found.items()))
    return out


def rates(limits):
    parts = []
    for source, found in limits.items():
        if "missing" in found:
            parts.append(f"{source}: none ({found['missing'].splitlines()[-1] if found['missing'] else 'no reason'})")
            continue
        bandwidth, flops = found.get("bandwidth_bytes_per_s"), found.get("matmul_flops_per_s")
        parts.append(f"{source}: {number(bandwidth and bandwidth / 1e9, '.0f')} GB/s, "
                     f"bf16 {number(flops and flops / 1e12, '.0f')} TFLOP/s")
    return "; ".join(parts)


def about(document):
    card = document["card"]
    out = [f"{card['name']}, capability {card['compute_capability']}, driver {card['driver']}, power limit "
           f"{number(card['power_limit_w'], '.0f')} W. Tokens per second, medians; `start` in seconds.", ""]
    out += [f"- call {i + 1}, {call['started_at']}: {rates(call['limits'])}; verify: {call['verify']['said']}"
            for i, call in enumerate(document["calls"])]
    out += [f"- {name}: {', '.join(str(v) for v in version.values() if v)}"
            for name, version in document["versions"].items()]
    out += [f"- {entry['name']}: {name} left out: {why.splitlines()[-1]}"
            for entry in document["rows"] for name, why in entry["record"]["left_out"].items()]
    return out + stages(document)


def conclusion(document):
    verdicts = [entry["result"]["verdict"] for entry in document["rows"]]
    met, missed = verdicts.count("met"), verdicts.count("not met")
    text = f"{met} of {len(verdicts)} bars met, {missed} not met"
    return text + (f", {len(verdicts) - met - missed} not concluded." if met + missed < len(verdicts) else ".")


def shortfalls(document):
    found = [text for entry in document["rows"] for text in entry["result"]["shortfalls"]]
    return ["What fell short:", "", *(f"- {text}" for text in found), ""] if found else []


def markdown(document):
    rule = "|:---|" + "---:|" * (len(COLUMNS) - 3) + ":---|:---|"
    return "\n".join(["# ctxbench on a card, against its peers and the card", "", conclusion(document), "",
                      line(COLUMNS), rule, *map(entry_line, document["rows"]), "", *shortfalls(document),
                      *about(document)]) + "\n"
