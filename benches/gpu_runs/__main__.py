"""benches/gpu.sh: every row of issue 6's table on one card, in one call. docs/gpu.md says how to read what it prints.

    benches/gpu.sh --ctxbench target/release/ctxbench --work DIR --out DIR
        --rows LIST           what to run: decode, Qwen3-8B, Qwen3-8B:BF16:prefill:2048, 131072, ... (default: all)
        --rounds N            every engine once a round (default 2)
        --samples N           of an engine in a round (default 5); at least 5 of each engine are needed
        --build-peers         build llama-bench for this card into --work, and end; --llama-source names the sources
                              where no package index can be reached
        --list, --dry-run     print the rows, or all that would be run; these need no card

Needs Python 3.11, nvidia-smi and, for the files, 22 GB in --work (70 with --keep): each file is made before its
rows and removed after them. llama.cpp takes part where --llama-bench, or --work after --build-peers, has its binary;
transformers where --python (default: this one) can import it and torch (--compile: with torch.compile as well,
--no-torch: not at all).

First `ctxbench verify` runs on the fixtures with their reference logits, in f32 and in bf16; if one is not met, the
rows are still timed, but nothing is concluded of them. Then the card's rates are measured. Then come the rows: in each
round each engine once, a process of its own (`start`: as many rounds as make 5 samples). Writes OUT/gpu.json and
OUT/gpu.md after each row, and prints the table; an OUT that has results of the same binary on the same card is added
to, and rows that are run again are replaced.
Exit status: 0 every row concluded, bar met or not; 1 verify failed; 2 could not run; 3 some row was not concluded.
"""
import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from . import build_peers, card, limits, make_gguf, plan, results, rounds, rows, shapes, table, verify
from .engines import WORKER, Ctxbench, Llama, Torch

NOT_RIGHT, COULD_NOT_RUN, NOT_CONCLUDED = 1, 2, 3


