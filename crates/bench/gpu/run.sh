#!/usr/bin/env bash
# Checks and measures on a GPU what bundle.sh has packed:
#
#   gpu-bundle/run.sh RESULTS first      does it run, is it right: at most 9 minutes
#   gpu-bundle/run.sh RESULTS figures    the training step beside JAX and PyTorch: at most 9 minutes
#   gpu-bundle/run.sh RESULTS profile    where five kernels lose their time (needs ncu)
#
# Everything is written to the folder RESULTS, and after each step to the one file
# RESULTS/results.tar.gz, so that a call that is cut short has left what it had. Ends with status 1 if
# a step failed. docs/gpu.md says what each answers and what to do then.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd)
call=${2:-first}
budget=${BUDGET_S:-540}
cd "$here"
failed=()

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
export STEPS=200
# Those of the emulated GPU, where the bundle has them: a step takes it a second.
if [ -d "$here/lib" ]; then
  libraries=$here/lib:$libraries
  STEPS=20
fi
export LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-}

# The programs ask for cuBLAS 13 and NVRTC 13. Of what they call, CUDA 12 has the same functions under
# the same names, so that its libraries do where there are no others.
links=$results/cuda-12
for library in cublas nvrtc; do
  find_library() { local IFS=:; local folder; for folder in $LD_LIBRARY_PATH; do
    if [ -e "$folder/$1" ]; then echo "$folder/$1"; return; fi; done
    ldconfig -p 2>/dev/null | awk -v name="$1" '$1 == name { print $NF; exit }'; }
  twelve=$(find_library "lib$library.so.12")
  if [ -z "$(find_library "lib$library.so.13")" ] && [ -n "$twelve" ]; then
    mkdir -p "$links"
    ln -sf "$twelve" "$links/lib$library.so.13"
    echo "lib$library.so.13 is missing: $twelve is used"
  fi
done
[ -d "$links" ] && export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$links

export BATCHLAB_TEST_DEVICE=cuda:0 RUST_TEST_THREADS=4
export BATCHLAB_GOLDEN=$here/golden

keep() {
  tar czf "$results/.results.tar.gz" -C "$results" --exclude=peers --exclude='*.tar.gz' . 2>/dev/null
  mv "$results/.results.tar.gz" "$results/results.tar.gz"
}

step() { # name, seconds at most, command ...
  local name=$1 most=$2 start=$SECONDS; shift 2
  local left=$((budget - SECONDS))
  if [ $left -lt 10 ]; then
    echo "--- $name: left out, the time is used up" | tee -a "$results/summary.txt"
    failed+=("$name")
    keep
    return 1
  fi
  [ $left -lt "$most" ] && most=$left
  echo "=== $name"
  timeout --kill-after=5 "$most" "$@" > "$results/$name.log" 2>&1
  local status=$?
  # A name that no test has would pass.
  if [ $status -eq 0 ] && grep -q '^test result: ok. 0 passed' "$results/$name.log"; then
    echo "no test of this name ran" >> "$results/$name.log"
    status=98
  fi
  tail -n "${LINES_SHOWN:-4}" "$results/$name.log"
  echo "--- $name: status $status after $((SECONDS - start)) s of at most $most" | tee -a "$results/summary.txt"
  [ $status -eq 0 ] || failed+=("$name")
  keep
  return $status
}

environment() {
  cat commit; date -u +%FT%TZ
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader ||
    echo "nvidia-smi does not run, so neither GPU nor driver are known"
  for program in bin/* tests/*; do
    echo "$program"
    ldd "$program" | grep -E 'libcu|nvrtc|not found'
  done
  ls -d /usr/local/cuda* 2>/dev/null
  command -v compute-sanitizer ncu nvcc
  python3 -c 'import importlib.metadata as m
for name in ("jax", "torch", "torch_geometric", "numpy"):
    try:
        print(name, m.version(name))
    except m.PackageNotFoundError:
        print(name, "is missing: needed for the figures")'
  ! ldd bin/batchlab | grep -q 'not found'
}

# A failing test once more, with every launch waited for: the message then names the kernel.
tests() { # name, seconds, program, arguments ...
  local name=$1 most=$2; shift 2
  step "$name" "$most" "$@" ||
    step "$name-one-by-one" 60 env CUDA_LAUNCH_BLOCKING=1 RUST_TEST_THREADS=1 "$@"
}

sanitizer() { # tool
  local of=(tests/operations cuda_message::the_models --test-threads 1)
  step "$1" 60 compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 "${of[@]}"
}

smoke() { # folder
  bin/batchlab run configs/smoke.toml --device cuda:0 training.steps="$STEPS" --out "$results/$1"
}

# The smoke run again, with steps that are recorded.
recorded() {
  BATCHLAB_CUDA_GRAPHS=1 smoke recorded &&
    bin/batchlab compare "$results/smoke" "$results/recorded"
}

export -f environment smoke recorded
export results
case $call in
  first)
    LINES_SHOWN=60 step environment 20 bash -c environment
    # Without this, nothing of the rest says anything.
    if ! step open 30 tests/kernels --exact cuda::tests::elementwise_kernels; then
      echo "the GPU cannot be used: see above, and docs/gpu.md" >&2
      exit 1
    fi
    LINES_SHOWN=12 step smoke 60 bash -c 'smoke smoke'
    LINES_SHOWN=30 step recorded 60 bash -c recorded
    tests kernels 60 tests/kernels cuda::
    tests models 90 tests/operations cuda_message::the_models
    tests golden 90 tests/schnet golden::
    if command -v compute-sanitizer >/dev/null; then
      for tool in memcheck racecheck synccheck; do sanitizer $tool; done
    else
      echo "--- compute-sanitizer is not on this machine" | tee -a "$results/summary.txt"
    fi
    tests operations 240 tests/operations
    ;;
  figures)
    python3 -m pip install --quiet --no-deps --target "$results/peers" wheels/*.whl
    export PYTHONPATH=$results/peers
    LINES_SHOWN=80 step figures "$budget" python3 peers/compare_gpu.py --binary bin/batchlab-bench \
      --json "$results/figures.json"
    ;;
  profile)
    LINES_SHOWN=80 step profile "$budget" ncu --clock-control none --launch-skip 100 --launch-count 5 \
      --kernel-name regex:message_ --section SpeedOfLight --section Occupancy --section LaunchStats \
      tests/operations --exact cuda_message::the_models_at_their_widths --test-threads 1
    ;;
  *) echo "the call is \"first\", \"figures\" or \"profile\", not \"$call\"" >&2; exit 2 ;;
esac
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" | tee -a "$results/summary.txt"
  keep
  exit 1
fi
echo "all steps of \"$call\" passed after $SECONDS s" | tee -a "$results/summary.txt"
keep
