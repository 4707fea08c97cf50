"""The engines: the command line of a visit to one, and its samples read from what it printed.

Comes in: a cell and the path of its file. Goes out: tokens per second, one number a sample. Starting programs and
watching the machine is quiet.py's.
"""
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import quiet
from .cells import DECODE_STEPS, FOLDER

WORKER = Path(__file__).with_name("mistral_worker.py")


@dataclass
class Visit:
    tokens_per_s: list      # empty for `start`, whose figure is the wall time
    ran: quiet.Ran


def gguf(cell, files):
    """The file; for a start it is read beforehand, whichever engine comes first: some systems give memory that holds
    files back within seconds."""
    path = files.gguf(cell)
    if cell.kind == "start":
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass
    return path


class Llama:
    """llama-bench; `flash` is `off` or `on`."""

    def __init__(self, program, threads, flash):
        self.program, self.threads, self.flash = program, threads, flash
        self.name = f"llama.cpp fa {flash}"

    def visit(self, cell, files):
        work = {"prefill": ["-p", self.lengths(cell), "-n", 0, "-d", 0],
                "decode": ["-p", 0, "-n", DECODE_STEPS, "-d", cell.tokens],
                "start": ["-p", cell.tokens, "-n", 0, "--no-warmup"]}[cell.kind]
        cold = ["--no-warmup"] if cell.kind == "prefill" and cell.warm_up_tokens != cell.tokens else []
        ran = quiet.run([self.program, "-m", gguf(cell, files), "-t", self.threads, "-fa", self.flash,
                         "-r", cell.samples, "-o", "json", *work, *cold])
        if cell.kind == "start":
            return Visit([], ran)
        test = json.loads(ran.out)[-1]
        return Visit(test["samples_ts"], ran)

    def lengths(self, cell):
        """A long prompt after a short one, in one process, instead of a warm-up of the same length."""
        if cell.warm_up_tokens == cell.tokens:
            return cell.tokens
        return f"{cell.warm_up_tokens},{cell.tokens}"


class MistralRs:
    """The wheel, through mistral_worker.py; `bf16-safetensors` is the folder, everything else the GGUF file."""

    name = "mistral.rs"

    def __init__(self, python, threads):
        self.python = python
        self.env = {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}

    def visit(self, cell, files):
        path = files.folder(cell) if cell.type == FOLDER else files.gguf(cell)
        ran = quiet.run([self.python, WORKER, path, cell.kind, cell.tokens, cell.samples, cell.warm_up_tokens,
                         DECODE_STEPS], self.env)
        return Visit(json.loads(ran.out.strip().splitlines()[-1])["tokens_per_s"], ran)


class Ctxbench:
    """`ctxbench bench`, which does the work of a cell and nothing else."""

    name = "ctxbench"

    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def visit(self, cell, files):
        path = files.folder(cell) if cell.type == FOLDER else gguf(cell, files)
        steps = DECODE_STEPS if cell.kind == "decode" else 0
        floats = {"bf16": "bf16", FOLDER: "bf16", "f16": "f16"}.get(cell.type.lower(), "f32")
        warm_up = 0 if cell.kind == "start" else cell.warm_up_tokens
        work = ["--depth", cell.tokens] if cell.kind == "decode" else ["--prefill", cell.tokens]
        ran = quiet.run([self.program, "bench", path, *work, "--steps", steps, "--runs", cell.samples,
                         "--warm-up", warm_up, "--dtype", floats, "--threads", self.threads])
        return Visit([] if cell.kind == "start" else json.loads(ran.out)["tokens_per_s"], ran)


class CtxbenchRun(Ctxbench):
    """The same through `ctxbench run`, for a binary without `bench`: it measures the machine for three seconds
    before each visit and warms up until the times settle, at most for a share of five minutes. It has no `start`."""

    def visit(self, cell, files):
        if cell.kind == "start":
            raise quiet.Failed("this ctxbench has no `bench`, and `run` measures the machine before it loads")
        path = files.folder(cell) if cell.type == FOLDER else files.gguf(cell)
        decode = cell.kind == "decode"
        case = ["--scenario", "decode", "--depth", cell.tokens] if decode else \
            ["--scenario", "rag", "--context", cell.tokens]
        with tempfile.TemporaryDirectory() as out:
            ran = quiet.run([self.program, "run", path, *case, "--quant", "native", "--offline", "--threads",
                             self.threads, "--output-tokens", DECODE_STEPS if decode else 1, "--runs",
                             cell.samples, "--max-time", "5m", "--format", "json", "-o", out])
            samples = json.loads((Path(out) / "report.json").read_text())["cases"][0]["samples"]
        if decode:
            return Visit([DECODE_STEPS / (s["token_ready_ms"][-1] / 1000) for s in samples], ran)
        return Visit([cell.tokens / (s["prefill_ms"] / 1000) for s in samples], ran)


def ctxbench(program, threads):
    """`bench` where the binary has it, else `run`."""
    has = subprocess.run([program, "bench", "--help"], capture_output=True).returncode == 0
    return (Ctxbench if has else CtxbenchRun)(program, threads)
