"""What is measured, and the bars that issue 6 sets on one H100: a share of the card's limit, and how many times
llama.cpp's speed.

Goes out: the rows, each one file, one kind of work and one number of tokens. Running them is not here.
"""
from dataclasses import dataclass

# Name in file names, file of the catalog, id in it.
MODELS = {"Qwen3-0.6B": ("qwen3.toml", "qwen3-0.6b"), "Qwen3-8B": ("qwen3.toml", "qwen3-8b"),
          "Qwen3.5-0.8B": ("qwen3.5.toml", "qwen3.5-0.8b"), "Qwen3.5-9B": ("qwen3.5.toml", "qwen3.5-9b"),
          "Qwen3.5-35B-A3B": ("qwen3.5.toml", "qwen3.5-35b-a3b")}
DECODE_STEPS = 64
K = 1024


@dataclass(frozen=True)
class Row:
    model: str
    type: str       # BF16 or Q4_K_M
    kind: str       # decode, prefill, or start: a process from its start to the first token, weights made on the card
    tokens: int     # behind which the steps are, or of the prompt
    of_limit: float | None = None       # at least this share of the limit
    of_llama: float | None = None       # at least so many times llama.cpp's tokens per second
    seconds: float | None = None        # at most, for `start`

    @property
    def name(self):
        return f"{self.model} {self.type} {self.kind} {self.tokens}"

    @property
    def file(self):
        return f"{self.model}-{self.type}.gguf"

    @property
    def bar(self):
        """In words."""
        parts = [f"≥ {self.of_limit:.0%} of the limit" if self.of_limit else None,
                 f"≥ {self.of_llama} × llama.cpp" if self.of_llama else None,
                 f"≤ {self.seconds:g} s" if self.seconds else None]
        return ", ".join(part for part in parts if part)


def decode(model, kind, depths, **bars):
    return [Row(model, kind, "decode", depth, **bars) for depth in depths]


def prefill(model, kind, shares):
    return [Row(model, kind, "prefill", tokens, of_limit=share) for tokens, share in shares.items()]


ROWS = [
    *decode("Qwen3-8B", "BF16", [128, 2 * K, 8 * K, 32 * K], of_limit=0.85, of_llama=1.05),
    *decode("Qwen3-8B", "BF16", [128 * K], of_limit=0.85),
    *prefill("Qwen3-8B", "BF16", {2 * K: 0.62, 8 * K: 0.68, 32 * K: 0.70}),
    *decode("Qwen3-8B", "Q4_K_M", [2 * K], of_llama=1.05),
    Row("Qwen3-8B", "Q4_K_M", "prefill", 8 * K, of_llama=1.2),
    *decode("Qwen3-0.6B", "BF16", [2 * K], of_llama=1.1),
    *decode("Qwen3.5-9B", "BF16", [2 * K, 32 * K, 128 * K], of_limit=0.85),
    *prefill("Qwen3.5-9B", "BF16", {2 * K: 0.60, 8 * K: 0.63, 32 * K: 0.63}),
    *decode("Qwen3.5-9B", "Q4_K_M", [2 * K, 32 * K], of_llama=1.3),
    *decode("Qwen3.5-0.8B", "BF16", [2 * K], of_llama=1.3),
    *decode("Qwen3.5-35B-A3B", "Q4_K_M", [0], of_llama=1.2),
    Row("Qwen3.5-35B-A3B", "Q4_K_M", "prefill", 8 * K, of_llama=2.0),
    Row("Qwen3-8B", "BF16", "start", 32, seconds=10.0),
]


def select(names):
    """Rows that one of `names` fits, in the order of ROWS; all of them if there are none.

    A name is a model, a type, a kind, a number, or several joined by a colon: decode, Qwen3-8B:BF16:prefill:2048.
    """
    def fits(row):
        parts = {row.model.lower(), row.type.lower(), row.kind, str(row.tokens)}
        return not names or any(set(name.lower().split(":")) <= parts for name in names)

    return [row for row in ROWS if fits(row)]
