#!/usr/bin/env bash
# Checks and measures on a GPU what bundle.sh has packed:
#
#   gpu-bundle/run.sh RESULTS first      does it run, is it right: at most 9 minutes
#   gpu-bundle/run.sh RESULTS figures    the training step beside JAX and PyTorch: at most 9 minutes
#   gpu-bundle/run.sh RESULTS study      which batching is the fastest on this GPU: configs/study/gpu.toml
#   gpu-bundle/run.sh RESULTS engines    the same for SchNet in JAX
#   gpu-bundle/run.sh RESULTS profile    where five kernels lose their time (needs ncu)
#
# Everything is written to the folder RESULTS, and after each step to the one file
# RESULTS/results.tar.gz, so that a call that is cut short has left what it had. RESULTS/page.md sums up
# all calls, as a section for docs/gpu.md. Ends with status 1 if a step failed. docs/gpu.md says what
# each answers and what to do then.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd)
call=${2:-first}
budget=${BUDGET_S:-540} slower=1
cd "$here"

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
export STEPS=200
# Those of the emulated GPU, where the bundle has them: a step takes it a second, so limits of time are
# for real ones. PaiNN at its own width would take half a minute.
if [ -d "$here/lib" ]; then
  export BATCHLAB_CUDA_LIBRARIES=$here/lib
  STEPS=12 slower=20 budget=${BUDGET_S:-10800}
  export WIDTH=64
fi

export BATCHLAB_TEST_DEVICE=cuda:0 RUST_TEST_THREADS=4
export BATCHLAB_GOLDEN=$here/golden

keep() {
  python3 page.py "$results" > "$results/page.md" || echo "page.md is not complete: see above"
  tar czf "$results/.results.tar.gz" -C "$results" --exclude=peers --exclude='*.tar.gz' --exclude='./*-run' --exclude=checkpoints . 2>/dev/null
  mv "$results/.results.tar.gz" "$results/results.tar.gz"
}

# Runs a command with a time limit. Its output goes to a file of its name, the last LINES_SHOWN lines
# of it to the terminal.
step() { # name, seconds at most, command ...
  local name=$1 most=$(($2 * slower)) start=$SECONDS status; shift 2
  local left=$((budget - SECONDS))
  [ $left -lt "$most" ] && most=$left
  if [ $left -lt 10 ]; then
    echo "left out: the time is used up" > "$results/$name.log"
    status=97
  else
    timeout --kill-after=5 "$most" "$@" > "$results/$name.log" 2>&1
    status=$?
  fi
  # A name that no test has would pass.
  if [ $status -eq 0 ] && grep -q '^test result: ok. 0 passed' "$results/$name.log"; then
    echo "no test of this name ran" >> "$results/$name.log"
    status=98
  fi
  [ $status -eq 0 ] || echo "$name" >> "$results/failed"
  local last; last=$(tail -n "${LINES_SHOWN:-4}" "$results/$name.log")
  echo "--- $name: status $status after $((SECONDS - start)) s of at most $most" >> "$results/summary.txt"
  printf '=== %s: status %s after %s s of at most %s\n%s\n' "$name" $status $((SECONDS - start)) "$most" "$last"
  keep_unless_together
  return $status
}

# Steps of which none is timed, at the same time: they mostly wait for the compiler of their kernels.
keep_unless_together() { [ -n "${TOGETHER:-}" ] || keep; }
together() { # commands, one per argument
  local command
  for command in "$@"; do TOGETHER=1 $command & done
  wait
  keep
}

environment() {
  cat commit; date -u +%FT%TZ
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader ||
    echo "nvidia-smi does not run, so neither GPU nor driver are known"
  # What the programs load, in the order in which they look.
  { local IFS=:; for folder in ${BATCHLAB_CUDA_LIBRARIES:-$LD_LIBRARY_PATH}; do
    ls "$folder"/lib{cuda,cublas,nvrtc}.so.* 2>/dev/null; done; }
  ldconfig -p 2>/dev/null | awk '$1 ~ /^lib(cuda|cublas|nvrtc)\.so\.[0-9]+$/ { print $NF }'
  ls -d /usr/local/cuda* 2>/dev/null
  command -v compute-sanitizer ncu nvcc
  python3 -c 'import importlib.metadata as m
for name in ("jax", "torch", "torch_geometric", "numpy"):
    try:
        print(name, m.version(name))
    except m.PackageNotFoundError:
        print(name, "is missing: needed for the figures")'
  ! ldd bin/batchlab | grep 'not found'
}

# A failing test once more, with every launch waited for: the message then names the kernel.
tests() { # name, seconds, program, arguments ...
  local name=$1 most=$2; shift 2
  step "$name" "$most" "$@" --nocapture && return
  # No second try where there was no time for the first.
  [ $? -eq 97 ] ||
    step "$name-one-by-one" 60 env CUDA_LAUNCH_BLOCKING=1 RUST_TEST_THREADS=1 "$@" --nocapture
}

sanitizer() { # tool
  step "$1" 100 compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
    tests/operations cuda_message::models --test-threads 1 --nocapture
}

