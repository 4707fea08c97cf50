#!/usr/bin/env python3
"""ctxbench against llama.cpp, on the same GGUF files: the numbers of docs/agreement.md.

    python benches/llama_agreement.py OUT [architecture ...]        (none named: all seven)
        --ctxbench PATH     binary to hold against llama.cpp (default: target/debug/ctxbench)
        --quants A,B,...    file types (default: all of QUANTS)

Needs Python 3.10 or later with torch (CPU), transformers 5.2 or later, gguf, safetensors, numpy and
llama-cpp-python 0.3.36 (which compiles llama.cpp). Runs on the CPU and downloads nothing.

For each architecture it draws one small model (hidden size 256, so that K-quants fit) and writes it as F32
with llama.cpp's names and layouts and a byte-level tokenizer; llama.cpp's own quantizer makes the other
types. For each file three implementations compute the logits of the same 200 ids:

    exact      transformers in f32, with the file's weights dequantized
    llama.cpp  through its C interface, f32 cache, flash attention off
    ctxbench   `ctxbench verify`, which compares with either of the others

The architectures' conversions are checked in passing: `exact` undoes them, llama.cpp and ctxbench do what they do.
Prints one row of a Markdown table for each file; OUT keeps files and logits.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import llama_cpp
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from random_qwen import ARCHITECTURES, VOCAB, exact_logits, write_f32

POSITIONS, THREADS, SEED = 200, 1, 20261123
# llama.cpp's number of the file type; None: the file as drawn.
QUANTS = {"F32": None, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}
COLUMNS = ["architecture", "file", "top-1 the same", "mean KL", "max KL", "max logit difference",
           "llama.cpp from exact: mean KL", "ctxbench from exact: mean KL", "top-1: llama.cpp, ctxbench as exact"]


def quantize(source, target, file_type):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = file_type, THREADS
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) != 0:
        sys.exit(f"llama.cpp could not quantize {source} to file type {file_type}")


def llama_logits(path, ids):
    """llama.cpp: the prompt in one batch, logits of every position."""
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = THREADS
    params.flash_attn_type, params.type_k, params.type_v = 0, 0, 0      # off, F32, F32
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        sys.exit(f"llama.cpp could not open {path}")
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    if llama_cpp.llama_decode(context, batch) != 0:
        sys.exit(f"llama.cpp could not run {path}")
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), shape=(len(ids), VOCAB)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return torch.from_numpy(logits)


def compare(expected, got):
    """KL(expected | got) in nats and the share of positions with the same most likely id."""
    p, q = (x.double().log_softmax(-1) for x in (expected, got))
    kl = (p.exp() * (p - q)).sum(-1)
    same = (expected.argmax(-1) == got.argmax(-1)).double().mean()
    return {"mean_kl": float(kl.mean()), "max_kl": float(kl.max()), "top1_share": float(same),
            "max_abs_diff": float((expected - got).abs().max())}


def ctxbench(binary, folder, ids, logits):
    """Row `prefill` of `ctxbench verify` for the file in `folder`, held against `logits`."""
    logits = logits.contiguous()
    save_file({"short_ids": torch.tensor(ids), "short_prefill": logits, "gguf_q8_0_prefill": logits.clone()},
              folder / "reference.safetensors")
    command = [binary, "verify", str(folder), "--format", "json", "--threads", str(THREADS)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):       # 1: beyond verify's own tolerance, which is not the question here
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return next(row for row in json.loads(done.stdout) if row["path"] == "prefill")


def measure(binary, arch, name, folder, ids):
    """All three on one file; the distances between them."""
    path = folder / "model.gguf"
    exact, llama = exact_logits(arch, path, ids), llama_logits(path, ids)
    result = {"architecture": arch, "file": name, "logit_std": float(exact.std()),
              "exact_llama": compare(exact, llama)}
    result["exact_ctxbench"] = ctxbench(binary, folder, ids, exact)
    result["llama_ctxbench"] = ctxbench(binary, folder, ids, llama)
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def row(result):
    pair, llama, ours = (result[key] for key in ("llama_ctxbench", "exact_llama", "exact_ctxbench"))
    cells = [result["architecture"], result["file"], f"{pair['top1_share']:.1%}", f"{pair['mean_kl']:.1e}",
             f"{pair['max_kl']:.1e}", f"{pair['max_abs_diff']:.1e}", f"{llama['mean_kl']:.1e}",
             f"{ours['mean_kl']:.1e}", f"{llama['top1_share']:.1%}, {ours['top1_share']:.1%}"]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("architectures", nargs="*")
    parser.add_argument("--ctxbench", default="target/debug/ctxbench")
    parser.add_argument("--quants", default=",".join(QUANTS), type=lambda text: text.split(","))
    args = parser.parse_args()
    unknown = [name for name in args.architectures if name not in ARCHITECTURES] + \
        [name for name in args.quants if name not in QUANTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(ARCHITECTURES)} and {', '.join(QUANTS)}")
    torch.set_num_threads(THREADS)
    transformers.logging.set_verbosity_error()
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, None)
    print(f"llama-cpp-python {llama_cpp.__version__}, transformers {transformers.__version__}", file=sys.stderr)
    print(f"| {' | '.join(COLUMNS)} |\n|:---|:---|{'---:|' * (len(COLUMNS) - 2)}")
    ids = np.random.default_rng(SEED).integers(2, VOCAB - 2, POSITIONS).tolist()
    for arch in args.architectures or ARCHITECTURES:
        source = args.out / arch / "F32" / "model.gguf"
        source.parent.mkdir(parents=True, exist_ok=True)
        write_f32(arch, source, np.random.default_rng(SEED))
        for name in args.quants:
            folder = args.out / arch / name
            folder.mkdir(exist_ok=True)
            if QUANTS[name] is not None:
                quantize(source, folder / "model.gguf", QUANTS[name])
            print(row(measure(args.ctxbench, arch, name, folder, ids)), flush=True)


if __name__ == "__main__":
    main()
