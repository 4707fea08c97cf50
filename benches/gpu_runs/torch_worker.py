"""One visit to transformers on PyTorch, random weights made on the card. A script: engines.py and limits.py start it.

    torch_worker.py limits
    torch_worker.py prefill|decode SHAPE.json-text TOKENS SAMPLES STEPS eager|graph|compile

Prints one line of JSON: the rates of the card, or tokens per second, one number a sample. A prompt's time ends with
its first id on the host, a step's with its id there. `graph` is one step with a static cache, captured once and
replayed.
"""
import json
import statistics
import sys
import time

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHUNK = 8192        # of a prompt that only fills the cache
WARM_UP = 3


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def seconds(work, count=20):
    """The median of `count` runs between two events of the card."""
    for _ in range(WARM_UP):
        work()
    taken = []
    for _ in range(count):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        synchronize()
        taken.append(start.elapsed_time(end) / 1000)
    return statistics.median(taken)


def limits():
    source = torch.empty(2 << 30, dtype=torch.uint8, device=DEVICE).random_(0, 255)
    target = torch.empty_like(source)
    copied = 2 * source.numel() / seconds(lambda: target.copy_(source))
    del source, target
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return {"bandwidth_bytes_per_s": copied, "matmul_flops_per_s": 2 * 8192 ** 3 / seconds(lambda: a @ b)}


def configuration(shape, positions):
    """transformers' own, of the catalog's shape."""
    from transformers import AutoConfig
    rope = {"rope_type": "default", "rope_theta": shape["rope_theta"]}
    options = {"vocab_size": shape["vocab_size"], "hidden_size": shape["hidden_size"], "head_dim": shape["head_dim"],
               "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
               "num_key_value_heads": shape["kv_heads"], "intermediate_size": shape["intermediate_size"],
               "rms_norm_eps": shape["rms_norm_eps"], "tie_word_embeddings": shape["tie_embeddings"],
               "max_position_embeddings": max(positions, shape["max_positions"])}
    if "delta_net" not in shape:
        return AutoConfig.for_model("qwen3", **options, rope_parameters=rope)
    net, interval = shape["delta_net"], shape["delta_net"]["attention_layers"]
    kinds = ["full_attention" if i % interval == interval - 1 else "linear_attention" for i in range(shape["layers"])]
    rope["partial_rotary_factor"] = shape["rotary_dim"] / shape["head_dim"]
    rope |= {"mrope_interleaved": True, "mrope_section": [11, 11, 10]}
    return AutoConfig.for_model(
        "qwen3_5_text", **options, layer_types=kinds, rope_parameters=rope,
        linear_num_key_heads=net["key_heads"], linear_num_value_heads=net["value_heads"],
        linear_key_head_dim=net["key_dim"], linear_value_head_dim=net["value_dim"],
        linear_conv_kernel_dim=net["conv_width"])


def model(config):
    from transformers import AutoModelForCausalLM
    torch.manual_seed(1)
    with torch.device(DEVICE):
        made = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return made.eval()


def ids(config, count):
    return torch.randint(0, config.vocab_size, (1, count), device=DEVICE)


def prompts(network, config, tokens, samples):
    from transformers import DynamicCache
    taken = []
    for _ in range(samples + 1):        # the first is the warm-up
        prompt, cache = ids(config, tokens), DynamicCache(config=config)
        synchronize()
        start = time.perf_counter()
        out = network(input_ids=prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
        int(out.logits[0, -1].argmax())
        taken.append(time.perf_counter() - start)
        del out, cache
    return [tokens / second for second in taken[1:]]


class Steps:
    """Decode steps with a static cache, everything that changes on the card."""

    def __init__(self, network, config, depth, room):
        from transformers import StaticCache
        self.network, self.depth = network, depth
        self.cache = StaticCache(config=config, max_cache_len=-(-(depth + room) // 128) * 128)
        self.token = ids(config, 1)
        self.position = torch.zeros((1, 1), dtype=torch.long, device=DEVICE)
        for start in range(0, depth, CHUNK):
            count = min(CHUNK, depth - start)
            places = torch.arange(start, start + count, device=DEVICE)[None]
            network(input_ids=ids(config, count), past_key_values=self.cache, use_cache=True, position_ids=places,
                    logits_to_keep=1)
        self.forward = network.forward

    def rewind(self):
        self.position.fill_(self.depth)
        for layer in self.cache.layers:
            if hasattr(layer, "cumulative_length"):
                layer.cumulative_length.fill_(self.depth)

    def step(self):
        out = self.forward(input_ids=self.token, past_key_values=self.cache, use_cache=True,
                           position_ids=self.position)
        self.token.copy_(out.logits[:, -1].argmax(-1, keepdim=True))
        self.position.add_(1)

    def captured(self):
        """The step as a graph; returns what starts it."""
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self.step()
        torch.cuda.current_stream().wait_stream(beside)
        synchronize()
        self.rewind()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay

    def rates(self, samples, steps, how):
        if how == "compile":
            self.forward = torch.compile(self.network.forward, mode="reduce-overhead")
            for _ in range(WARM_UP + 1):
                self.step()
        run = self.captured() if how == "graph" else self.step
        taken = []
        for _ in range(samples + 1):        # the first is the warm-up
            self.rewind()
            synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                run()
                self.token.item()
            taken.append(time.perf_counter() - start)
        return [steps / second for second in taken[1:]]


@torch.inference_mode()
def visit(kind, shape, tokens, samples, steps, how):
    config = configuration(shape, tokens + steps + CHUNK)
    network = model(config)
    if kind == "prefill":
        return prompts(network, config, tokens, samples)
    return Steps(network, config, tokens, steps + WARM_UP + 1).rates(samples, steps, how)


if __name__ == "__main__":
    if sys.argv[1] == "limits":
        print(json.dumps(limits()))
    else:
        asked, text, *numbers, manner = sys.argv[1:]
        print(json.dumps({"tokens_per_s": visit(asked, json.loads(text), *map(int, numbers), manner)}))
