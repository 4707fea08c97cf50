#!/usr/bin/env python3
"""How far ctxbench and llama.cpp lie from f32, on the same file and the same tokens.

    python3 benches/agreement.py --ctxbench target/release/ctxbench --work DIR [--models A,B] [--only q8_0,q4_0]

For each file of benches/peers.py, or one of your own under the same name in DIR/models, llama-quantize dequantizes
the weights into an F32 file; llama.cpp's logits of that file, with an f32 cache, are exact. (That they are is what
docs/agreement.md shows: ctxbench, llama.cpp and transformers agree on F32 files to 1e-11.) Then both engines run the
file itself: llama.cpp as it is benchmarked, f16 cache and flash attention off, and `ctxbench verify`. Distances
are KL(exact || engine) in nats, the mean over all positions of the prompts: the whole prompt at once (prefill), and
token by token (steps), which take different kernels.

`no further` means: at most 1.05 times llama.cpp's distance, or below 1e-6 nats, where rounding of the cache decides.
The row F32 is the control: ctxbench on the dequantized file itself.
Needs what peers.py needs; takes 3 GB for one F32 file at a time. Prints Markdown, writes DIR/agreement.json.
Exit status: 0 no further in every file; 1 further in some; 2 could not run.
"""
import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from statistics import mean

from peer_runs import cells, quiet
from peer_runs.files import Files, step
from peer_runs.install import install

TYPES = ["Q8_0", "Q4_0", "Q4_K_M", "Q6_K", "BF16", "F16"]
CONTROL = "F32"
FACTOR, NOTHING = 1.05, 1e-6
PATHS = ("prefill", "steps")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [part.strip() for part in text.split(",") if part.strip()]
    parser.add_argument("--ctxbench", default="target/release/ctxbench", type=Path)
    parser.add_argument("--work", default=Path("target/peers"), type=Path)
    parser.add_argument("--models", default=["Qwen3-0.6B"], type=names)
    parser.add_argument("--only", default=TYPES, type=names)
    parser.add_argument("--positions", default=128, type=int)
    parser.add_argument("--prompts", default=3, type=int)
    parser.add_argument("--threads", default=quiet.physical_cores(), type=int)
    parser.add_argument("--jobs", default=2, type=int)
    parser.add_argument("--cache", default="f16", choices=["f16", "f32"], help="llama.cpp's cache")
    args = parser.parse_args()
    args.only = [name.upper() for name in args.only]
    unknown = [name for name in args.only if name not in TYPES] + [m for m in args.models if m not in cells.MODELS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(TYPES)} and {', '.join(cells.MODELS)}")
    if not args.ctxbench.is_file():
        parser.error(f"there is no {args.ctxbench}; build it with `cargo build --release`")
    return args


def llama(args, peers, files, cell, file, exact, place):
    """llama.cpp's distances; leaves a reference for each prompt in `place`."""
    ran = quiet.run([peers.python, Path(__file__).parent / "peer_runs" / "logits_worker.py", peers.llama_package,
                     peers.bench.parent, file, exact, place, files.shape(cell.model)["vocab_size"], args.positions,
                     args.prompts, args.threads, args.cache])
    return json.loads(ran.out)


def ours(args, file, place):
    """ctxbench's distances from the reference of each prompt."""
    out = []
    for number in range(args.prompts):
        folder = place / str(number)
        link = folder / "model.gguf"
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        command = [str(args.ctxbench), "verify", str(folder), "--format", "json", "--threads", str(args.threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        link.unlink()
        if done.returncode not in (0, 1):      # 1: beyond verify's own bar, which is not the question here
            raise quiet.Failed(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr[-600:]}")
        rows = json.loads(done.stdout)
        out.append({row["path"]: row["mean_kl"] for row in rows if row["path"] in PATHS})
    return out


def measure(args, peers, files, cell):
    """The records of one file, and of the control if it is the BF16 file."""
    file = files.gguf(cell)
    place = args.work / "agreement" / f"{cell.model}-{cell.type}"
    place.mkdir(parents=True, exist_ok=True)
    exact = place / "exact.gguf"
    step([peers.quantize, "--allow-requantize", file, exact, "F32"], f"dequantizing {file.name}")
    try:
        other = llama(args, peers, files, cell, file, exact, place)
        records = [{"model": cell.model, "type": cell.type, "llama": other, "ctxbench": ours(args, file, place)}]
        if cell.type == "BF16":
            control = ours(args, exact, place)
            records.append({"model": cell.model, "type": CONTROL, "llama": None, "ctxbench": control})
    finally:
        exact.unlink()
        for reference in place.glob("*/reference.safetensors"):
            reference.unlink()
    return records


def judge(record):
    """Means over prompts, and whether ctxbench is no further."""
    row = {"model": record["model"], "type": record["type"], "no_further": True}
    for path in PATHS:
        own = mean(prompt[path] for prompt in record["ctxbench"])
        other = record["llama"] and mean(prompt[path] for prompt in record["llama"])
        limit = NOTHING if other is None else max(NOTHING, FACTOR * other)
        row[path] = {"ctxbench": own, "llama": other}
        row["no_further"] &= own <= limit
    return row


def line(row):
    shown = lambda value: "n/a" if value is None else f"{value:.1e}"
    distances = [shown(row[path][engine]) for path in PATHS for engine in ("llama", "ctxbench")]
    return f"| {' | '.join([row['model'], row['type'], *distances, 'yes' if row['no_further'] else 'no'])} |"


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("ended by a signal"))
    args = arguments()
    args.work, args.ctxbench = args.work.resolve(), args.ctxbench.resolve()
    peers = install(args.work, False, args.jobs)
    files = Files(args.work / "models", peers)
    print("| model | file | llama.cpp, prefill | ctxbench, prefill | llama.cpp, steps | ctxbench, steps "
          "| ctxbench no further |\n|:---|:---|---:|---:|---:|---:|:---|")
    records, rows = [], []
    for model in args.models:
        for name in args.only:
            for record in measure(args, peers, files, cells.Cell(model, name, "prefill", args.positions)):
                records.append(record)
                rows.append(judge(record))
                print(line(rows[-1]), flush=True)
            text = json.dumps({"rows": rows, "records": records, "cache": args.cache}, indent=1)
            (args.work / "agreement.json").write_text(text + "\n")
    return 0 if all(row["no_further"] for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except quiet.Failed as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if isinstance(end.code, str):      # a sentence: Python's own status for it would be 1
            print(end.code, file=sys.stderr)
            sys.exit(2)
        raise
