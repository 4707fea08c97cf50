"""What a call would do, in words, without a card: files, work, command lines.

Comes in: the arguments, the engines, and those of them that are not here. Goes out: text. No figure in it was
measured.
"""
import shlex

from . import limits, make_gguf, shapes

GB, TERA = 1e9, 1e12


def by_file(selected):
    """File to its rows, in their order."""
    out = {}
    for row in selected:
        out.setdefault(row.file, []).append(row)
    return out


def needed(row):
    """What the row must move or compute, in words."""
    work = limits.work(row)
    if work is None:
        return "no limit"
    if "bytes" in work:
        return f"{work['bytes'] / GB:.3f} GB a step"
    return f"{work['flops'] / TERA:.2f} TFLOP a prompt"


def text(args, engines, absent):
    missing = ", ".join(engine.name for engine in absent) or "none"
    out = [f"{args.rounds} rounds of {args.samples} samples; not here, and to be left out: {missing}"]
    for name, of_file in by_file(args.selected).items():
        first, path = of_file[0], args.work / "models" / name
        if any(row.kind != "start" for row in of_file):
            size = make_gguf.file_bytes(shapes.shape(first.model), first.model, first.type)
            out.append(f"\n{name}: {size / GB:.2f} GB{', there already' if path.exists() else ''}")
        for row in of_file:
            out.append(f"  {row.name}: {needed(row)}; {row.bar}")
            for engine in engines:
                if engine.takes(row):
                    command = shlex.join(str(part) for part in engine.command(row, path, args.samples))
                    out.append(f"    {engine.name}: {command if len(command) < 400 else command[:390] + ' ...'}")
    return "\n".join(out)
