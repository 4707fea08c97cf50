#!/usr/bin/env bash
# The engine on an NVIDIA card, against the card's limits, llama.cpp and transformers: `benches/gpu.sh --help`.
set -euo pipefail
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "benches/gpu.sh needs Python 3.11 or newer as python3, this is $(python3 --version 2>&1)" >&2
    exit 2
}
PYTHONPATH=$(dirname "$(realpath "$0")")${PYTHONPATH:+:$PYTHONPATH} exec python3 -m gpu_runs "$@"
