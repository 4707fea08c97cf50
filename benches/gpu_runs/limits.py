"""What the card allows: rates measured in this call, and the tokens per second that they make of a row.

Comes in: what `ctxbench doctor --device cuda` and torch_worker.py measured. Goes out: rates, and a row's limit. The
higher of two measurements counts: a limit is what no software exceeds. Nothing is taken from a data sheet.
"""
import json

from peer_runs import quiet

from . import shapes
from .rows import DECODE_STEPS

SOURCES = ("doctor", "torch")


def from_doctor(program, device):
    """Rates of the card by ctxbench; empty with the reason where it has none."""
    try:
        ran = quiet.run([program, "doctor", "--device", device, "--offline", "--format", "json"], timeout_s=120)
        box = json.loads(ran.out)["environment"]
        return {"bandwidth_bytes_per_s": box["memory_bandwidth_bytes_per_s"],
                "matmul_flops_per_s": box["matmul_flops_per_s"].get("bf16")}
    except (quiet.Failed, KeyError, TypeError, ValueError) as error:
        return {"missing": str(error)[-300:]}


def from_torch(python, worker):
    """The same by PyTorch: a copy of 2 GiB and a product of 8192 × 8192 in bf16, medians of 20."""
    try:
        return json.loads(quiet.run([python, worker, "limits"], timeout_s=120).out.strip().splitlines()[-1])
    except (quiet.Failed, ValueError, IndexError) as error:
        return {"missing": str(error)[-300:]}


def rate(limits, name):
    """The highest that was measured, or None."""
    found = [limits[source].get(name) for source in SOURCES if source in limits]
    return max((value for value in found if value), default=None)


def work(row):
    """Bytes of a decode step in the middle of those that are timed, or FLOPs of a prompt; None for `start`."""
    shape = shapes.shape(row.model)
    if row.kind == "decode":
        return {"bytes": shapes.step_bytes(shape, row.type, row.tokens + DECODE_STEPS / 2)}
    if row.kind == "prefill":
        return {"flops": shapes.prefill_flops(shape, row.tokens)}
    return None


def tokens_per_s(row, limits):
    """What the card allows: bandwidth over bytes, or the matmul rate of bf16 over FLOPs; None where it is unknown.

    Quantized prompts have the limit of bf16, which is what their matrices are multiplied in.
    """
    needed = work(row)
    if needed is None:
        return None
    if "bytes" in needed:
        bandwidth = rate(limits, "bandwidth_bytes_per_s")
        return bandwidth and bandwidth / needed["bytes"]
    flops = rate(limits, "matmul_flops_per_s")
    return flops and row.tokens * flops / needed["flops"]
