#!/bin/sh
# Makes the Python environment of the peers in .venv beside this script (git ignores it).
#   crates/bench/peers/setup.sh             jraph, JAX, NumPy
#   crates/bench/peers/setup.sh --pyg       and PyTorch Geometric, which downloads some GB
#   crates/bench/peers/setup.sh --nodes     and what compare_nodes.py needs; builds a minute (a C++ compiler)
# compare_training.py and compare_nodes.py also need an allocator that keeps memory:
# apt-get install libtcmalloc-minimal4
set -eu
cd "$(dirname "$0")"
[ -d .venv ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet -r requirements.txt
case "${1:-}" in
--pyg | --nodes) .venv/bin/python -m pip install --quiet -r requirements-pyg.txt ;;
esac
if [ "${1:-}" = --nodes ]; then
    .venv/bin/python -m pip install --quiet -r requirements-nodes.txt
    # torch-sparse has no wheels, and the whole of it takes half an hour to build. NeighborLoader calls
    # one function of it.
    source=.venv/torch_sparse-0.6.18
    if [ ! -d "$source" ]; then
        .venv/bin/python -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: \
            --dest .venv torch_sparse==0.6.18
        tar -xzf "$source.tar.gz" -C .venv
    fi
    mkdir -p .venv/neighbor_sample
    PATH="$PWD/.venv/bin:$PATH" .venv/bin/python - "$source/csrc" <<'PYTHON'
import sys
from torch.utils.cpp_extension import load
source = sys.argv[1]
load("neighbor_sample", [f"{source}/neighbor_sample.cpp", f"{source}/cpu/neighbor_sample_cpu.cpp"],
     extra_include_paths=[source, f"{source}/../third_party/parallel-hashmap"], extra_cflags=["-O2"],
     build_directory=".venv/neighbor_sample", is_python_module=False)
PYTHON
fi
.venv/bin/python -m pip freeze
