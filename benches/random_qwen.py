"""Small random Qwen models: as GGUF files with llama.cpp's names and layouts, and as transformers models.

Used by llama_agreement.py. The seven architectures have hidden size 256 and rows in multiples of 256, so that
every quantization fits. Comes in: an architecture's GGUF name. Goes out: an F32 file, and the logits that
transformers computes in f32 from any file of that architecture. Running other engines is not here.
"""
import math

import gguf
import numpy as np
import torch
import transformers

VOCAB, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD = 512, 256, 4, 4, 2, 64
FEED_FORWARD, EXPERTS, USED, EXPERT, SHARED = 512, 8, 2, 256, 512
KEY_HEADS, VALUE_HEADS, DELTA, CONV = 2, 8, 64, 4      # gated delta net: four value heads to a key head
EPS, ROTATED = 1e-6, HEAD // 4
ARCHITECTURES = {"qwen2": "Qwen2", "qwen2moe": "Qwen2Moe", "qwen3": "Qwen3", "qwen3moe": "Qwen3Moe",
                 "qwen3next": "Qwen3Next", "qwen35": "Qwen3_5", "qwen35moe": "Qwen3_5Moe"}
HYBRID = ("qwen3next", "qwen35", "qwen35moe")
WIDE = (2 * KEY_HEADS + VALUE_HEADS) * DELTA


def attention(arch):
    gates = 2 if arch in HYBRID else 1
    shapes = {"attn_q.weight": (HEADS * HEAD * gates, HIDDEN), "attn_k.weight": (KV_HEADS * HEAD, HIDDEN),
              "attn_v.weight": (KV_HEADS * HEAD, HIDDEN), "attn_output.weight": (HIDDEN, HEADS * HEAD)}
    if arch.startswith("qwen2"):
        return shapes | {f"attn_{x}.bias": shapes[f"attn_{x}.weight"][:1] for x in "qkv"}
    return shapes | {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}


def delta_net(arch):
    small = {"ssm_ba.weight": (2 * VALUE_HEADS, HIDDEN)}
    if arch != "qwen3next":
        small = {"ssm_alpha.weight": (VALUE_HEADS, HIDDEN), "ssm_beta.weight": (VALUE_HEADS, HIDDEN)}
    return small | {"attn_qkv.weight": (WIDE, HIDDEN), "attn_gate.weight": (VALUE_HEADS * DELTA, HIDDEN),
                    "ssm_conv1d.weight": (WIDE, CONV), "ssm_a": (VALUE_HEADS,), "ssm_dt.bias": (VALUE_HEADS,),
                    "ssm_norm.weight": (DELTA,), "ssm_out.weight": (HIDDEN, VALUE_HEADS * DELTA)}


def feed_forward(arch):
    def gated(width, suffix="", lead=()):
        return {f"ffn_gate{suffix}.weight": (*lead, width, HIDDEN), f"ffn_up{suffix}.weight": (*lead, width, HIDDEN),
                f"ffn_down{suffix}.weight": (*lead, HIDDEN, width)}

    if "moe" not in arch and arch != "qwen3next":
        return gated(FEED_FORWARD)
    shapes = {"ffn_gate_inp.weight": (EXPERTS, HIDDEN)} | gated(EXPERT, "_exps", (EXPERTS,))
    if arch == "qwen3moe":
        return shapes
    return shapes | {"ffn_gate_inp_shexp.weight": (HIDDEN,)} | gated(SHARED, "_shexp")


def shapes(arch):
    """Every tensor of the file and its shape."""
    out = {"token_embd.weight": (VOCAB, HIDDEN), "output_norm.weight": (HIDDEN,)}
    if "ffn_gate_inp.weight" in feed_forward(arch):
        out["output.weight"] = (VOCAB, HIDDEN)
    second = "post_attention_norm.weight" if arch in HYBRID else "ffn_norm.weight"
    for i in range(LAYERS):
        mixer = delta_net(arch) if arch in HYBRID and i % 4 != 3 else attention(arch)
        block = {"attn_norm.weight": (HIDDEN,), second: (HIDDEN,)} | mixer | feed_forward(arch)
        out |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    return out


