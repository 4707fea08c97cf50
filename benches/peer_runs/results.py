"""What the records say: medians, ratios, fractions of the floor, and whether a bar is met.

Comes in: the record of a cell. Goes out: its row, plain data. A cell with a disturbed round, or without a peer, has
no ratio: `ratio` is None and `verdict` says why. Text is table.py's.
"""
from statistics import median

from .cells import FIRST_TOKEN_SLACK_S, MEMORY_BAR
from .rounds import worst

OURS = "ctxbench"
LLAMA = "llama.cpp"


def whole(record):
    """The rounds without the engines that failed in one of them."""
    return [{name: visit for name, visit in visits.items() if name not in record["left_out"]}
            for visits in record["rounds"]]


def by_engine(record, figure):
    """Engine to the figures of its visits, in the order of the rounds."""
    out = {}
    for visits in whole(record):
        for name, visit in visits.items():
            out.setdefault(name, []).append(figure(visit))
    return out


def rates(record):
    return by_engine(record, lambda visit: median(visit["tokens_per_s"]))


def fraction(part, whole):
    return part / whole if part is not None and whole else None


def verdict_of(met, reason):
    return reason or ("met" if met else "not met")


def excuse(record, medians, bearable, peers):
    """Why nothing may be concluded; None if it may."""
    disturbance = max((worst(visits) for visits in record["rounds"]), default=0.0)
    if disturbance > bearable:
        return f"disturbed: others took {disturbance:.0%} of a core"
    if OURS not in medians:
        return "ctxbench did not run"
    return None if peers else "no peer ran"


def throughput(cell, record, bearable):
    """The row of a prefill or decode cell: against the better of the peers."""
    all_rates = rates(record)
    medians = {name: median(values) for name, values in all_rates.items()}
    peers = {name: value for name, value in medians.items() if name != OURS}
    best = max(peers, key=peers.get) if peers else None
    reason = excuse(record, medians, bearable, peers)
    row = {"medians": medians, "best_peer": best, "bar": cell.bar, "ratio": None, "ratio_by_round": []}
    if reason is None:
        row["ratio"] = medians[OURS] / medians[best]
        # A round's ratio is to the best peer of that round.
        row["ratio_by_round"] = [median(visits[OURS]["tokens_per_s"]) / max(
            median(visit["tokens_per_s"]) for name, visit in visits.items() if name != OURS)
            for visits in whole(record)]
    row["verdict"] = verdict_of(reason is None and row["ratio"] >= cell.bar, reason)
    floor = record.get("floor")
    ceiling = floor["tokens_per_s"] if floor else None
    row["of_floor"] = {name: fraction(value, ceiling) for name, value in medians.items()}
    row["ceiling"] = ceiling
    return row


def start(record, bearable):
    """The rows of a start cell: seconds to the first token, and peak memory, against llama.cpp."""
    walls = {name: median(values) for name, values in by_engine(record, lambda v: v["wall_s"]).items()}
    memory = {name: median(values) for name, values in by_engine(record, lambda v: v["max_rss_bytes"]).items()}
    return {"wall_s": against_llama(record, walls, bearable, lambda ours, llama: ours <= llama + FIRST_TOKEN_SLACK_S),
            "max_rss_bytes": against_llama(record, memory, bearable, lambda ours, llama: ours <= MEMORY_BAR * llama)}


def against_llama(record, medians, bearable, holds):
    """Held against the smaller of llama.cpp's two figures."""
    peers = {name: value for name, value in medians.items() if name.startswith(LLAMA)}
    best = min(peers, key=peers.get) if peers else None
    reason = excuse(record, medians, bearable, peers)
    row = {"medians": medians, "best_peer": best, "ratio": None if reason else medians[OURS] / peers[best]}
    row["verdict"] = verdict_of(reason is None and holds(medians[OURS], peers[best]), reason)
    return row
