"""What the records say: medians, shares of the limit, ratios, and whether a bar is met.

Comes in: the record of a row, its limit, whether the results were right. Goes out: plain data. What fell short is
said in a sentence; text is table.py's.
"""
from statistics import median

OURS, LLAMA = "ctxbench", "llama.cpp"
LEAST_SAMPLES = 5
MET = ("met", "not met")


def samples(record, key):
    """Engine to its samples of all rounds."""
    out = {}
    for visits in record["rounds"]:
        for name, visit in visits.items():
            if name not in record["left_out"]:
                out.setdefault(name, []).extend(visit[key])
    return out


def strangers(record):
    """How many other processes had the card between two visits, at most."""
    seen = [visit[when]["processes"] for visits in record["rounds"] for visit in visits.values()
            for when in ("before", "after")]
    return max(map(len, seen), default=0)


def excuse(row, record, taken, correct):
    """Why nothing may be concluded; None if it may."""
    if OURS not in taken:
        return f"ctxbench did not run: {record['left_out'].get(OURS, 'no visit')}"
    if not correct:
        return "its results are not right, see verify"
    if strangers(record):
        return f"disturbed: {strangers(record)} other processes had the card"
    few = [name for name, values in taken.items() if len(values) < LEAST_SAMPLES and name in (OURS, LLAMA)]
    if few:
        return f"fewer than {LEAST_SAMPLES} samples of {', '.join(few)}"
    if row.of_llama and not any(name.startswith(LLAMA) for name in taken):
        return f"no llama.cpp to hold it against: {record['left_out'].get(LLAMA, 'its binary is not here')}"
    return None


def conclude(row, record, limit, correct):
    """The row's figures and its verdict; `limit` in tokens per second, or None."""
    start = row.kind == "start"
    taken = samples(record, "seconds" if start else "tokens_per_s")
    medians = {name: median(values) for name, values in taken.items()}
    ours = medians.get(OURS)
    llama = max((value for name, value in medians.items() if name.startswith(LLAMA)), default=None)
    peers = {name: value for name, value in medians.items() if name != OURS}
    out = {"medians": medians, "spread": {name: [min(v), max(v)] for name, v in taken.items()},
           "samples": {name: len(values) for name, values in taken.items()}, "limit": limit,
           "of_limit": {name: value / limit for name, value in medians.items()} if limit and not start else {},
           "best_peer": max(peers, key=peers.get) if peers else None,
           "of_llama": ours / llama if ours and llama else None}
    reason = excuse(row, record, taken, correct)
    if reason is None and row.of_limit and not limit:
        reason = "the card's limit is unknown"
    short = [] if reason else shortfalls(row, out)
    out["verdict"] = reason or ("not met" if short else "met")
    out["shortfalls"] = short
    return out


def shortfalls(row, figures):
    """A sentence for each part of the bar that is not met."""
    out, ours = [], figures["medians"][OURS]
    if row.of_limit and figures["of_limit"][OURS] < row.of_limit:
        out.append(f"{row.name}: {figures['of_limit'][OURS]:.1%} of the limit, the bar is {row.of_limit:.0%}")
    if row.of_llama and figures["of_llama"] < row.of_llama:
        out.append(f"{row.name}: {figures['of_llama']:.2f} × llama.cpp, the bar is {row.of_llama}")
    if row.seconds and ours > row.seconds:
        out.append(f"{row.name}: {ours:.1f} s, the bar is {row.seconds:g} s")
    return out
