"""The floor of a cell: the tokens per second that the machine's measured limits allow, and no software exceeds.

Decode reads the weights of a step and the cache once, at the bandwidth that `ctxbench doctor` measured; prefill
computes its multiply-adds at the matmul rate of its type, attention and gated delta nets in f32. Measured in the same
run as what is held against it. What engines reach is not here.
"""
import json

from . import quiet
from .cells import FOLDER

FLOATS = ("BF16", "F16", FOLDER)
# Names that doctor gives the rates, the best suited first; the one that was used is recorded.
RATES = {"quantized": ("int8", "q8_0"), "float": ("bf16", "f32"), "f32": ("f32",)}
CACHE_BYTES = 2      # f16
CHUNK = 64           # tokens of a gated delta net's chunk


def measure(program):
    """What doctor says of the machine, and the load while it looked."""
    ran = quiet.run([program, "doctor", "--offline", "--format", "json"])
    box = json.loads(ran.out)["environment"]
    return {"bandwidth_bytes_per_s": box["memory_bandwidth_bytes_per_s"], "flops_per_s": box["matmul_flops_per_s"],
            "others_cores": ran.others_cores}


def rate(limits, what):
    name = next((name for name in RATES[what] if name in limits["flops_per_s"]), None)
    return name, limits["flops_per_s"].get(name)


def attention_layers(shape):
    return shape["layers"] // shape["delta_net"]["attention_layers"] if "delta_net" in shape else shape["layers"]


def cache_bytes(shape, depth):
    """Read by a step at `depth`: keys and values, and the state of gated delta nets, which is written too."""
    kv = attention_layers(shape) * 2 * shape["kv_heads"] * shape["head_dim"] * CACHE_BYTES * depth
    if "delta_net" not in shape:
        return kv
    net = shape["delta_net"]
    state = net["value_heads"] * net["key_dim"] * net["value_dim"] * 4
    return kv + 2 * state * (shape["layers"] - attention_layers(shape))


def mixing_flops(shape, tokens):
    """Of causal attention over `tokens`, and of gated delta nets in chunks."""
    flops = 2 * attention_layers(shape) * shape["heads"] * shape["head_dim"] * tokens ** 2
    if "delta_net" not in shape:
        return flops
    net = shape["delta_net"]
    key, value = net["key_dim"], net["value_dim"]
    chunk = 4 * CHUNK * key + CHUNK * (key + value) + 2 * CHUNK * value + 6 * key * value
    return flops + chunk * net["value_heads"] * tokens * (shape["layers"] - attention_layers(shape))


def floor(cell, shape, described, limits):
    """Tokens per second that the limits allow, with the names of the rates; None where a limit is missing."""
    if cell.kind == "start":
        return None
    if cell.kind == "decode":
        depth = cell.tokens + 16      # the middle of the 32 steps
        step = described["step_bytes"] + cache_bytes(shape, depth)
        bandwidth = limits["bandwidth_bytes_per_s"]
        return bandwidth and {"tokens_per_s": bandwidth / step, "by": ["bandwidth"]}
    product, product_rate = rate(limits, "float" if cell.type in FLOATS else "quantized")
    mixing, mixing_rate = rate(limits, "f32")
    if not product_rate or not mixing_rate:
        return None
    products = 2 * (described["layer_weights"] * cell.tokens + described["head_weights"])
    seconds = products / product_rate + mixing_flops(shape, cell.tokens) / mixing_rate
    return {"tokens_per_s": cell.tokens / seconds, "by": [product, mixing]}