def draw(name, shape, tied, rng):
    """A tensor as the file holds it: nothing at a neutral value, logits with a deviation of 1 to 4."""
    x = rng.standard_normal(shape)
    if name.endswith("norm.weight"):
        x = 1 + 0.25 * x
    elif name.endswith("ssm_a"):
        x = -(0.05 + 1.5 * rng.random(shape))
    elif name.endswith("ssm_dt.bias"):
        x = -1 + 1.5 * x
    elif name.endswith(".bias"):
        x = 0.3 * x
    elif "ssm_conv1d" in name:
        x = 0.5 * x
    elif name == "token_embd.weight":
        x = (0.1 if tied else 1.0) * x   # small: a tied head would see little but the id that came in
    else:
        small = any(part in name for part in ("attn_output", "ssm_out", "ffn_down"))    # steps on the residual stream
        gain = 0.5 if small else 2.0 if name == "output.weight" else 1.0
        x = x * (gain / math.sqrt(shape[-1]))
    return x.astype(np.float32)


def config(arch):
    rope = {"rope_type": "default", "rope_theta": 1e6}
    keys = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                num_key_value_heads=KV_HEADS, intermediate_size=FEED_FORWARD, rms_norm_eps=EPS, rope_parameters=rope,
                max_position_embeddings=4096, tie_word_embeddings="output.weight" not in shapes(arch))
    if not arch.startswith("qwen2"):
        keys["head_dim"] = HEAD
    if arch in HYBRID:
        rope["partial_rotary_factor"] = ROTATED / HEAD
        if arch != "qwen3next":
            rope |= {"mrope_interleaved": True, "mrope_section": [3, 3, 2]}
        keys |= dict(linear_num_key_heads=KEY_HEADS, linear_num_value_heads=VALUE_HEADS, linear_conv_kernel_dim=CONV,
                     linear_key_head_dim=DELTA, linear_value_head_dim=DELTA)
    if not keys["tie_word_embeddings"]:
        keys |= dict(num_experts=EXPERTS, num_experts_per_tok=USED, moe_intermediate_size=EXPERT,
                     shared_expert_intermediate_size=SHARED, norm_topk_prob=arch != "qwen2moe")
    text = "TextConfig" if arch.startswith("qwen35") else "Config"
    return getattr(transformers, ARCHITECTURES[arch] + text)(**keys)


