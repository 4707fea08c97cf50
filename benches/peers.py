#!/usr/bin/env python3
"""ctxbench against llama.cpp and mistral.rs: the bars of the CPU engine, on one machine, in one run.

    python3 benches/peers.py --ctxbench target/release/ctxbench --work DIR --out DIR
        --only q8_0,q4_k_m    weight types (default: all)
        --cells LIST          what to run: prefill, decode:512, Qwen3.5-0.8B:prefill:4096, start (default: all)
        --rounds N            rounds of a cell (default 5; long cells take about half of them)
        --no-mistralrs        llama.cpp alone
        --busy QUIET.json     with one busy process a core, against llama.cpp alone; see below
        --list                print the cells and end

Needs Python 3.11, a C++ compiler, git, and, for the first run, the package index; nothing else is downloaded. Into
DIR/work go a virtual environment with cmake, ninja and the wheel `mistralrs`, llama.cpp (out of the source package
of llama-cpp-python, compiled for this machine) and about 8 GB of GGUF files with random weights of the exact shapes
of Qwen3-0.6B, Qwen2.5-0.5B and Qwen3.5-0.8B. Files that lie there already are taken as they are.

Every cell is a file, a kind of work and a number of tokens. In each round each engine runs once, in a process of its
own, with as many threads as the machine has cores: ctxbench, llama-bench with flash attention off and on,
mistral.rs. `prefill` is tokens per second of a prompt; `decode` of 32 steps behind that many tokens; `start` the
wall time of a process that loads the file (in the page cache by then) and ends with the first token of 32, and its
peak memory: for llama.cpp that is `llama-bench -p 32 -n 0 -r 1 --no-warmup`, for mistral.rs the Python process.

`ctxbench doctor` runs before each file: the limits are of these minutes. Ratios are of medians, to the better peer.
While a visit runs, the processor time of all other processes is counted; a round in which it is more than
--bearable of a core is repeated up to --retries times, and a cell that stays disturbed gets no ratio.

With --busy every core has another busy process, and disturbance is not judged. QUIET.json is the peers.json of a quiet
run with the same binary: the bar of a cell is its ratio to llama.cpp there, so `met` means that ctxbench lost no more
than llama.cpp. Spinning engines may take minutes for a cell then: name few.

Writes OUT/peers.json after each cell and OUT/peers.md, and prints the table. An OUT that has results goes on where
it was left: cells that were concluded with the same binary are kept; --again measures them anew.
Exit status: 0 every cell concluded; 2 could not run; 3 some cell was disturbed or could not be held against a peer.
"""
import argparse
import hashlib
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path

from peer_runs import busy, cells, engines, limits, quiet, results, table
from peer_runs.files import Files
from peer_runs.install import install
from peer_runs.rounds import Rounds

