"""The tensors of a GGUF file of a Qwen model, by llama.cpp's names, in the order in which they are written.

Comes in: a shape of the catalog. Goes out: names and sizes, rows first. What is in them, and in which type, is not
here.
"""

HYBRIDS = ("qwen3_5", "qwen3_5_moe")


def attention(shape):
    heads, kv, head, hidden = (shape[key] for key in ("heads", "kv_heads", "head_dim", "hidden_size"))
    gates = 2 if shape["architecture"] in HYBRIDS else 1
    out = {"attn_q.weight": (heads * head * gates, hidden), "attn_k.weight": (kv * head, hidden),
           "attn_v.weight": (kv * head, hidden), "attn_output.weight": (hidden, heads * head)}
    if shape["architecture"] == "qwen2":
        return out | {f"attn_{x}.bias": out[f"attn_{x}.weight"][:1] for x in "qkv"}
    return out | {"attn_q_norm.weight": (head,), "attn_k_norm.weight": (head,)}


def delta_net(shape):
    net, hidden = shape["delta_net"], shape["hidden_size"]
    values = net["value_heads"] * net["value_dim"]
    wide = channels(net)
    return {"attn_qkv.weight": (wide, hidden), "attn_gate.weight": (values, hidden),
            "ssm_alpha.weight": (net["value_heads"], hidden), "ssm_beta.weight": (net["value_heads"], hidden),
            "ssm_conv1d.weight": (wide, net["conv_width"]), "ssm_a": (net["value_heads"],),
            "ssm_dt.bias": (net["value_heads"],), "ssm_norm.weight": (net["value_dim"],),
            "ssm_out.weight": (hidden, values)}


def channels(net):
    """Of a gated delta net's convolution: queries, keys and values."""
    return 2 * net["key_heads"] * net["key_dim"] + net["value_heads"] * net["value_dim"]


def feed_forward(shape):
    hidden = shape["hidden_size"]
    if "experts" not in shape:
        inner = shape["intermediate_size"]
        return {"ffn_gate.weight": (inner, hidden), "ffn_up.weight": (inner, hidden),
                "ffn_down.weight": (hidden, inner)}
    experts = shape["experts"]
    count, inner, shared = experts["count"], experts["width"], experts["shared_width"]
    return {"ffn_gate_inp.weight": (count, hidden), "ffn_gate_exps.weight": (count, inner, hidden),
            "ffn_up_exps.weight": (count, inner, hidden), "ffn_down_exps.weight": (count, hidden, inner),
            "ffn_gate_inp_shexp.weight": (hidden,), "ffn_gate_shexp.weight": (shared, hidden),
            "ffn_up_shexp.weight": (shared, hidden), "ffn_down_shexp.weight": (hidden, shared)}


def has_attention(shape, layer):
    """Every layer, or one in some of a hybrid."""
    if "delta_net" not in shape:
        return True
    interval = shape["delta_net"]["attention_layers"]
    return layer % interval == interval - 1


def tensors(shape):
    """Every tensor of the file and its size."""
    hidden = shape["hidden_size"]
    out = {"token_embd.weight": (shape["vocab_size"], hidden), "output_norm.weight": (hidden,)}
    if not shape["tie_embeddings"]:
        out["output.weight"] = (shape["vocab_size"], hidden)
    second = "post_attention_norm.weight" if "delta_net" in shape else "ffn_norm.weight"
    for i in range(shape["layers"]):
        block = {"attn_norm.weight": (hidden,), second: (hidden,)} | feed_forward(shape)
        block |= attention(shape) if has_attention(shape, i) else delta_net(shape)
        out |= {f"blk.{i}.{name}": size for name, size in block.items()}
    return out
