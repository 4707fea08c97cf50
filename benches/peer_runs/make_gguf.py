"""Random weights of an exact Qwen shape as a BF16 GGUF, as a safetensors folder, and what a GGUF file holds.

Runs as a script in the virtual environment that peers.py makes (numpy, gguf, safetensors). Comes in: a shape of the
catalog, as JSON, and a path. Goes out: a file with llama.cpp's names and layouts, the same for the same seed, with a
byte-level tokenizer: 256 bytes, merges of the letters a to p, two control tokens, fillers up to the vocabulary.
Quantizing is not here: llama-quantize does it.

    make_gguf.py gguf SHAPE.json OUT.gguf | folder SHAPE.json OUT.gguf FOLDER | describe FILE.gguf
"""
import json
import math
import sys
from pathlib import Path

import gguf
import numpy as np

from tensors import tensors

SEED = 20261123
ARCHITECTURES = {"qwen2": "qwen2", "qwen3": "qwen3", "qwen3_5": "qwen35"}
SMALL = gguf.GGMLQuantizationType.F32
WIDE = gguf.GGMLQuantizationType.BF16


def draw(name, size, rng):
    """A tensor in f32: nothing at a neutral value, logits with a deviation of a few units."""
    x = rng.standard_normal(size, dtype=np.float32)
    if name.endswith("norm.weight"):
        return 1 + np.float32(0.25) * x
    if name.endswith("ssm_a"):
        return -(np.float32(0.05) + np.abs(x))
    if name.endswith("ssm_dt.bias"):
        return -1 + np.float32(1.5) * x
    if name.endswith(".bias"):
        return np.float32(0.3) * x
    if "ssm_conv1d" in name:
        return np.float32(0.5) * x
    if name == "token_embd.weight":
        x *= np.float32(0.1)     # small: a tied head would see little but the id that came in
        return x
    step = any(part in name for part in ("attn_output", "ssm_out", "ffn_down"))
    x *= np.float32((0.5 if step else 1.0) / math.sqrt(size[-1]))
    return x


def add_tokenizer(writer, shape):
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    letters = [chr(97 + i) for i in range(16)]
    pairs = [(a, b) for a in letters for b in letters]
    tokens = [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))] + [a + b for a, b in pairs]
    end = len(tokens)
    fillers = shape["vocab_size"] - end - 2
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen35" if "delta_net" in shape else "qwen2")
    writer.add_token_list(tokens + ["<|endoftext|>", "<|im_end|>"] + [f"[PAD{i}]" for i in range(fillers)])
    writer.add_token_types([1] * end + [3] * 2 + [1] * fillers)    # 5, unused, takes mistral.rs minutes to load
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end + 1)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)


def header(writer, shape, name):
    writer.add_name(name)
    writer.add_block_count(shape["layers"])
    writer.add_context_length(shape["max_positions"])
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_layer_norm_rms_eps(shape["rms_norm_eps"])
    writer.add_file_type(32)     # mostly BF16
    if shape["architecture"] != "qwen2":
        writer.add_key_length(shape["head_dim"])
        writer.add_value_length(shape["head_dim"])
    if "delta_net" in shape:
        net = shape["delta_net"]
        writer.add_ssm_conv_kernel(net["conv_width"])
        writer.add_ssm_state_size(net["key_dim"])
        writer.add_ssm_group_count(net["key_heads"])
        writer.add_ssm_time_step_rank(net["value_heads"])
        writer.add_ssm_inner_size(net["value_heads"] * net["value_dim"])
        writer.add_full_attention_interval(net["attention_layers"])
        writer.add_rope_dimension_count(shape["rotary_dim"])
        writer.add_rope_dimension_sections([11, 11, 10, 0])
    add_tokenizer(writer, shape)


def write_gguf(shape, path):
    """Writes the file; quantized tensors wait in a temporary file, not in memory."""
    writer = gguf.GGUFWriter(str(path), ARCHITECTURES[shape["architecture"]], use_temp_file=True)
    header(writer, shape, path.stem)
    rng = np.random.default_rng(SEED)
    for name, size in tensors(shape).items():
        x = draw(name, size, rng)
        small = len(size) == 1 or "ssm_conv1d" in name
        kind = SMALL if small else WIDE
        writer.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(path):
    """What a token's step reads and computes: bytes and multiply-adds of the matrices."""
    found = gguf.GGUFReader(str(path)).tensors
    matrices = [t for t in found if len(t.shape) > 1 and "ssm_conv1d" not in t.name]
    by_name = {t.name: t for t in matrices}
    head = [by_name.get("output.weight", by_name["token_embd.weight"])]
    layers = [t for t in matrices if t.name.startswith("blk.")]
    return {"layer_weights": sum(int(t.n_elements) for t in layers), "head_weights": int(head[0].n_elements),
            "step_bytes": sum(int(t.n_bytes) for t in layers + head),
            "types": {kind: sum(t.tensor_type.name == kind for t in found)
                      for kind in sorted({t.tensor_type.name for t in found})}}


def main():
    what, *rest = sys.argv[1:]
    if what == "gguf":
        write_gguf(json.loads(Path(rest[0]).read_text()), Path(rest[1]))
    elif what == "folder":
        from make_folder import write_folder
        write_folder(json.loads(Path(rest[0]).read_text()), Path(rest[1]), Path(rest[2]))
    else:
        print(json.dumps(describe(Path(rest[0]))))


if __name__ == "__main__":
    main()