COULD_NOT_RUN, DISTURBED = 2, 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [part.strip() for part in text.split(",") if part.strip()]
    parser.add_argument("--ctxbench", default="target/release/ctxbench", type=Path)
    parser.add_argument("--work", default=Path("target/peers"), type=Path)
    parser.add_argument("--out", default=Path("target/peers/out"), type=Path)
    parser.add_argument("--only", default=[], type=names)
    parser.add_argument("--cells", default=[], type=names)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--threads", default=quiet.physical_cores(), type=int)
    parser.add_argument("--bearable", default=0.10, type=float)
    parser.add_argument("--retries", default=2, type=int)
    parser.add_argument("--jobs", default=2, type=int)
    parser.add_argument("--no-mistralrs", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--busy", type=Path, metavar="QUIET.json")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    args.selected = cells.select(args.only, args.cells)
    if args.busy:
        args.selected = busy.bars(args.busy, args.selected)
        args.no_mistralrs, args.bearable = True, float(args.threads + os.cpu_count())
    if not args.selected:
        parser.error("no cell has that type and name; --list prints them" if not args.busy else
                     f"{args.busy} has concluded none of the cells")
    if args.rounds < 1 or args.retries < 0:
        parser.error("--rounds needs at least 1, --retries at least 0")
    return args


def document(args, peers, names):
    """A new document, or the one that OUT has if it was made with the same binary."""
    digest = hashlib.sha256(args.ctxbench.read_bytes()).hexdigest()
    path = args.out / "peers.json"
    if path.exists():
        old = json.loads(path.read_text())
        if old["ctxbench_sha256"] == digest and old["engines"] == names and old["bearable"] == args.bearable:
            return old
        sys.exit(f"{path} was made with another binary or other options; name another --out")
    said = quiet.run([args.ctxbench, "--version"]).out.strip()
    return {"started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "ctxbench_sha256": digest,
            "bearable": args.bearable, "engines": names, "limits": [], "cells": [],
            "versions": {"ctxbench": {"version": said, "sha256": digest[:12]}, **peers.versions},
            "machine": {"cpu": quiet.cpu_name(), "threads": args.threads, "system": platform.platform()}}


def concluded(doc, cell):
    entry = next((e for e in doc["cells"] if e["name"] == cell.name), None)
    return entry is not None and all(row["verdict"] in ("met", "not met") for row in table.rows_of(entry))


def measure(args, doc, cell, rounds, files, found):
    """One cell, into the document; an older entry of the same name is replaced."""
    record = rounds.measure(cell, cell.rounds(args.rounds))
    record["floor"] = limits.floor(cell, files.shape(cell.model), files.describe(cell), found)
    row = results.start(record, args.bearable) if cell.kind == "start" else \
        results.throughput(cell, record, args.bearable)
    entry = {"name": cell.name, "model": cell.model, "type": cell.type, "kind": cell.kind, "tokens": cell.tokens,
             "row": row, "record": record}
    order = [known.name for known in cells.select([], [])]
    doc["cells"] = sorted([e for e in doc["cells"] if e["name"] != cell.name] + [entry],
                          key=lambda e: order.index(e["name"]))


def save(args, doc):
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("peers.json", json.dumps(doc, indent=1) + "\n"), ("peers.md", table.markdown(doc))):
        unfinished = args.out / f"{name}.part"
        unfinished.write_text(text)
        unfinished.rename(args.out / name)


def run(args, doc, rounds, files):
    """Every selected cell that is not concluded yet, and the limits before each file."""
    before = found = None
    for cell in args.selected:
        if concluded(doc, cell) and not args.again:
            continue
        files.gguf(cell)
        if (cell.model, cell.type) != before:
            before = (cell.model, cell.type)
            found = {"before": " ".join(before), **limits.measure(args.ctxbench.resolve())}
            doc["limits"].append(found)
        measure(args, doc, cell, rounds, files, found)
        save(args, doc)


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("ended by a signal"))
    args = arguments()
    if args.list:
        print("\n".join(f"{cell.name}  (bar {cell.bar or 'see the header'})" for cell in args.selected))
        return 0
    if not args.ctxbench.is_file():
        sys.exit(f"there is no {args.ctxbench}; build it with `cargo build --release`, or name it with --ctxbench")
    peers = install(args.work.resolve(), not args.no_mistralrs, args.jobs)
    files = Files(args.work.resolve() / "models", peers)
    runners = [engines.ctxbench(args.ctxbench.resolve(), args.threads),
               *(engines.Llama(peers.bench, args.threads, flash) for flash in ("off", "on"))]
    if not args.no_mistralrs:
        runners.append(engines.MistralRs(peers.python, args.threads))
    doc = document(args, peers, [engine.name for engine in runners])
    doc["busy_processes"] = os.cpu_count() if args.busy else 0
    rounds = Rounds(runners, files, args.bearable, args.retries)
    with busy.processes(doc["busy_processes"]):
        run(args, doc, rounds, files)
    print(table.markdown(doc))
    wanted = {cell.name for cell in args.selected}
    rows = [row for entry in doc["cells"] if entry["name"] in wanted for row in table.rows_of(entry)]
    return 0 if all(row["verdict"] in ("met", "not met") for row in rows) else DISTURBED


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SystemExit as end:
        if isinstance(end.code, str):      # a sentence: Python's own status for it would be 1
            print(end.code, file=sys.stderr)
            sys.exit(COULD_NOT_RUN)
        raise