def add_tokenizer(writer, arch):
    """256 bytes in GPT-2's alphabet, merges of two letters, two control tokens: VOCAB ids."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    letters = [chr(97 + i) for i in range(16)]
    pairs = [(a, b) for a in letters for b in letters][:VOCAB - 258]
    tokens = [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))] + [a + b for a, b in pairs]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen35" if arch.startswith("qwen35") else "qwen2")
    writer.add_token_list(tokens + ["<|endoftext|>", "<|im_end|>"])
    writer.add_token_types([1] * (VOCAB - 2) + [3] * 2)
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_eos_token_id(VOCAB - 1)
    writer.add_add_bos_token(False)


def write_f32(arch, path, rng):
    w = gguf.GGUFWriter(str(path), arch)
    w.add_name(f"random-{arch}")
    w.add_block_count(LAYERS)
    w.add_context_length(4096)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FEED_FORWARD)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_rope_freq_base(1e6)
    w.add_layer_norm_rms_eps(EPS)
    w.add_file_type(0)
    if not arch.startswith("qwen2"):
        w.add_key_length(HEAD)
        w.add_value_length(HEAD)
    tensors = shapes(arch)
    if "output.weight" in tensors:
        w.add_expert_count(EXPERTS)
        w.add_expert_used_count(USED)
        w.add_expert_feed_forward_length(EXPERT)
        if arch != "qwen3moe":
            w.add_expert_shared_feed_forward_length(SHARED)
    if arch in HYBRID:
        w.add_ssm_conv_kernel(CONV)
        w.add_ssm_state_size(DELTA)
        w.add_ssm_group_count(KEY_HEADS)
        w.add_ssm_time_step_rank(VALUE_HEADS)
        w.add_ssm_inner_size(VALUE_HEADS * DELTA)
        w.add_full_attention_interval(4)
        w.add_rope_dimension_count(ROTATED)
        if arch != "qwen3next":
            w.add_rope_dimension_sections([3, 3, 2, 0])
    add_tokenizer(w, arch)
    for name, shape in tensors.items():
        w.add_tensor(name, draw(name, shape, "output.weight" not in tensors, rng))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
         "post_attention_norm": "post_attention_layernorm", "attn_output": "self_attn.o_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_inp": "mlp.gate",
         "ffn_gate_inp_shexp": "mlp.shared_expert_gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
         "ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj",
         "attn_qkv": "linear_attn.in_proj_qkv", "attn_gate": "linear_attn.in_proj_z",
         "ssm_alpha": "linear_attn.in_proj_a", "ssm_beta": "linear_attn.in_proj_b", "ssm_ba": "linear_attn.in_proj_ba",
         "ssm_conv1d": "linear_attn.conv1d", "ssm_norm": "linear_attn.norm", "ssm_out": "linear_attn.out_proj"}


def group(x, axis, width):
    """Value heads from the file's order, where head j uses key head j % KEY_HEADS, to transformers', j // ratio."""
    shape = list(x.shape)
    split = shape[:axis] + [VALUE_HEADS // KEY_HEADS, KEY_HEADS, width] + shape[axis + 1:]
    return x.reshape(split).transpose(axis, axis + 1).reshape(shape)


def regroup(arch, name, x):
    """Undoes the order of value heads; Qwen3-Next's files keep transformers' order."""
    keys = 2 * KEY_HEADS * DELTA
    if arch not in ("qwen35", "qwen35moe"):
        return x
    if name in ("ssm_a", "ssm_dt", "ssm_alpha", "ssm_beta"):
        return group(x, 0, 1)
    if name in ("attn_qkv", "ssm_conv1d"):
        return torch.cat([x[:keys], group(x[keys:], 0, DELTA)])
    if name == "attn_gate":
        return group(x, 0, DELTA)
    return group(x, 1, DELTA) if name == "ssm_out" else x


def checkpoint_block(arch, block):
    """One layer's tensors under their checkpoint names."""
    out = {}
    block = {name: regroup(arch, name.split(".")[0], x) for name, x in block.items()}
    if "ffn_gate_exps.weight" in block:
        gate, up = block.pop("ffn_gate_exps.weight"), block.pop("ffn_up_exps.weight")
        out["mlp.experts.gate_up_proj"] = torch.cat([gate, up], 1)
        out["mlp.experts.down_proj"] = block.pop("ffn_down_exps.weight")
    if "ssm_a" in block:
        out["linear_attn.A_log"] = (-block.pop("ssm_a")).log()
        out["linear_attn.dt_bias"] = block.pop("ssm_dt.bias")
        block["ssm_conv1d.weight"] = block["ssm_conv1d.weight"].unsqueeze(1)
    if "ssm_ba.weight" in block:   # Qwen3-Next stores q, k, v and z of each key head together
        rows = [*block.pop("attn_qkv.weight").split([KEY_HEADS * DELTA] * 2 + [VALUE_HEADS * DELTA]),
                block.pop("attn_gate.weight")]
        by_head = [x.reshape(KEY_HEADS, -1, HIDDEN) for x in rows]
        out["linear_attn.in_proj_qkvz.weight"] = torch.cat(by_head, 1).reshape(-1, HIDDEN)
    if "ffn_gate_inp_shexp.weight" in block:
        block["ffn_gate_inp_shexp.weight"] = block["ffn_gate_inp_shexp.weight"].reshape(1, -1)
    for name, x in block.items():
        stem, suffix = name.split(".")
        shifted = arch in HYBRID and stem.endswith("norm") and stem != "ssm_norm"   # stored as w + 1
        out[f"{NAMES[stem]}.{suffix}"] = x - 1 if shifted else x
    return out


def exact_logits(arch, path, ids):
    """transformers in f32 with what the file holds."""
    fields = {t.name: t for t in gguf.GGUFReader(str(path)).tensors}
    wide = {name: torch.from_numpy(np.array(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32)
                                   .reshape([int(n) for n in reversed(t.shape)])) for name, t in fields.items()}
    norm = wide.pop("output_norm.weight")
    state = {"model.embed_tokens.weight": wide.pop("token_embd.weight"),
             "model.norm.weight": norm - 1 if arch in HYBRID else norm}
    state["lm_head.weight"] = wide.pop("output.weight", state["model.embed_tokens.weight"])
    for i in range(LAYERS):
        start = f"blk.{i}."
        block = {name.removeprefix(start): x for name, x in wide.items() if name.startswith(start)}
        state |= {f"model.layers.{i}.{name}": x for name, x in checkpoint_block(arch, block).items()}
    conf = config(arch)
    conf._attn_implementation = "eager"
    model = getattr(transformers, ARCHITECTURES[arch] + "ForCausalLM")(conf).float().eval()
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float()
