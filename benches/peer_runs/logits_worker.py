"""llama.cpp's logits of one file and of its weights in f32, and the reference that `ctxbench verify` reads.

Runs in the virtual environment that peers.py makes, with the Python module of the llama-cpp-python source package
over the library that was built beside llama-bench. Comes in: a GGUF file, the same weights dequantized to an F32
file, and a folder. Goes out, for each prompt: FOLDER/N/reference.safetensors with the exact logits, and on stdout, as
JSON, how far llama.cpp lies from them with the whole prompt at once and token by token.

    logits_worker.py PACKAGE LIBRARIES FILE.gguf EXACT.gguf FOLDER VOCABULARY POSITIONS PROMPTS THREADS CACHE
"""
import ctypes
import importlib
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SEED = 20261123
CACHES = {"f32": 0, "f16": 1}      # ggml's numbers of the types


def bindings(package, libraries):
    """The module of C declarations alone: the package's own start needs more than this."""
    os.environ["LLAMA_CPP_LIB_PATH"] = libraries
    shell = types.ModuleType("llama_cpp")
    shell.__path__ = [str(Path(package) / "llama_cpp")]
    sys.modules["llama_cpp"] = shell
    return importlib.import_module("llama_cpp.llama_cpp")


class Model:
    """One open file."""

    def __init__(self, api, path, vocabulary, positions, threads, cache):
        self.api, self.vocabulary = api, vocabulary
        self.model = api.llama_model_load_from_file(str(path).encode(), api.llama_model_default_params())
        params = api.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = max(512, positions)
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type, params.type_k, params.type_v = 0, CACHES[cache], CACHES[cache]
        self.context = self.model and api.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"llama.cpp could not open {path}")

    def logits(self, ids, together):
        """Logits of every position: `together` ids in each call."""
        api, out = self.api, []
        api.llama_memory_clear(api.llama_get_memory(self.context), True)
        for start in range(0, len(ids), together):
            part = ids[start:start + together]
            batch = api.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i], batch.logits[i] = token, start + i, 1
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            if api.llama_decode(self.context, batch) != 0:
                sys.exit("llama.cpp could not run the prompt")
            found = api.llama_get_logits(self.context)
            out.append(np.ctypeslib.as_array(found, shape=(len(part), self.vocabulary)).copy())
            api.llama_batch_free(batch)
        return np.concatenate(out)

    def close(self):
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def mean_kl(exact, got):
    """KL(exact || got) in nats, the mean over positions; row by row, for the memory."""
    total = 0.0
    for expected, row in zip(exact, got):
        p, q = log_softmax(expected), log_softmax(row)
        total += float((np.exp(p) * (p - q)).sum())
    return total / len(exact)


def main():
    package, libraries, path, exact_path, folder = sys.argv[1:6]
    vocabulary, positions, prompts, threads = (int(x) for x in sys.argv[6:10])
    api = bindings(package, libraries)
    api.llama_log_set(silent := api.llama_log_callback(lambda level, text, data: None), None)
    rng = np.random.default_rng(SEED)
    asked = [rng.integers(2, vocabulary - 2, positions).tolist() for _ in range(prompts)]
    model = Model(api, exact_path, vocabulary, positions, threads, "f32")
    exact = [model.logits(ids, positions) for ids in asked]
    model.close()
    model = Model(api, path, vocabulary, positions, threads, sys.argv[10])
    out = []
    for number, (ids, expected) in enumerate(zip(asked, exact)):
        place = Path(folder) / str(number)
        place.mkdir(parents=True, exist_ok=True)
        save_file({"short_ids": np.array(ids, dtype=np.int64), "short_prefill": expected,
                   "gguf_q8_0_prefill": expected.copy()}, place / "reference.safetensors")
        out.append({"logit_deviation": float(expected.std()),
                    "prefill": mean_kl(expected, model.logits(ids, positions)),
                    "steps": mean_kl(expected, model.logits(ids, 1))})
    model.close()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
