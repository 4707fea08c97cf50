"""Tests of what is counted and what decides. `python3 -m unittest gpu_runs.tests` in benches/.

Engines are scripted; nothing is started but this script's own plan, and nothing is timed.
"""
import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from peer_runs.quiet import Failed
from peer_runs.tensors import tensors

from . import block_types, card, engines, limits, make_gguf, results, rounds, rows, shapes, table

ROW = rows.Row("Qwen3-8B", "BF16", "decode", 2048, of_limit=0.85, of_llama=1.05)
IDLE = {"processes": []}
# As measured on one H100: a copy, and a product of 8192 × 8192 in bf16.
CARD = {"doctor": {"bandwidth_bytes_per_s": 3001e9, "matmul_flops_per_s": 700e12},
        "torch": {"bandwidth_bytes_per_s": 2900e9, "matmul_flops_per_s": 787e12}}
TINY = {"architecture": "qwen3_5", "vocab_size": 512, "hidden_size": 256, "layers": 8, "heads": 2, "kv_heads": 1,
        "head_dim": 256, "rotary_dim": 64, "intermediate_size": 256, "rope_theta": 1e7, "rms_norm_eps": 1e-6,
        "max_positions": 4096, "tie_embeddings": False,
        "delta_net": {"key_heads": 1, "value_heads": 2, "key_dim": 128, "value_dim": 128, "conv_width": 4,
                      "attention_layers": 4}}


class Scripted:
    """An engine whose visits are known beforehand: tokens per second, or an error."""

    def __init__(self, name, *script):
        self.name, self.script = name, list(script)

    def takes(self, row):
        return True

    def visit(self, row, path, samples):
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return {"tokens_per_s": [float(step)] * samples}


def concluded(*runners, row=ROW, limit=100.0, correct=True, samples=3, state=IDLE):
    record = rounds.measure(row, runners, None, 2, samples, lambda: state)
    return results.conclude(row, record, limit, correct)


