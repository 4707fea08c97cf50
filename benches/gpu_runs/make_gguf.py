"""A GGUF file with random weights in the exact shape of a model, written as fast as the disk takes it.

Comes in: a model and a type of rows.py, and a path. Goes out: the file, the same for the same version of this script.
It has no tokenizer: nothing here feeds text. Blocks of random numbers are made once and written again and again, from
another place for each tensor. The longest context is that of no model, so that all depths can be asked of all.

    python3 -m gpu_runs.make_gguf Qwen3-8B BF16 FILE.gguf
"""
import random
import struct
import sys
from pathlib import Path

from peer_runs.tensors import tensors

from . import block_types as types
from .shapes import shape

SEED = 20261123
ALIGNMENT = 32
CONTEXT = 262_144
ARCHITECTURES = {"qwen3": "qwen3", "qwen3_5": "qwen35", "qwen3_5_moe": "qwen35moe"}
FILE_TYPES = {"BF16": 32, "Q4_K_M": 15}
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def entry(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", FLOAT32, value)
    if isinstance(value, list):
        return text(key) + struct.pack(f"<IIQ{len(value)}i", ARRAY, INT32, len(value), *value)
    return text(key) + struct.pack("<II", UINT32, value)


def metadata(shape, model, kind):
    """Keys and values, as llama.cpp's converter names them."""
    own = {"block_count": shape["layers"], "context_length": CONTEXT, "embedding_length": shape["hidden_size"],
           "attention.head_count": shape["heads"], "attention.head_count_kv": shape["kv_heads"],
           "attention.key_length": shape["head_dim"], "attention.value_length": shape["head_dim"],
           "attention.layer_norm_rms_epsilon": float(shape["rms_norm_eps"]),
           "rope.freq_base": float(shape["rope_theta"]), "vocab_size": shape["vocab_size"]}
    if "experts" in shape:
        experts = shape["experts"]
        own |= {"expert_count": experts["count"], "expert_used_count": experts["used"],
                "expert_feed_forward_length": experts["width"],
                "expert_shared_feed_forward_length": experts["shared_width"]}
    else:
        own["feed_forward_length"] = shape["intermediate_size"]
    if "delta_net" in shape:
        net = shape["delta_net"]
        own |= {"ssm.conv_kernel": net["conv_width"], "ssm.state_size": net["key_dim"],
                "ssm.group_count": net["key_heads"], "ssm.time_step_rank": net["value_heads"],
                "ssm.inner_size": net["value_heads"] * net["value_dim"],
                "full_attention_interval": net["attention_layers"], "rope.dimension_count": shape["rotary_dim"],
                "rope.dimension_sections": [11, 11, 10, 0]}
    architecture = ARCHITECTURES[shape["architecture"]]
    general = {"general.architecture": architecture, "general.name": f"random {model}",
               "general.file_type": FILE_TYPES[kind], "general.quantization_version": 2,
               "tokenizer.ggml.model": "none"}
    return general | {f"{architecture}.{key}": value for key, value in own.items()}


def aligned(count):
    return -(-count // ALIGNMENT) * ALIGNMENT


def header(shape, model, kind):
    """Everything before the weights."""
    entries, listed, offset = metadata(shape, model, kind), [], 0
    found = tensors(shape)
    for name, size in found.items():
        dimensions = struct.pack(f"<I{len(size)}Q", len(size), *reversed(size))
        number = types.type_of(name, size, kind, shape).number
        listed.append(text(name) + dimensions + struct.pack("<IQ", number, offset))
        offset += aligned(types.bytes_of(name, size, kind, shape))
    out = b"GGUF" + struct.pack("<IQQ", 3, len(found), len(entries))
    out += b"".join(entry(key, value) for key, value in entries.items()) + b"".join(listed)
    return out + b"\0" * (aligned(len(out)) - len(out))


def file_bytes(shape, model, kind):
    weights = (aligned(types.bytes_of(name, size, kind, shape)) for name, size in tensors(shape).items())
    return len(header(shape, model, kind)) + sum(weights)


def write(shape, model, kind, path):
    """Under another name until it is whole."""
    rng, pools = random.Random(SEED), {}
    unfinished = path.with_suffix(".part")
    with open(unfinished, "wb") as out:
        out.write(header(shape, model, kind))
        for name, size in tensors(shape).items():
            found = types.type_of(name, size, kind, shape)
            count = types.bytes_of(name, size, kind, shape)
            if found is types.F32:
                out.write(types.vector(name, count // 4, rng))
            else:
                if found not in pools:
                    pools[found] = memoryview(types.pool(found, rng))
                repeat(out, pools[found], rng.randrange(len(pools[found]) // found.bytes) * found.bytes, count)
            out.write(b"\0" * (aligned(count) - count))
    unfinished.rename(path)


def repeat(out, pool, start, count):
    """Writes `count` bytes of the pool, over and over, beginning at `start`."""
    while count:
        piece = pool[start:start + count]
        out.write(piece)
        count, start = count - len(piece), 0


if __name__ == "__main__":
    wanted, of_type, where = sys.argv[1:]
    write(shape(wanted), wanted, of_type, Path(where))
