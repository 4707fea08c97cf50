"""One visit to mistral.rs: loads a GGUF file or a folder, answers prompts of exact lengths, prints samples as JSON.

Runs in the virtual environment that peers.py makes. Letters q to z have no merge in the files of make_gguf.py, so a
prompt of n letters has n tokens; the worker fails where that is not so. Times are the engine's own (`usage`, in
milliseconds), which leave tokenizing and Python out. Of c tokens of output the first belongs to the prompt.

    mistral_worker.py PATH prefill|decode|start TOKENS SAMPLES WARM_UP STEPS
"""
import json
import os
import random
import sys

from mistralrs import CompletionRequest, Runner, Which

LETTERS = "qrstuvwxyz"


def open_model(path):
    # The default is a longest sequence of 4,096 tokens; no prompt is kept for the next one.
    options = dict(max_seqs=1, prefix_cache_n=0, token_source="none")
    if os.path.isdir(path):
        return Runner(Which.Plain(model_id=path), **options)
    folder, name = os.path.split(path)
    return Runner(Which.GGUF(folder or ".", name), **options)


def ask(runner, rng, tokens, output):
    prompt = "".join(rng.choice(LETTERS) for _ in range(tokens))
    answer = runner.send_completion_request(CompletionRequest(
        prompt=prompt, model="default", max_tokens=output, temperature=0.0, ignore_eos=True)).usage
    if answer.prompt_tokens != tokens or answer.completion_tokens != output:
        sys.exit(f"mistral.rs read {answer.prompt_tokens} tokens and wrote {answer.completion_tokens}, "
                 f"not {tokens} and {output}")
    return answer


def main():
    path, kind = sys.argv[1:3]
    tokens, samples, warm_up, steps = (int(x) for x in sys.argv[3:7])
    runner, rng = open_model(path), random.Random(tokens)
    if kind == "start":
        ask(runner, rng, tokens, 1)
        print(json.dumps({"tokens_per_s": []}), flush=True)
        os._exit(0)
    ask(runner, rng, max(warm_up, 1), 2)
    rates = []
    for _ in range(samples):
        if kind == "prefill":
            rates.append(tokens / ask(runner, rng, tokens, 1).total_prompt_time_sec)
        else:
            rates.append(steps / ask(runner, rng, max(tokens, 1), steps + 1).total_completion_time_sec)
    print(json.dumps({"tokens_per_s": rates}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