# Two runs of the program, with recorded steps and without, must train the same parameters to the bit.
run() { # name, overrides
  local name=$1; shift
  bin/batchlab run configs/smoke.toml --device cuda:0 training.steps="$STEPS" --out "$results/$name-run" "$@" \
    ${WIDTH:+model.latent_size="$WIDTH"}
}
recorded() { # model, batcher
  local plain=$1-$2-plain recorded=$1-$2
  run "$recorded" model="$1" batcher="$2" &&
    run "$plain" model="$1" batcher="$2" training.cuda_graphs=false &&
    bin/batchlab compare "$results/$plain-run" "$results/$recorded-run" &&
    python3 - "$results/$plain-run" "$results/$recorded-run" <<'P'
import glob, json, struct, sys

def tensors(folder):
    """The bytes of the last checkpoint, without the description of its run."""
    path = max(glob.glob(f"{folder}/runs/*/checkpoints/*.safetensors"))
    content = open(path, "rb").read()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    return {name: content[8 + length + at["data_offsets"][0]:8 + length + at["data_offsets"][1]]
            for name, at in header.items() if name != "__metadata__"}

one, other = (tensors(folder) for folder in sys.argv[1:])
different = [name for name in one if one[name] != other.get(name)]
print(f"{len(one)} tensors with {sum(map(len, one.values()))} bytes; different after recorded steps: {different}")
sys.exit(bool(different) or one.keys() != other.keys())
P
}

# A study and what it says, which also goes into the page.
sweep() { # name, arguments
  local name=$1 status; shift
  bin/batchlab sweep "$@" --out "$results/$name"
  status=$?
  bin/batchlab report "$results/$name" | tee "$results/$name.txt"
  return $status
}

export -f environment run recorded sweep
export results
rm -f "$results/failed"
case $call in
  first)
    LINES_SHOWN=60 step environment 20 bash -c environment
    # Without this, nothing of the rest says anything. The first use of a GPU loads 600 MB of libraries.
    if ! step open 120 tests/kernels --exact cuda::tests::elementwise_kernels --nocapture; then
      echo "the GPU cannot be used: see above, and docs/gpu.md" >&2
      exit 1
    fi
    LINES_SHOWN=12 step smoke 60 bash -c 'run smoke'
    for model in schnet mpeu painn; do
      for batcher in dynamic static-64; do
        LINES_SHOWN=1 step "recorded-$model-$batcher" 60 bash -c "recorded $model $batcher"
      done
    done
    together "tests kernels 90 tests/kernels cuda::" \
      "tests models 120 tests/operations cuda_message::models" \
      "tests golden 90 tests/schnet golden::"
    if command -v compute-sanitizer >/dev/null; then
      LINES_SHOWN=6 step memcheck-recorded 60 compute-sanitizer --error-exitcode 9 --print-limit 20 bin/batchlab \
        run configs/smoke.toml --device cuda:0 training.steps=20 --out "$results/memcheck-run"
      together "sanitizer memcheck" "sanitizer racecheck" "sanitizer synccheck" "sanitizer initcheck" \
        "tests operations 240 tests/operations"
    else
      echo "--- compute-sanitizer is not on this machine" | tee -a "$results/summary.txt"
      tests operations 240 tests/operations
    fi
    ;;
  figures)
    python3 -m pip install --quiet --no-deps --target "$results/peers" wheels/*.whl
    export PYTHONPATH=$results/peers
    LINES_SHOWN=80 step figures "$budget" python3 peers/compare_gpu.py --binary bin/batchlab-bench \
      --json "$results/figures.json" ${FIGURES:-}
    ;;
  study)
    LINES_SHOWN=60 step study "$budget" bash -c 'sweep "$@"' . study configs/study/gpu.toml \
      --time-limit "${STUDY_S:-300}s"
    ;;
  engines)
    # JAX would take three quarters of the memory for each run of the cell.
    export XLA_PYTHON_CLIENT_PREALLOCATE=false
    LINES_SHOWN=40 step engines "$budget" bash -c 'sweep "$@"' . engines configs/smoke.toml study=engines --device cuda:0 \
      'models=[{ name = "python", file = "schnet_jax.py", python = "python3" }]' \
      "batchers=${ENGINE_BATCHERS:-dynamic,static-constant,static-2^N,static-64}" batch_sizes=32 training.steps=200 \
      evaluation.every=200 blocks.steps=20 blocks.seconds=0.1 blocks.pairs=10
    ;;
  profile)
    LINES_SHOWN=80 step profile "$budget" ncu --clock-control none --launch-skip 100 --launch-count 5 \
      --kernel-name regex:message_ --section SpeedOfLight --section Occupancy --section LaunchStats \
      tests/operations --exact cuda_message::models::the_models_at_their_widths --test-threads 1 --nocapture
    ;;
  *) echo "the call is \"first\", \"figures\", \"study\", \"engines\" or \"profile\", not \"$call\"" >&2; exit 2 ;;
esac
if [ -s "$results/failed" ]; then
  echo "failed: $(tr '\n' ' ' < "$results/failed")" | tee -a "$results/summary.txt"
  keep
  exit 1
fi
echo "all steps of \"$call\" passed after $SECONDS s" | tee -a "$results/summary.txt"
keep
