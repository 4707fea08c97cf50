"""Fetches and builds the peers, by package name, into a folder: llama.cpp's programs and mistral.rs.

Comes in: the folder. Goes out: paths of what was built, and versions. What is there already is kept. llama.cpp is the
copy inside the source package of llama-cpp-python, built for this machine (its own default) in release mode.
"""
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

LLAMA_PACKAGE = "llama-cpp-python"
TOOLS = ["cmake", "ninja", "numpy", "gguf", "safetensors", "typing-extensions", "diskcache", "jinja2"]
CMAKE_OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_BUILD_COMMON=ON", "-DLLAMA_BUILD_TOOLS=ON",
                 "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF",
                 "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_OPENSSL=OFF"]
PROGRAMS = ["llama-bench", "llama-quantize"]


@dataclass
class Peers:
    python: Path            # of the virtual environment
    bench: Path
    quantize: Path
    llama_package: Path     # the unpacked source package, whose Python module agreement.py uses
    versions: dict


def run(command, log, **options):
    """Runs a step of the installation; its output goes to `log`."""
    with open(log, "a") as out:
        done = subprocess.run([str(x) for x in command], stdout=out, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        tail = Path(log).read_text()[-1500:]
        sys.exit(f"{tail}\n`{' '.join(str(x) for x in command)}` failed; all of its output is in {log}")


def environment(work, with_mistral):
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", work / "venv"], work / "install.log")
    wanted = TOOLS + (["mistralrs"] if with_mistral else [])
    there = frozen(python)
    missing = [name for name in wanted if name not in there]
    if missing:
        run([python, "-m", "pip", "install", *missing], work / "install.log")
    return python


def frozen(python):
    """Installed packages and their versions, names in lower case with hyphens."""
    text = subprocess.run([python, "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True).stdout
    pairs = (line.split("==", 1) for line in text.splitlines() if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def llama_source(work, python):
    folder = work / "llama"
    folder.mkdir(exist_ok=True)
    found = [path for path in folder.glob("llama_cpp_python-*") if path.is_dir()]
    if not found:
        if not list(folder.glob("llama_cpp_python-*.tar.gz")):
            run([python, "-m", "pip", "download", "--no-binary", LLAMA_PACKAGE, "--no-deps", LLAMA_PACKAGE,
                 "-d", folder], work / "install.log")
        with tarfile.open(next(folder.glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(folder)
        found = [path for path in folder.glob("llama_cpp_python-*") if path.is_dir()]
    return found[0]


def build_llama(work, python, source, jobs):
    build = work / "llama" / "build"
    if not all((build / "bin" / name).exists() for name in PROGRAMS):
        env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        print("building llama.cpp: minutes to half an hour, once", file=sys.stderr)
        run(["cmake", "-S", source / "vendor" / "llama.cpp", "-B", build, "-G", "Ninja", *CMAKE_OPTIONS],
            work / "install.log", env=env)
        run(["ninja", "-C", build, "-j", jobs, *PROGRAMS], work / "install.log", env=env)
    return build


def llama_version(source, build):
    header = (build / "CMakeCache.txt").read_text()
    flags = re.search(r"^CMAKE_CXX_FLAGS_RELEASE:STRING=(.*)$", header, re.M)
    head = subprocess.run(["git", "-C", str(source / "vendor" / "llama.cpp"), "rev-parse", "HEAD"],
                          capture_output=True, text=True)
    return {"package": source.name.replace("_", "-"), "commit": head.stdout.strip() or None,
            "cxx_flags": flags.group(1) if flags else None}


def install(work, with_mistral, jobs):
    work.mkdir(parents=True, exist_ok=True)
    python = environment(work, with_mistral)
    source = llama_source(work, python)
    build = build_llama(work, python, source, jobs)
    versions = {"llama.cpp": llama_version(source, build)}
    if with_mistral:
        versions["mistral.rs"] = {"package": f"mistralrs-{frozen(python)['mistralrs']}"}
    return Peers(python, build / "bin" / "llama-bench", build / "bin" / "llama-quantize", source, versions)
