"""What a step reads and a prompt computes, counted from the shape alone.

Comes in: a shape of the catalog, and the type of each tensor. Goes out: bytes and FLOPs that no engine can do
without: no norms, activations or gates, nothing twice. Rates are not here.
"""
import math
import tomllib
from pathlib import Path

from peer_runs.tensors import channels, has_attention, tensors

from .rows import MODELS
from .block_types import bytes_of

CATALOG = Path(__file__).parents[2] / "models"
KV_BYTES = 2        # f16 or bf16
STATE_BYTES = 4     # f32


def shape(model):
    file, wanted = MODELS[model]
    entries = tomllib.loads((CATALOG / file).read_text())["model"]
    return next(entry["shape"] for entry in entries if entry["id"] == wanted)


def attention_layers(shape):
    return sum(has_attention(shape, layer) for layer in range(shape["layers"]))


def share(name, shape):
    """Of a tensor that one token is multiplied with: some of the experts, none of an embedding that is no head."""
    if name == "token_embd.weight":
        return 1.0 if shape["tie_embeddings"] else 0.0
    if "_exps." in name:
        return shape["experts"]["used"] / shape["experts"]["count"]
    return 1.0


def matrices(shape):
    return {name: size for name, size in tensors(shape).items() if len(size) > 1}


def weight_bytes(shape, kind):
    """Of all matrices that one token needs, the head included, as the file stores them."""
    return sum(bytes_of(name, size, kind, shape) * share(name, shape) for name, size in matrices(shape).items())


def kv_bytes(shape, depth):
    return attention_layers(shape) * 2 * shape["kv_heads"] * shape["head_dim"] * KV_BYTES * depth


def state_bytes(shape):
    """Of the gated delta nets: a matrix for each value head, and the inputs that the convolution still sees."""
    if "delta_net" not in shape:
        return 0
    net = shape["delta_net"]
    memory = net["value_heads"] * net["key_dim"] * net["value_dim"]
    seen = (net["conv_width"] - 1) * channels(net)
    return (shape["layers"] - attention_layers(shape)) * (memory + seen) * STATE_BYTES


def step_bytes(shape, kind, depth):
    """Of one decode step: weights and cache read, the state read and written."""
    return weight_bytes(shape, kind) + kv_bytes(shape, depth) + 2 * state_bytes(shape)


def prefill_flops(shape, tokens):
    """2 for each weight and token (the head not counted), half the square of attention, the delta rule token by
    token: key times state, the correction into it, query times state."""
    layers = {name: size for name, size in matrices(shape).items()
              if name.startswith("blk.") and "ssm_conv1d" not in name}
    weights = sum(math.prod(size) * share(name, shape) for name, size in layers.items())
    flops = 2 * weights * tokens + 2 * attention_layers(shape) * shape["heads"] * shape["head_dim"] * tokens ** 2
    if "delta_net" not in shape:
        return flops
    net = shape["delta_net"]
    rule = 7 * net["value_heads"] * net["key_dim"] * net["value_dim"]
    return flops + (shape["layers"] - attention_layers(shape)) * rule * tokens
