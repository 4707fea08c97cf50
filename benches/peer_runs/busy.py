"""Contention on purpose: one busy process a core, and bars that say who loses less by it.

Comes in: the document of a quiet run. Goes out: its cells, each with the ratio to llama.cpp that it had there as the
bar: an engine degrades no worse than llama.cpp if its ratio does not fall.
"""
import contextlib
import dataclasses
import json
import subprocess
import sys

from .results import LLAMA, OURS

SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n for _ in range(10**6): pass\n"


def bars(path, selected):
    """The selected cells of rates that the quiet run in `path` concluded."""
    concluded = {entry["name"]: entry["row"] for entry in json.loads(path.read_text())["cells"]
                 if entry["kind"] != "start" and entry["row"]["ratio"] is not None}
    out = []
    for cell in selected:
        medians = concluded.get(cell.name, {}).get("medians", {})
        llama = [value for name, value in medians.items() if name.startswith(LLAMA)]
        if llama:
            out.append(dataclasses.replace(cell, bar=round(medians[OURS] / max(llama), 3)))
    return out


@contextlib.contextmanager
def processes(count):
    """`count` busy processes for the time of the block; they end with this process, whatever happens to it."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
