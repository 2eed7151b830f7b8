#!/bin/sh
# Makes the Python environment of the peers in .venv beside this script (git ignores it).
#   crates/bench/peers/setup.sh             jraph, JAX, NumPy
#   crates/bench/peers/setup.sh --pyg       and PyTorch Geometric, which downloads some GB
# compare_training.py also needs an allocator that keeps memory: apt-get install libtcmalloc-minimal4
set -eu
cd "$(dirname "$0")"
[ -d .venv ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet -r requirements.txt
if [ "${1:-}" = --pyg ]; then
    .venv/bin/python -m pip install --quiet -r requirements-pyg.txt
fi
.venv/bin/python -m pip freeze