class Counts(unittest.TestCase):
    """Against the figures that were worked out beside the measurements on one H100, in another program."""

    def test_the_weights_of_a_step(self):
        expected = {("Qwen3-8B", "BF16"): 15.137, ("Qwen3-0.6B", "BF16"): 1.192, ("Qwen3.5-9B", "BF16"): 15.875,
                    ("Qwen3.5-9B", "Q4_K_M"): 5.046, ("Qwen3.5-0.8B", "BF16"): 1.506,
                    ("Qwen3.5-35B-A3B", "Q4_K_M"): 1.976}
        for (model, kind), gigabytes in expected.items():
            self.assertAlmostEqual(shapes.weight_bytes(shapes.shape(model), kind) / 1e9, gigabytes, delta=0.002)

    def test_cache_and_state(self):
        dense, hybrid, experts = map(shapes.shape, ("Qwen3-8B", "Qwen3.5-9B", "Qwen3.5-35B-A3B"))
        self.assertEqual(shapes.kv_bytes(dense, 1), 147_456)
        self.assertAlmostEqual(shapes.kv_bytes(hybrid, 131_072 + 32) / 1e9, 4.296, places=3)
        self.assertAlmostEqual(2 * shapes.state_bytes(hybrid) / 1e9, 0.105, places=3)
        self.assertAlmostEqual(2 * shapes.state_bytes(experts) / 1e9, 0.132, places=3)
        self.assertEqual(shapes.state_bytes(dense), 0)

    def test_the_time_of_a_prompt(self):
        expected = {"Qwen3-8B": {128: 2.3, 512: 9.1, 2048: 37.7, 8192: 170, 16384: 390, 32768: 981},
                    "Qwen3-0.6B": {128: 0.15, 512: 0.6, 2048: 2.9, 8192: 19, 16384: 57, 32768: 193}}
        for model, of_tokens in expected.items():
            for tokens, ms in of_tokens.items():
                found = shapes.prefill_flops(shapes.shape(model), tokens) / 787e12 * 1e3
                self.assertAlmostEqual(found / ms, 1.0, delta=0.03, msg=f"{model} {tokens}")

    def test_the_share_that_llama_cpp_reached_on_a_hybrid(self):
        for tokens, rate, share in ((2048, 17709, 32), (8192, 17881, 33), (32768, 16140, 34)):
            flops = shapes.prefill_flops(shapes.shape("Qwen3.5-9B"), tokens)
            self.assertAlmostEqual(100 * flops / 774e12 / (tokens / rate), share, delta=0.6)

    def test_every_part_of_a_hybrids_prompt_by_hand(self):
        weights = 2 * 524_288 + 6 * 263_168 + 8 * 196_608      # attention, delta nets, feed-forwards
        by_hand = 2 * weights * 10 + 2 * 2 * 2 * 256 * 10 ** 2 + 6 * 7 * 2 * 128 * 128 * 10
        self.assertEqual(shapes.prefill_flops(TINY, 10), by_hand)

    def test_limits_are_the_higher_of_two_measurements(self):
        row = rows.Row("Qwen3-8B", "BF16", "decode", 8192 - rows.DECODE_STEPS // 2)
        self.assertAlmostEqual(1e3 / limits.tokens_per_s(row, CARD), 5.45, places=2)
        prompt = rows.Row("Qwen3-8B", "Q4_K_M", "prefill", 8192)
        self.assertAlmostEqual(8192e3 / limits.tokens_per_s(prompt, CARD), 169.7, places=1)
        self.assertIsNone(limits.tokens_per_s(row, {"doctor": {"missing": "no card"}}))
        self.assertIsNone(limits.tokens_per_s(rows.Row("Qwen3-8B", "BF16", "start", 32), CARD))

    def test_the_rows_are_those_of_the_issue(self):
        self.assertEqual(len(rows.ROWS), 23)
        self.assertEqual(len({row.name for row in rows.ROWS}), 23)
        self.assertTrue(all(row.bar for row in rows.ROWS))
        some = rows.select(["Qwen3-8B:bf16:decode", "prefill:2048"])
        self.assertEqual([row.tokens for row in some if row.kind == "decode"], [128, 2048, 8192, 32768, 131072])
        self.assertEqual([row.model for row in some if row.kind == "prefill"], ["Qwen3-8B", "Qwen3.5-9B"])
        self.assertEqual(rows.select(["nonsense"]), [])


class Files(unittest.TestCase):
    def test_the_header_says_where_everything_lies(self):
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("BF16", "Q4_K_M"):
                path = Path(folder) / "tiny.gguf"
                make_gguf.write(TINY, "tiny", kind, path)
                data = path.read_bytes()
                self.assertEqual(len(data), make_gguf.file_bytes(TINY, "tiny", kind))
                self.assertEqual(struct.unpack_from("<4sIQ", data), (b"GGUF", 3, len(tensors(TINY))))
                listed = make_gguf.text("output_norm.weight") + struct.pack("<IQ", 1, 256)
                number, offset = struct.unpack_from("<IQ", data, data.index(listed) + len(listed))
                start = len(make_gguf.header(TINY, "tiny", kind)) + offset
                norm = struct.unpack_from("<256f", data, start)
                self.assertEqual(number, 0)
                self.assertTrue(all(0.7 < weight < 1.3 for weight in norm) and len(set(norm)) > 200)

    def test_every_tensor_has_whole_blocks_and_is_as_long_as_the_header_says(self):
        for model in rows.MODELS:
            shape = shapes.shape(model)
            for name, size in tensors(shape).items():
                found = block_types.type_of(name, size, "Q4_K_M", shape)
                self.assertEqual(size[-1] % found.weights, 0, f"{model} {name}")

    def test_blocks_have_the_scales_of_weights(self):
        rng = make_gguf.random.Random(1)
        for found, offset, value in ((block_types.Q4_K, 0, 1.2e-4), (block_types.Q4_K, 2, 9e-4),
                                     (block_types.Q6_K, 208, 3e-5)):
            pool = block_types.pool(found, rng)
            self.assertEqual(len(pool), found.bytes * block_types.POOL_BLOCKS)
            for block in (0, 77):
                read = struct.unpack_from("<e", pool, block * found.bytes + offset)[0]
                self.assertAlmostEqual(read / value, 1.0, delta=2e-3)

    def test_a_pool_is_repeated_to_the_byte(self):
        out = io.BytesIO()
        make_gguf.repeat(out, memoryview(b"abcd"), 2, 9)
        self.assertEqual(out.getvalue(), b"cdabcdabc")


class Decisions(unittest.TestCase):
    def test_both_parts_of_a_bar_must_be_met(self):
        met = concluded(Scripted("ctxbench", 90, 90), Scripted("llama.cpp", 80, 80))
        self.assertEqual((met["verdict"], met["shortfalls"], met["of_llama"]), ("met", [], 90 / 80))
        slow = concluded(Scripted("ctxbench", 84, 84), Scripted("llama.cpp", 82, 82))
        self.assertEqual(slow["verdict"], "not met")
        self.assertEqual([text.split(": ")[1][:5] for text in slow["shortfalls"]], ["84.0%", "1.02 "])

    def test_the_better_of_llama_cpps_settings_counts_and_transformers_does_not(self):
        found = concluded(Scripted("ctxbench", 90, 90), Scripted("llama.cpp", 60, 60),
                          Scripted("llama.cpp ub 2048", 80, 80), Scripted("transformers", 99, 99))
        self.assertEqual((found["of_llama"], found["best_peer"]), (90 / 80, "transformers"))

    def test_medians_are_over_all_rounds(self):
        found = concluded(Scripted("ctxbench", 90, 70), Scripted("llama.cpp", 50, 50))
        self.assertEqual((found["medians"]["ctxbench"], found["spread"]["ctxbench"]), (80.0, [70.0, 90.0]))

    def test_nothing_is_concluded_of_wrong_results_a_shared_card_or_too_few_samples(self):
        def engines_(): return [Scripted("ctxbench", 90, 90), Scripted("llama.cpp", 80, 80)]
        self.assertIn("not right", concluded(*engines_(), correct=False)["verdict"])
        self.assertIn("1 other processes", concluded(*engines_(), state={"processes": ["17"]})["verdict"])
        self.assertIn("fewer than 5 samples", concluded(*engines_(), samples=2)["verdict"])
        self.assertIn("limit is unknown", concluded(*engines_(), limit=None)["verdict"])

    def test_an_engine_that_fails_is_left_out_with_its_words(self):
        ours = Scripted("ctxbench", Failed("out of memory"))
        self.assertIn("did not run: out of memory", concluded(ours, Scripted("llama.cpp", 80, 80))["verdict"])
        alone = concluded(Scripted("ctxbench", 90, 90), Scripted("llama.cpp", 80, Failed("bad shape")))
        self.assertIn("no llama.cpp to hold it against: bad shape", alone["verdict"])

    def test_a_start_is_held_against_seconds(self):
        row = rows.Row("Qwen3-8B", "BF16", "start", 32, seconds=10.0)
        record = {"left_out": {}, "rounds": [{"ctxbench": {"seconds": [s], "before": IDLE, "after": IDLE}}
                                             for s in (11.0, 9.0, 12.0, 13.0, 8.0)]}
        found = results.conclude(row, record, None, True)
        self.assertEqual((found["verdict"], found["medians"], found["of_limit"]), ("not met", {"ctxbench": 11.0}, {}))

    def test_a_start_is_what_the_program_says_as_long_as_it_can_be_so(self):
        said = {"weights": "random", "first_token_ms": 4321.0, "stages_ms": {"process": 20.0, "kernels": None}}
        self.assertEqual(engines.start(said, 4.9),
                         {"seconds": [4.321], "stages_ms": said["stages_ms"], "process_s": 4.9})
        self.assertEqual(engines.start(said, 4.315)["seconds"], [4.321])        # a tick of the kernel's
        for wrong in ({"weights": "local"}, {"first_token_ms": None}):
            self.assertRaises(ValueError, engines.start, said | wrong, 4.9)
        self.assertRaises(ValueError, engines.start, said, 4.3)


class Words(unittest.TestCase):
    def test_the_table_says_what_fell_short_and_who_was_left_out(self):
        record = {"rounds": [], "left_out": {"transformers": "Traceback\nno such model"}}
        result = concluded(Scripted("ctxbench", 80, 80), Scripted("llama.cpp", 80, 80))
        identity = {"name": "NVIDIA H100", "compute_capability": "9.0", "driver": "580", "power_limit_w": None}
        calls = [{"started_at": "now", "limits": CARD, "verify": {"said": "30 of 30 met"}}]
        text = table.markdown({"card": identity, "calls": calls, "versions": {"ctxbench": {"version": "1"}}, "rows": [
            {"name": ROW.name, "kind": ROW.kind, "bar": ROW.bar, "result": result, "record": record}]})
        for part in ("0 of 1 bars met, 1 not met.", "| 80.0 | 80.0 | n/a | 100 | 80.0% | 80.0% | 1.00 |",
                     "- Qwen3-8B BF16 decode 2048: 80.0% of the limit, the bar is 85%", "power limit n/a W",
                     "doctor: 3001 GB/s, bf16 700 TFLOP/s; torch: 2900 GB/s", "left out: no such model"):
            self.assertIn(part, text)

    def test_the_stages_of_a_start_are_told_and_one_that_is_none_is_no_number(self):
        visit = {"ctxbench": {"stages_ms": {"process": 31.4, "kernels": None, "weights": 2718.2}}}
        entry = {"name": "Qwen3-8B BF16 start 32", "record": {"rounds": [visit]}}
        self.assertEqual(table.stages({"rows": [entry]}),
                         ["- Qwen3-8B BF16 start 32, ms: process 31, kernels n/a, weights 2718"])

    def test_the_start_makes_its_weights_on_the_card_and_needs_no_file(self):
        command = engines.Ctxbench("c", "cuda:0").command(rows.select(["start"])[0], None, 5)
        self.assertEqual(command, ["c", "bench", "qwen3-8b", "--weights", "random", "--device", "cuda:0", "--dtype",
                                   "bf16", "--start", 32])

    def test_what_the_driver_does_not_tell_is_none(self):
        told = [card.known(text) for text in ("[N/A]", "[Not Supported]", "1980", "P0")]
        self.assertEqual(told, [None, None, 1980.0, "P0"])
        self.assertEqual(card.architecture({"compute_capability": "12.0"}), "120")

    def test_without_a_card_it_refuses_and_still_tells_its_plan(self):
        def run(*words):
            place = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""}
            return subprocess.run([sys.executable, "-m", "gpu_runs", *words], capture_output=True, text=True,
                                  env={**os.environ, **place})
        refused = run()
        self.assertEqual((refused.returncode, refused.stdout), (2, ""))
        self.assertIn("there is no NVIDIA card here: nvidia-smi did not run", refused.stderr)
        planned = run("--dry-run", "--rows", "Qwen3-8B:Q4_K_M")
        self.assertEqual((planned.returncode, planned.stderr), (0, ""))
        for part in ("Qwen3-8B-Q4_K_M.gguf: 5.02 GB", "-fa on -ub 512", "-ub 2048", "--depth 2048 --steps 64"):
            self.assertIn(part, planned.stdout)
        self.assertEqual(len(run("--list").stdout.splitlines()), len(rows.ROWS))

    def test_peers_take_the_rows_that_they_can(self):
        llama, wide, torch = engines.Llama("l"), engines.Llama("l", 2048), engines.Torch("python3")
        def taken(engine): return [engine.takes(row) for row in rows.select(["Qwen3-8B:2048", "start"])]
        self.assertEqual((taken(llama), taken(wide), taken(torch)), ([True, True, True, False],
                         [False, True, False, False], [True, True, False, False]))


if __name__ == "__main__":
    unittest.main()
