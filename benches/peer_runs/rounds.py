"""The rounds of a cell: every engine once, in turn, again and again; a disturbed round is repeated.

Comes in: a cell, its engines, and how much disturbance is borne. Goes out: the record of the cell, plain data as it
stands in the JSON. What the numbers mean is results.py's.
"""
import sys

from .quiet import Failed, load_average


class Rounds:
    """`bearable`: share of a core that other processes may take during a visit; `retries`: rounds that may be
    repeated for one that was disturbed."""

    def __init__(self, engines, files, bearable, retries):
        self.engines, self.files, self.bearable, self.retries = engines, files, bearable, retries

    def measure(self, cell, count):
        """`count` rounds; engines that cannot run the cell are named and left out."""
        record = {"load_average": load_average(), "repeated_rounds": 0, "rounds": [], "left_out": {}}
        for number in range(count):
            record["rounds"].append(self.quiet_round(cell, record, f"round {number + 1} of {count}"))
        return record

    def quiet_round(self, cell, record, label):
        """The first round without disturbance, or the least disturbed one if there is none."""
        tried = []
        for attempt in range(1 + self.retries):
            note = f", repeated {attempt}" if attempt else ""
            print(f"{cell.name}: {label}{note}", file=sys.stderr)
            tried.append(self.round(cell, record["left_out"]))
            if not disturbed(tried[-1], self.bearable):
                break
            record["repeated_rounds"] += attempt < self.retries
        return min(tried, key=worst)

    def round(self, cell, left_out):
        """Every engine once: name to visit."""
        visits = {}
        for engine in self.engines:
            if engine.name in left_out:
                continue
            try:
                visit = engine.visit(cell, self.files)
            except Failed as error:
                left_out[engine.name] = str(error)
                continue
            visits[engine.name] = {"tokens_per_s": visit.tokens_per_s, "wall_s": visit.ran.wall_s,
                                   "max_rss_bytes": visit.ran.max_rss_bytes,
                                   "others_cores": visit.ran.others_cores, "stolen_cores": visit.ran.stolen_cores}
        return visits


def worst(visits):
    """The largest share of a core that others took during one of the visits."""
    return max((visit["others_cores"] for visit in visits.values()), default=0.0)


def disturbed(visits, bearable):
    return worst(visits) > bearable
