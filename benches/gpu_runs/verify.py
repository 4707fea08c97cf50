"""Whether the engine is right on this card: `ctxbench verify` on every fixture with reference logits.

Goes out: which were met, as plain data. The tolerances are verify's own: 1e-3 in f32, in bf16 what transformers' own
rounding leads to.
"""
import subprocess
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
DTYPES = ("f32", "bf16")


def folders():
    return sorted(path.parent for path in FIXTURES.glob("*/reference.safetensors"))


def run(program, device):
    """Runs all of them; `passed` only if there are some and each was met."""
    failed, count = {}, 0
    for folder in folders():
        for dtype in DTYPES:
            command = [str(program), "verify", str(folder), "--device", device, "--dtype", dtype]
            done = subprocess.run(command, capture_output=True, text=True)
            count += 1
            if done.returncode != 0:
                failed[f"{folder.name} {dtype}"] = (done.stdout + done.stderr)[-2000:]
    said = f"{count - len(failed)} of {count} met" + (f", not {', '.join(failed)}" if failed else "")
    return {"passed": not failed and count > 0, "said": said, "failed": failed}
