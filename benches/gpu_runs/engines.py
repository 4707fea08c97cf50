"""The engines: the command line of a visit to one, and its samples read from what it printed.

Comes in: a row and the path of its file. Goes out: tokens per second, one number a sample; for `start`, seconds to
the first token, their stages, and those of the whole process. Every visit is a process of its own that loads the file,
warms up and then takes its samples.
"""
import json
from pathlib import Path

from peer_runs import quiet

from . import shapes
from .rows import DECODE_STEPS, MODELS

WORKER = Path(__file__).with_name("torch_worker.py")
WARM_UP_TOKENS = 512
TICK_S = 0.01       # to which the kernel tells when a process began


def start(said, wall_s):
    """A start as ctxbench tells it, held against the clock of this script: the process gives its memory back behind
    the first token, and lives longer than it takes. Raises ValueError where it did not."""
    if said["weights"] != "random":
        raise ValueError(f"weights were to be random, and are {said['weights']}")
    if said["first_token_ms"] is None:
        raise ValueError("the kernel does not tell when the process began")
    seconds = said["first_token_ms"] / 1e3
    if seconds > wall_s + TICK_S:
        raise ValueError(f"the first token after {seconds:.3f} s of a process that lived {wall_s:.3f} s")
    return {"seconds": [seconds], "stages_ms": said["stages_ms"], "process_s": wall_s}


class Ctxbench:
    """`ctxbench bench`, which does the work of a row and nothing else."""

    name = "ctxbench"

    def __init__(self, program, device):
        self.program, self.device = program, device

    def takes(self, row):
        return True

    def command(self, row, path, samples):
        to = ["--device", self.device, "--dtype", "bf16"]
        if row.kind == "start":
            return [self.program, "bench", MODELS[row.model][1], "--weights", "random", *to, "--start", row.tokens]
        warm_up = ["--warm-up", min(row.tokens, WARM_UP_TOKENS) if row.kind == "decode" else row.tokens]
        work = ["--depth", row.tokens, "--steps", DECODE_STEPS] if row.kind == "decode" else \
            ["--prefill", row.tokens]
        return [self.program, "bench", path, *to, *work, "--runs", samples, *warm_up]

    def visit(self, row, path, samples):
        ran = quiet.run(self.command(row, path, samples))
        said = json.loads(ran.out)
        return start(said, ran.wall_s) if row.kind == "start" else {"tokens_per_s": said["tokens_per_s"]}


class Llama:
    """llama-bench with all layers on the card, flash attention on, an f16 cache. `ubatch`: tokens at a time."""

    def __init__(self, program, ubatch=512):
        self.program, self.ubatch = program, ubatch
        self.name = "llama.cpp" if ubatch == 512 else f"llama.cpp ub {ubatch}"

    def takes(self, row):
        """Other sizes than the default make a difference to long prompts only."""
        return row.kind == "decode" and self.ubatch == 512 or row.kind == "prefill" and row.tokens >= self.ubatch

    def command(self, row, path, samples):
        work = ["-p", 0, "-n", DECODE_STEPS, "-d", row.tokens] if row.kind == "decode" else \
            ["-p", row.tokens, "-n", 0]
        return [self.program, "-m", path, "-ngl", 99, "-fa", "on", "-ub", self.ubatch,
                "-b", max(2048, self.ubatch), "-r", samples, "-o", "json", *work]

    def visit(self, row, path, samples):
        return {"tokens_per_s": json.loads(quiet.run(self.command(row, path, samples)).out)[-1]["samples_ts"]}


class Torch:
    """transformers on PyTorch, through torch_worker.py: prompts eagerly with sdpa, steps as one CUDA graph."""

    def __init__(self, python, compiled=False):
        self.python, self.compiled = python, compiled
        self.name = "transformers, torch.compile" if compiled else "transformers"

    def takes(self, row):
        return row.type == "BF16" and (row.kind == "decode" or row.kind == "prefill" and not self.compiled)

    def command(self, row, path, samples):
        how = "compile" if self.compiled else "graph" if row.kind == "decode" else "eager"
        shape = json.dumps(shapes.shape(row.model))
        return [self.python, WORKER, row.kind, shape, row.tokens, samples, DECODE_STEPS, how]

    def visit(self, row, path, samples):
        ran = quiet.run(self.command(row, path, samples), timeout_s=600)
        return {"tokens_per_s": json.loads(ran.out.strip().splitlines()[-1])["tokens_per_s"]}
