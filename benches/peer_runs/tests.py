"""Tests of what decides: repeating, refusing, ratios and bars. `python3 -m unittest peer_runs.tests` in benches/.

Engines are scripted; nothing is started and nothing is timed.
"""
import json
import tempfile
import unittest
from pathlib import Path

from . import busy, cells, limits, results, table
from .engines import Visit
from .quiet import Failed, Ran
from .rounds import Rounds

CELL = cells.Cell("Qwen3-0.6B", "Q8_0", "prefill", 512, 1.5)
START = cells.Cell("Qwen3-0.6B", "Q8_0", "start", 32)
SHAPE = {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8}


class Scripted:
    """An engine whose visits are known beforehand: (tokens per second, cores taken by others) or an error."""

    def __init__(self, name, *script, wall_s=1.0, rss=100):
        self.name, self.script, self.wall_s, self.rss = name, list(script), wall_s, rss

    def visit(self, cell, files):
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return Visit([] if cell.kind == "start" else [step[0]], Ran("", self.wall_s, self.rss, step[1], 0.0))


def measured(count, *engines, cell=CELL, retries=1):
    record = Rounds(list(engines), None, 0.1, retries).measure(cell, count)
    row = results.start(record, 0.1) if cell.kind == "start" else results.throughput(cell, record, 0.1)
    return record, row


class Decisions(unittest.TestCase):
    def test_a_ratio_is_of_medians_to_the_better_peer(self):
        _, row = measured(3, Scripted("ctxbench", (30, 0), (33, 0), (90, 0)), Scripted("a", (10, 0), (11, 0), (9, 0)),
                          Scripted("b", (20, 0), (20, 0), (22, 0)))
        self.assertEqual((row["best_peer"], row["ratio"], row["verdict"]), ("b", 33 / 20, "met"))
        self.assertEqual(row["ratio_by_round"], [30 / 20, 33 / 20, 90 / 22])

    def test_a_ratio_below_the_bar_is_not_met(self):
        _, row = measured(1, Scripted("ctxbench", (14, 0)), Scripted("a", (10, 0)))
        self.assertEqual(row["verdict"], "not met")

    def test_a_disturbed_round_is_repeated_whole_and_the_quiet_one_counts(self):
        record, row = measured(1, Scripted("ctxbench", (99, 0), (20, 0)), Scripted("a", (1, 0.5), (10, 0.02)))
        self.assertEqual((row["ratio"], record["repeated_rounds"], len(record["rounds"])), (2.0, 1, 1))

    def test_what_stays_disturbed_has_medians_but_no_ratio(self):
        _, row = measured(1, Scripted("ctxbench", (30, 0.4), (31, 0.3)), Scripted("a", (10, 0), (10, 0)))
        self.assertEqual((row["ratio"], row["medians"]["ctxbench"]), (None, 31))
        self.assertIn("disturbed: others took 30%", row["verdict"])

    def test_a_peer_that_fails_is_named_and_leaves_the_others(self):
        failing = Scripted("a", (29, 0), Failed("no such type"))
        record, row = measured(2, Scripted("ctxbench", (30, 0), (30, 0)), failing, Scripted("b", (10, 0), (10, 0)))
        self.assertEqual((record["left_out"], row["best_peer"], row["ratio"]), ({"a": "no such type"}, "b", 3.0))

    def test_without_ctxbench_or_without_a_peer_nothing_is_concluded(self):
        _, ours = measured(1, Scripted("ctxbench", Failed("bad")), Scripted("a", (10, 0)))
        _, alone = measured(1, Scripted("ctxbench", (10, 0)), Scripted("a", Failed("bad")))
        self.assertEqual((ours["verdict"], alone["verdict"]), ("ctxbench did not run", "no peer ran"))

    def test_start_and_memory_are_held_against_llama_cpp_alone(self):
        _, row = measured(1, Scripted("ctxbench", (0, 0), wall_s=1.6, rss=106), Scripted("llama.cpp fa on", (0, 0)),
                          Scripted("mistral.rs", (0, 0), wall_s=0.1, rss=1), cell=START)
        self.assertEqual((row["wall_s"]["verdict"], row["max_rss_bytes"]["verdict"]), ("not met", "not met"))
        _, row = measured(1, Scripted("ctxbench", (0, 0), wall_s=1.5, rss=105), Scripted("llama.cpp fa on", (0, 0)),
                          cell=START)
        self.assertEqual((row["wall_s"]["verdict"], row["max_rss_bytes"]["verdict"]), ("met", "met"))