def arguments():
    parser = argparse.ArgumentParser(prog="benches/gpu.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [part.strip() for part in text.split(",") if part.strip()]
    parser.add_argument("--ctxbench", default=Path("target/release/ctxbench"), type=Path)
    parser.add_argument("--work", default=Path("target/gpu"), type=Path)
    parser.add_argument("--out", default=Path("target/gpu/out"), type=Path)
    parser.add_argument("--rows", default=[], type=names)
    parser.add_argument("--rounds", default=2, type=int)
    parser.add_argument("--samples", default=5, type=int)
    parser.add_argument("--card", default=0, type=int)
    parser.add_argument("--llama-bench", type=Path)
    parser.add_argument("--llama-source", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--jobs", default=os.cpu_count(), type=int)
    for flag in ("--build-peers", "--compile", "--no-torch", "--keep", "--list", "--dry-run"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    args.selected = rows.select(args.rows)
    if not args.selected:
        parser.error("no row has that name; --list prints them")
    if args.rounds < 1 or args.rounds * args.samples < results.LEAST_SAMPLES:
        parser.error(f"--rounds times --samples must be at least {results.LEAST_SAMPLES}")
    args.ctxbench, args.work = args.ctxbench.resolve(), args.work.resolve()
    args.llama_bench = (args.llama_bench or build_peers.place(args.work)).resolve()
    return args


def engines(args):
    """All that a row may be run by, and those of them that are not here."""
    ours = Ctxbench(args.ctxbench, f"cuda:{args.card}")
    llama = [Llama(args.llama_bench, ubatch) for ubatch in (512, 2048)]
    torch = [] if args.no_torch else [Torch(args.python), *([Torch(args.python, True)] if args.compile else [])]
    absent = ([ours] if not args.ctxbench.exists() else []) + ([] if args.llama_bench.exists() else llama) + \
        (torch if torch and not has_torch(args.python) else [])
    return [ours, *llama, *torch], absent


def has_torch(python):
    if python == sys.executable:
        return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    return subprocess.run([python, "-c", "import torch, transformers"], capture_output=True).returncode == 0


def versions(args, runners):
    said = subprocess.run([args.ctxbench, "--version"], capture_output=True, text=True)
    if said.returncode != 0:
        sys.exit(f"{args.ctxbench} does not start: {said.stderr.strip()}\ndocs/gpu.md says what it needs")
    out = {"ctxbench": {"version": said.stdout.strip()}}
    if any(engine.name == "llama.cpp" for engine in runners):
        out["llama.cpp"] = build_peers.version(args.llama_bench)
    if any(engine.name == "transformers" for engine in runners):
        text = "import torch, transformers; print(transformers.__version__, torch.__version__)"
        found = subprocess.run([args.python, "-c", text], capture_output=True, text=True).stdout.split()
        out["transformers"] = dict(zip(("transformers", "torch"), found))
    return out


def document(args, identity, runners):
    """A new document, or the one that OUT has if it is of the same binary and card."""
    digest, path = hashlib.sha256(args.ctxbench.read_bytes()).hexdigest(), args.out / "gpu.json"
    if path.exists():
        old = json.loads(path.read_text())
        if old["ctxbench_sha256"] != digest or old["card"]["name"] != identity["name"]:
            sys.exit(f"{path} was made with another binary or on another card; name another --out")
        return old | {"versions": old["versions"] | versions(args, runners)}
    return {"ctxbench_sha256": digest, "card": identity, "calls": [], "rows": [],
            "versions": versions(args, runners)}


def save(args, doc):
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("gpu.json", json.dumps(doc, indent=1) + "\n"), ("gpu.md", table.markdown(doc))):
        unfinished = args.out / f"{name}.part"
        unfinished.write_text(text)
        unfinished.rename(args.out / name)


def call(args, runners):
    """What stands at the beginning of every call: whether results are right, and the card's rates."""
    found = {"started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "rounds": args.rounds,
             "samples": args.samples, "verify": verify.run(args.ctxbench, f"cuda:{args.card}"),
             "limits": {"doctor": limits.from_doctor(args.ctxbench, f"cuda:{args.card}")}}
    if any(isinstance(engine, Torch) for engine in runners):
        found["limits"]["torch"] = limits.from_torch(args.python, WORKER)
    return found


def measure(args, doc, row, path, runners):
    """One row, into the document; an older entry of the same name is replaced."""
    now = doc["calls"][-1]
    count = max(args.rounds, results.LEAST_SAMPLES) if row.kind == "start" else args.rounds
    record = rounds.measure(row, runners, path, count, args.samples, lambda: card.state(args.card))
    result = results.conclude(row, record, limits.tokens_per_s(row, now["limits"]), now["verify"]["passed"])
    entry = {"name": row.name, "kind": row.kind, "bar": row.bar, "call": len(doc["calls"]),
             "work": limits.work(row), "result": result, "record": record}
    order = [known.name for known in rows.ROWS]
    doc["rows"] = sorted([e for e in doc["rows"] if e["name"] != row.name] + [entry],
                         key=lambda e: order.index(e["name"]))
    save(args, doc)


def run(args, doc, runners):
    """Every selected row, file by file."""
    folder = args.work / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for file, of_file in plan.by_file(args.selected).items():
        path = folder / file
        if any(row.kind != "start" for row in of_file) and not path.exists():
            print(f"making {file}", file=sys.stderr)
            make_gguf.write(shapes.shape(of_file[0].model), of_file[0].model, of_file[0].type, path)
        for row in of_file:
            measure(args, doc, row, path, runners)
        if not args.keep:
            path.unlink(missing_ok=True)


def main():
    args = arguments()
    if args.list:
        print("\n".join(f"{row.name}  ({row.bar})" for row in args.selected))
        return 0
    if args.dry_run:
        print(plan.text(args, *engines(args)))
        return 0
    identity = card.identity(args.card)
    if args.build_peers:
        print(build_peers.build(args.work, args.llama_source, card.architecture(identity), args.jobs))
        return 0
    if not args.ctxbench.is_file():
        sys.exit(f"there is no {args.ctxbench}; build it with `cargo build --release --features cuda`, "
                 "or name it with --ctxbench")
    known, absent = engines(args)
    runners = [engine for engine in known if engine not in absent]
    for engine in absent:
        print(f"{engine.name} is not here and takes no part", file=sys.stderr)
    doc = document(args, identity, runners)
    doc["calls"].append(call(args, runners))
    run(args, doc, runners)
    print(table.markdown(doc))
    if not doc["calls"][-1]["verify"]["passed"]:
        return NOT_RIGHT
    wanted = {row.name for row in args.selected}
    verdicts = [entry["result"]["verdict"] for entry in doc["rows"] if entry["name"] in wanted]
    return 0 if all(verdict in results.MET for verdict in verdicts) else NOT_CONCLUDED


if __name__ == "__main__":
    try:
        sys.exit(main())
    except card.NoCard as error:
        print(error, file=sys.stderr)
        sys.exit(COULD_NOT_RUN)
    except SystemExit as end:
        if isinstance(end.code, str):      # a sentence: Python's own status for it would be 1
            print(end.code, file=sys.stderr)
            sys.exit(COULD_NOT_RUN)
        raise
