"""The files of the cells: made from random weights of the catalog's shapes, or taken where they lie already.

Comes in: a folder. A file that is in it under the expected name (Qwen3-0.6B-Q8_0.gguf) is used as it is, so real
weights can be put there. Goes out: paths, and what a step reads and computes.
"""
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from .cells import FOLDER, MODELS

MAKER = Path(__file__).with_name("make_gguf.py")
CATALOG = Path(__file__).parents[2] / "models"


class Files:
    def __init__(self, folder, peers):
        self.place, self.peers = folder, peers
        folder.mkdir(parents=True, exist_ok=True)
        self.described = {}

    def shape(self, model):
        catalog, wanted = MODELS[model]
        entries = tomllib.loads((CATALOG / catalog).read_text())["model"]
        return next(entry["shape"] for entry in entries if entry["id"] == wanted)

    def base(self, model):
        """The file in BF16, of which all others are made."""
        path = self.place / f"{model}-BF16.gguf"
        if not path.exists():
            self.make(path, "gguf", self.shape_file(model))
        return path

    def gguf(self, cell):
        kind = "BF16" if cell.type == FOLDER else cell.type
        path = self.place / f"{cell.model}-{kind}.gguf"
        if kind == "BF16":
            return self.base(cell.model)
        if path.exists():
            return path
        unfinished = path.with_suffix(".part")
        step([self.peers.quantize, self.base(cell.model), unfinished, kind, 2], f"making {path.name}")
        unfinished.rename(path)
        return path

    def folder(self, cell):
        """config.json, tokenizer.json and model.safetensors with the weights of the BF16 file."""
        path = self.place / f"{cell.model}-bf16"
        if not (path / "model.safetensors").exists():
            path.mkdir(exist_ok=True)
            self.make(path / "model.safetensors", "folder", self.shape_file(cell.model), self.base(cell.model))
        return path

    def shape_file(self, model):
        path = self.place / f"{model}.shape.json"
        path.write_text(json.dumps(self.shape(model)))
        return path

    def make(self, path, what, *sources):
        unfinished = path.with_suffix(".part")
        step([self.peers.python, MAKER, what, *sources, unfinished], f"making {path.name}")
        unfinished.rename(path)

    def describe(self, cell):
        """Bytes that a decode step reads, and weights of the layers and the head."""
        path = self.gguf(cell)
        if path not in self.described:
            done = subprocess.run([str(self.peers.python), str(MAKER), "describe", str(path)],
                                  capture_output=True, text=True, check=True)
            self.described[path] = json.loads(done.stdout)
        return self.described[path]


def step(command, what):
    """Runs one step; `what` is for the user."""
    command = [str(x) for x in command]
    print(what, file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed\n{(done.stderr or done.stdout)[-1500:]}")