class Floors(unittest.TestCase):
    LIMITS = {"bandwidth_bytes_per_s": 1e9, "flops_per_s": {"f32": 1e9, "int8": 4e9}}
    HELD = {"layer_weights": 1_000_000, "head_weights": 500_000, "step_bytes": 1_500_000}

    def test_decode_reads_the_weights_and_the_cache_once(self):
        cell = cells.Cell("m", "Q8_0", "decode", 984)
        found = limits.floor(cell, SHAPE, self.HELD, self.LIMITS)
        self.assertAlmostEqual(found["tokens_per_s"], 1e9 / (1_500_000 + 2 * 2 * 2 * 8 * 2 * 1000))

    def test_prefill_computes_the_head_once_and_half_the_square(self):
        found = limits.floor(cells.Cell("m", "Q8_0", "prefill", 100), SHAPE, self.HELD, self.LIMITS)
        seconds = 2 * (1_000_000 * 100 + 500_000) / 4e9 + 2 * 2 * 4 * 8 * 100 ** 2 / 1e9
        self.assertAlmostEqual(found["tokens_per_s"], 100 / seconds)
        self.assertEqual(found["by"], ["int8", "f32"])

    def test_a_missing_rate_gives_no_limit(self):
        without = {"bandwidth_bytes_per_s": None, "flops_per_s": {}}
        for kind in ("prefill", "decode"):
            self.assertIsNone(limits.floor(cells.Cell("m", "Q8_0", kind, 8), SHAPE, self.HELD, without))


class Contention(unittest.TestCase):
    def test_the_bar_is_the_quiet_ratio_to_llama_cpp_and_open_cells_are_left_out(self):
        medians = {"ctxbench": 30.0, "llama.cpp fa off": 20.0, "llama.cpp fa on": 10.0, "mistral.rs": 29.0}
        other = cells.Cell("Qwen3-0.6B", "Q8_0", "decode", 512, 1.3)
        text = json.dumps({"cells": [
            {"name": CELL.name, "kind": "prefill", "row": {"ratio": 1.03, "medians": medians}},
            {"name": other.name, "kind": "decode", "row": {"ratio": None, "medians": medians}}]})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "peers.json"
            path.write_text(text)
            self.assertEqual([(c.name, c.bar) for c in busy.bars(path, [CELL, other])], [(CELL.name, 1.5)])


class Selections(unittest.TestCase):
    def test_names_and_types_narrow_the_cells(self):
        some = cells.select(["q8_0"], ["Qwen3-0.6B:decode:512", "prefill:2048"])
        self.assertEqual([(c.kind, c.tokens) for c in some], [("prefill", 2048), ("decode", 512)])
        self.assertEqual(cells.select(["q8_0"], ["nonsense"]), [])

    def test_a_table_of_a_disturbed_cell_says_so_and_shows_no_ratio(self):
        record, row = measured(1, Scripted("ctxbench", (30, 9)), Scripted("a", (10, 0)), retries=0)
        entry = {"model": "m", "type": "t", "kind": "prefill", "tokens": 8, "row": row, "record": record}
        text = table.markdown({"engines": ["ctxbench", "a"], "cells": [entry], "limits": [], "versions": {},
                               "machine": {"cpu": "c", "threads": 2}, "started_at": "now"})
        self.assertIn("0 of 1 bars met, 0 not met, 1 not concluded.", text)
        self.assertIn("| 30.0 | 10.0 | n/a | n/a | ≥ 1.5 |", text)


if __name__ == "__main__":
    unittest.main()
