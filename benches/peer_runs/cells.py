"""What is measured, and the bars that issue 5 sets: ratios of ctxbench to the better of its peers.

Goes out: the cells, each one file, one kind of work and one number of tokens. Running them is not here.
"""
from dataclasses import dataclass

MODELS = {"Qwen3-0.6B": ("qwen3.toml", "qwen3-0.6b"), "Qwen2.5-0.5B": ("qwen2.5.toml", "qwen2.5-0.5b-instruct"),
          "Qwen3.5-0.8B": ("qwen3.5.toml", "qwen3.5-0.8b")}
FOLDER = "bf16-safetensors"      # the one type that is no GGUF for engines that read safetensors
FIRST_TOKEN_TOKENS = 32
FIRST_TOKEN_SLACK_S = 0.5
MEMORY_BAR = 1.05
DECODE_STEPS = 32


@dataclass(frozen=True)
class Cell:
    model: str
    type: str
    kind: str       # prefill, decode, or start: a process from its start to the first token of a prompt
    tokens: int     # of the prompt, or the depth
    bar: float | None = None

    @property
    def name(self):
        return f"{self.model} {self.type} {self.kind} {self.tokens}"

    @property
    def samples(self):
        """Taken at each visit; the visit counts as their median."""
        if self.kind == "start":
            return 1
        if self.kind == "decode":
            return 3 if self.tokens < 4096 else 2
        return {128: 3, 512: 2}.get(self.tokens, 1)

    @property
    def warm_up_tokens(self):
        """Long prompts are their own warm-up but for the weights, which a short one touches."""
        return self.tokens if self.tokens <= 512 else 32

    def rounds(self, asked):
        """Visits that take minutes are made less often."""
        long = self.tokens >= 4096 or (self.kind == "prefill" and self.tokens >= 2048)
        return max(3, asked // 2) if long and asked > 3 else asked


def rows(model, kind, bars, *types):
    return [Cell(model, name, kind, tokens, bar) for name in types for tokens, bar in bars.items()]


CELLS = [
    *rows("Qwen3-0.6B", "prefill", {128: 1.5, 512: 1.5, 2048: 1.5, 4096: 1.5}, "Q8_0"),
    *rows("Qwen3-0.6B", "decode", {0: 1.2, 512: 1.3, 4096: 1.6}, "Q8_0"),
    *rows("Qwen3-0.6B", "start", {FIRST_TOKEN_TOKENS: None}, "Q8_0", "Q4_K_M"),
    *rows("Qwen3-0.6B", "prefill", {128: 1.3, 512: 1.3}, "Q4_K_M"),
    *rows("Qwen3-0.6B", "prefill", {512: 1.2}, "Q6_K", "Q4_0"),
    *rows("Qwen3-0.6B", "decode", {512: 1.25}, "Q4_K_M", "Q6_K", "Q4_0"),
    *rows("Qwen3-0.6B", "prefill", {128: 1.1, 512: 1.1}, "BF16", "F16", FOLDER),
    *rows("Qwen3-0.6B", "decode", {512: 1.3}, "BF16", "F16", FOLDER),
    *rows("Qwen2.5-0.5B", "prefill", {512: 1.4}, "Q8_0"),
    *rows("Qwen2.5-0.5B", "decode", {0: 1.25, 512: 1.25}, "Q8_0"),
    *rows("Qwen3.5-0.8B", "prefill", {512: 1.5, 4096: 1.5}, "Q8_0"),
    *rows("Qwen3.5-0.8B", "decode", {0: 1.2, 4096: 1.3, 16384: 1.5}, "Q8_0"),
    *rows("Qwen3.5-0.8B", "prefill", {512: 1.3, 4096: 1.5}, "Q4_K_M"),
    *rows("Qwen3.5-0.8B", "decode", {0: 1.2, 4096: 1.4, 16384: 1.6}, "Q4_K_M"),
]


def select(only, names):
    """Cells of the types in `only` whose kind and tokens match one of `names`; empty lists select everything.

    A name is a model, a kind, a number, or several joined by a colon: prefill, prefill:512, Qwen3.5-0.8B:decode:0.
    """
    def matches(cell):
        parts = {cell.model.lower(), cell.kind, str(cell.tokens)}
        by_name = not names or any(set(name.lower().split(":")) <= parts for name in names)
        return by_name and (not only or cell.type.lower() in [x.lower() for x in only])

    return sorted((cell for cell in CELLS if matches(cell)),
                  key=lambda c: (list(MODELS).index(c.model), [x.type for x in CELLS].index(c.type)))
