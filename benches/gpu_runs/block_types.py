"""The types of a file's tensors, and random numbers in them.

Comes in: a tensor's name and size, and the type of the file. Goes out: its type, its bytes, and pools of random
blocks. `Q4_K_M` gives each tensor the type that llama-quantize gives it for these architectures. Python alone:
a machine with a card may have no package for it.
"""
import array
import math
import struct
import sys
from dataclasses import dataclass

DEVIATION = 0.02
POOL_NUMBERS = 1 << 21      # for 16 bits: written again and again, which is random enough for a matrix product
POOL_BLOCKS = 1 << 15
LONGEST_DRAWN = (1 << 16) + 1


@dataclass(frozen=True)
class Type:
    name: str
    number: int     # in GGUF
    weights: int    # of a block
    bytes: int      # of a block


F32 = Type("F32", 0, 1, 4)
Q4_K = Type("Q4_K", 12, 256, 144)
Q6_K = Type("Q6_K", 14, 256, 210)
BF16 = Type("BF16", 30, 1, 2)


def type_of(name, size, kind, shape):
    if len(size) == 1 or "ssm_conv1d" in name or "ffn_gate_inp." in name:
        return F32
    if kind == "BF16":
        return BF16
    if name == "output.weight" or (name == "token_embd.weight" and shape["tie_embeddings"]):
        return Q6_K
    exact = any(part in name for part in ("attn_v.", "attn_qkv.", "ffn_down"))
    return Q6_K if exact and gets_more_bits(int(name.split(".")[1]), shape["layers"]) else Q4_K


def gets_more_bits(layer, layers):
    """The first and last eighth of the layers, and every third between them."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def bytes_of(name, size, kind, shape):
    found = type_of(name, size, kind, shape)
    return math.prod(size) // found.weights * found.bytes


def pool(found, rng):
    """Many random blocks of a type, with a deviation near DEVIATION."""
    return {BF16: bf16, Q4_K: q4_k, Q6_K: q6_k}[found](rng)


def bf16(rng):
    wide = array.array("f", (rng.gauss(0.0, DEVIATION) for _ in range(POOL_NUMBERS)))
    if sys.byteorder == "big":
        wide.byteswap()
    bytes_, out = wide.tobytes(), bytearray(2 * POOL_NUMBERS)
    out[0::2], out[1::2] = bytes_[2::4], bytes_[3::4]
    return bytes(out)


def q4_k(rng):
    """Scale and smallest number of 256 weights in f16, then 6-bit scales and levels of any bits."""
    blocks = bytearray(rng.randbytes(POOL_BLOCKS * Q4_K.bytes))
    set_f16(blocks, Q4_K, 0, 1.2e-4)
    set_f16(blocks, Q4_K, 2, 9e-4)
    return bytes(blocks)


def q6_k(rng):
    """Levels of any bits, 16 scales of a byte around 0, their scale in f16."""
    blocks = bytearray(rng.randbytes(POOL_BLOCKS * Q6_K.bytes))
    for i in range(16):
        blocks[192 + i::Q6_K.bytes] = bytes(rng.randrange(-64, 64) & 255 for _ in range(POOL_BLOCKS))
    set_f16(blocks, Q6_K, 208, 3e-5)
    return bytes(blocks)


def set_f16(blocks, found, offset, value):
    """The same number at `offset` of each block."""
    for i, byte in enumerate(struct.pack("<e", value)):
        blocks[offset + i::found.bytes] = bytes([byte]) * POOL_BLOCKS


def vector(name, count, rng):
    """A tensor in f32: decays negative, norms near 1, steps of gates as softplus of a small number. Long ones
    repeat."""
    drawn = min(count, LONGEST_DRAWN)
    if name.endswith("ssm_a"):
        numbers = (-rng.uniform(0.5, 16.0) for _ in range(drawn))
    elif name.endswith("ssm_dt.bias"):
        steps = (math.exp(rng.uniform(math.log(1e-3), math.log(0.1))) for _ in range(drawn))
        numbers = (math.log(math.expm1(step)) for step in steps)
    elif "conv1d" in name:
        numbers = (rng.gauss(0.0, 0.3) for _ in range(drawn))
    elif "gate_inp" in name:
        numbers = (rng.gauss(0.0, DEVIATION) for _ in range(drawn))
    else:
        numbers = (rng.gauss(1.0, 0.05) for _ in range(drawn))
    out = array.array("f", numbers)
    if sys.byteorder == "big":
        out.byteswap()
    return (out.tobytes() * (count // drawn + 1))[:4 * count]
