#!/usr/bin/env bash
# What a build with the feature `cuda` needs, for machines without a CUDA toolkit and without a GPU:
# NVIDIA's compiler from Python wheels (100 MB to download), and stand-ins for the libraries of the
# driver and the toolkit, to link with. Prints what is to be exported:
#
#   eval "$(crates/bench/gpu/toolkit.sh)"
#   cargo build --release --features cuda
#
# With the argument `nvrtc` also NVRTC (90 MB more), whose folder NVRTC names then.
#
# CUDA 13.0: a driver takes PTX of its own version and of older ones, and 580 is of 13.0.
# Where nvcc is on the path, nothing of this is needed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
toolkit=${BATCHLAB_TOOLKIT:-$root/target/cuda-toolkit}
arch=${CUDA_COMPUTE_CAP:-90}
mkdir -p "$toolkit"/{bin,include,lib64,stubs}

command -v g++ >/dev/null || { echo "g++ is missing; install it first (Debian: apt-get install g++)" >&2; exit 1; }
wheels() { # folder, packages ...
  local folder=$1; shift
  "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --target "$toolkit/$folder" "$@" >&2
}
[ -x "$toolkit/wheels/nvidia/cu13/bin/nvcc" ] ||
  wheels wheels nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
# NVRTC itself, where it is asked for: programs are linked with a stand-in, and check-kernels.sh runs
# the real one.
if [ "${1:-}" = nvrtc ]; then
  [ -e "$toolkit/nvrtc/nvidia/cu13/lib/libnvrtc.so.13" ] || wheels nvrtc nvidia-cuda-nvrtc==13.0.88
  echo "export NVRTC='$toolkit/nvrtc/nvidia/cu13/lib'"
fi

# dfdx's build script asks this program which GPU there is, also where another one is named.
printf '#!/bin/sh\nprintf "compute_cap\\n%s.%s\\n"\n' "${arch%?}" "${arch#"${arch%?}"}" > "$toolkit/bin/nvidia-smi"
chmod +x "$toolkit/bin/nvidia-smi"
# It takes a folder for CUDA's where this file exists.
touch "$toolkit/include/cuda.h"

# Libraries of the right names whose functions all fail: the real ones are found when the program
# starts. Their functions are those that cudarc declares.
if [ ! -e "$toolkit/lib64/libnvrtc.so" ]; then
  cargo fetch --quiet --manifest-path "$root/Cargo.toml" >&2
  cudarc=$(cargo metadata --quiet --format-version 1 --manifest-path "$root/Cargo.toml" --filter-platform x86_64-unknown-linux-gnu --features batchlab-tensor/cuda |
    "${PYTHON:-python3}" -c 'import json, os, sys
print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
  stub() { # module of cudarc, library, name that programs ask for
    grep -ohE 'pub fn (cu|nvrtc)[A-Za-z0-9_]*' "$cudarc/src/$1/sys.rs" | sort -u |
      awk '{print "int "$3"(void){return 34;}"}' > "$toolkit/stubs/$2.c"
    gcc -shared -fPIC -O1 -Wl,-soname,"$3" -o "$toolkit/lib64/lib$2.so" "$toolkit/stubs/$2.c"
  }
  stub driver cuda libcuda.so.1
  stub cublas cublas libcublas.so.13
  stub cublaslt cublasLt libcublasLt.so.13
  stub nvrtc nvrtc libnvrtc.so.13
fi

cat <<EXPORTS
export CUDA_ROOT='$toolkit'
export CUDA_COMPUTE_CAP='$arch'
export PATH='$toolkit/bin:$toolkit/wheels/nvidia/cu13/bin':"\$PATH"
EXPORTS
