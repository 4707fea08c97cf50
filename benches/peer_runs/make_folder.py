"""A checkpoint folder with the weights of a BF16 GGUF: config.json, tokenizer.json, model.safetensors.

Comes in: a Qwen3 shape of the catalog and the GGUF file. Goes out: the same numbers under their checkpoint names,
for engines that read safetensors. Qwen2.5 and Qwen3.5 are not here: no cell needs them.
"""
import json
import struct
from pathlib import Path

import gguf
import numpy as np

NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
ENDS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def checkpoint_name(name):
    if name in ENDS:
        return ENDS[name]
    _, layer, stem, _ = name.split(".")
    return f"model.layers.{layer}.{NAMES[stem]}.weight"


def as_bf16(tensor):
    """Bytes of the tensor in BF16; the norms, f32 in GGUF, are rounded as in released checkpoints."""
    if tensor.tensor_type == gguf.GGMLQuantizationType.BF16:
        return np.ascontiguousarray(tensor.data).tobytes()
    return gguf.quants.quantize(np.array(tensor.data, dtype=np.float32).reshape(1, -1),
                                gguf.GGMLQuantizationType.BF16).tobytes()


def write_safetensors(tensors, path):
    entries, offset = {}, 0
    for tensor in tensors:
        size = 2 * int(tensor.n_elements)
        entries[checkpoint_name(tensor.name)] = {"dtype": "BF16", "shape": [int(n) for n in reversed(tensor.shape)],
                                                 "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            out.write(as_bf16(tensor))


def config(shape):
    return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
            "vocab_size": shape["vocab_size"], "hidden_size": shape["hidden_size"],
            "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
            "num_key_value_heads": shape["kv_heads"], "head_dim": shape["head_dim"],
            "intermediate_size": shape["intermediate_size"], "rope_theta": shape["rope_theta"], "rope_scaling": None,
            "rms_norm_eps": shape["rms_norm_eps"], "max_position_embeddings": shape["max_positions"],
            "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0,
            "use_sliding_window": False, "sliding_window": None, "max_window_layers": shape["layers"],
            "torch_dtype": "bfloat16", "eos_token_id": 513, "bos_token_id": 512}


def tokenizer(reader):
    """The file's tokens and merges as a tokenizer.json."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [pair.split(" ") for pair in reader.fields["tokenizer.ggml.merges"].contents()]
    special = [{"id": tokens.index(text), "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for text in ("<|endoftext|>", "<|im_end|>")]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    return {"version": "1.0", "added_tokens": special, "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": level,
            "decoder": level, "model": {"type": "BPE", "vocab": {text: i for i, text in enumerate(tokens)},
                                        "merges": merges, "byte_fallback": False, "ignore_merges": False}}


def write_folder(shape, source, weights):
    """Writes `weights` (a .safetensors file) and what belongs beside it."""
    assert shape["architecture"] == "qwen3", "only Qwen3 has a folder cell"
    reader = gguf.GGUFReader(str(source))
    folder = Path(weights).parent
    (folder / "config.json").write_text(json.dumps(config(shape), indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(reader)))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
         "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}"}))
    write_safetensors(reader.tensors, weights)
