#!/usr/bin/env bash
# Checks and measures on a GPU what bundle.sh has packed:
#
#   gpu-bundle/run.sh RESULTS [checks|figures]
#
# Everything is written to the folder RESULTS too. Ends with status 1 if a check failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd)
parts=${2:-"checks figures"}
cd "$here"
failed=0

# CUDA's libraries come with the system or with Python's packages.
libraries=$(python3 - <<'P'
import glob, os, sysconfig
root = sysconfig.get_paths()["purelib"]
names = ("libcublas.so.*", "libcublasLt.so.*", "libnvrtc.so.*", "libnvrtc-builtins.so.*")
print(":".join(sorted({os.path.dirname(path) for name in names
                       for path in glob.glob(f"{root}/nvidia/**/{name}", recursive=True)})))
P
)
for folder in /usr/local/cuda/lib64 /usr/local/nvidia/lib64; do
  [ -d "$folder" ] && libraries=$libraries:$folder
done
export LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-}
export BATCHLAB_TEST_DEVICE=cuda:0
export BATCHLAB_GOLDEN=$here/golden

step() { # name, command ...
  local name=$1 start=$SECONDS; shift
  echo "=== $name"
  "$@" > "$results/$name.log" 2>&1
  local status=$?
  tail -n "${LINES_SHOWN:-12}" "$results/$name.log"
  echo "--- $name: status $status after $((SECONDS - start)) s"
  if [ $status -ne 0 ]; then failed=1; fi
}

cat commit; date -u +%F
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader ||
  echo "nvidia-smi does not run, so neither GPU nor driver are known" >&2
python3 -c 'import importlib.metadata as m
for name in ("jax", "torch", "torch_geometric", "numpy"):
    try:
        print(name, m.version(name))
    except m.PackageNotFoundError:
        print(name, "is missing: needed for the figures")'

# Without a GPU nothing of the rest says anything.
step smoke bin/batchlab run configs/smoke.toml --device cuda:0 --out "$results/smoke"
if [ $failed -ne 0 ]; then
  echo "the GPU cannot be used: see above. The program needs NVIDIA's driver, cuBLAS 13 and NVRTC 13" >&2
  exit 1
fi
if [[ $parts == *checks* ]]; then
  for test in tests/*; do
    LINES_SHOWN=4 step "$(basename "$test")" timeout 900 "$test" --test-threads 4
  done
fi
if [[ $parts == *figures* ]]; then
  python3 -m pip install --quiet --no-deps --target /tmp/batchlab-peers wheels/*.whl
  export PYTHONPATH=/tmp/batchlab-peers
  LINES_SHOWN=80 step figures python3 peers/compare_gpu.py --binary bin/batchlab-bench \
    --json "$results/figures.json"
fi
exit $failed
