"""The rounds of a row: every engine once, in turn, again and again, so that a card that grows warm does so for all.

Comes in: a row, its engines, the path of its file. Goes out: the record of the row, plain data as it stands in the
JSON. What the numbers mean is results.py's.
"""
import sys

from peer_runs.quiet import Failed


def measure(row, engines, path, count, samples, state):
    """`count` rounds of `samples` each; engines that fail are named and left out. `state()` reads the card, which is
    nobody's between two visits."""
    record = {"rounds": [], "left_out": {}}
    for number in range(count):
        print(f"{row.name}: round {number + 1} of {count}", file=sys.stderr)
        visits = {}
        for engine in engines:
            if not engine.takes(row) or engine.name in record["left_out"]:
                continue
            before = state()
            try:
                visits[engine.name] = engine.visit(row, path, samples) | {"before": before, "after": state()}
            except (Failed, ValueError, LookupError) as error:
                record["left_out"][engine.name] = str(error)[-600:] or type(error).__name__
        record["rounds"].append(visits)
    return record
