#!/usr/bin/env bash
# Compiles all CUDA sources, those of the models' messages as they are written out too, with NVIDIA's
# own compilers, for sm_80 and sm_90: with NVRTC as the program does, and with nvcc, which prints what
# each kernel uses. Fails on an error or where a kernel has no room for its values in registers: where
# it spills some, or keeps an array in a stack frame. Needs no GPU. Where nvcc is not on the path, or NVRTC
# does not name the folder of libnvrtc, both come from Python wheels (190 MB); nvcc needs g++.
#
#   crates/tensor/check-kernels.sh [arguments for cargo, so that it builds nothing anew]
#
# `ARCHS=sm_90` runs nvcc for one architecture only. `KERNEL_SOURCES` names a folder in which a test with
# BATCHLAB_CUDA_SOURCES has written the sources before.
set -euo pipefail
crate=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$crate/../.." && pwd)
sources=${KERNEL_SOURCES:-$root/target/kernel-sources}
# Bytes that a thread may put aside to memory for want of registers, or because it indexes an array of
# its own by a variable.
most_spilled=0
most_stack=0
archs=${ARCHS:-sm_80 sm_90}

if ! command -v nvcc >/dev/null || [ -z "${NVRTC:-}" ]; then
  command -v g++ >/dev/null || { echo "g++ is missing; install it first (Debian: apt-get install g++)" >&2; exit 1; }
  wheels=$root/target/cuda-wheels
  export NVRTC=$wheels/nvidia/cu13/lib PATH=$wheels/nvidia/cu13/bin:$PATH
  # 13.0 is what a driver 580 supports.
  [ -x "$wheels/nvidia/cu13/bin/nvcc" ] && [ -e "$NVRTC/libnvrtc.so.13" ] ||
    "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
      --target "$wheels" nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
      nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88 >&2
fi
mkdir -p "$sources"
plain=$(sed -n 's|.*include_str!("\(kernels/.*\.cu\)").*|\1|p' "$crate/src/cuda/kernels.rs")
(cd "$crate/src/cuda" && cat $plain) > "$sources/plain.cu"
# The emulated GPU gets the same sources as a real one.
if [ -z "${KERNEL_SOURCES:-}" ]; then
  rm -f "$sources"/message-*.cu
  (cd "$root" && BATCHLAB_CUDA_SOURCES=$sources cargo test --release --quiet -p batchlab-tensor \
    --features batchlab-tensor/cuda-check "$@" --test it -- cuda_message::models) >&2
fi
ls "$sources"/message-*.cu >/dev/null

status=0
LD_LIBRARY_PATH=$NVRTC:${LD_LIBRARY_PATH:-} "${PYTHON:-python3}" "$crate/nvrtc.py" "$sources"/*.cu || status=1
printf '%-6s %-32s %-28s %9s %8s %6s %13s\n' arch source kernel registers spilled stack 'shared bytes'
compile() {
  nvcc "-arch=$2" -cubin -Xptxas -v -diag-suppress 177 -o /dev/null "$1" > "$1.$2.log" 2>&1 || touch "$1.$2.failed"
}
export -f compile
rm -f "$sources"/*.failed
for source in "$sources"/*.cu; do printf "$source\t%s\n" $archs; done | xargs -P "$(nproc)" -L 1 bash -c 'compile "$0" "$1"'
for source in "$sources"/*.cu; do
  for arch in $archs; do
    log=$(cat "$source.$arch.log")
    if [ -e "$source.$arch.failed" ]; then
      printf '%s\n' "$log" >&2
      status=1
      continue
    fi
    table=$( (grep 'bytes of dynamic shared memory' "$source" || true; printf '%s\n' "$log") | awk -v arch="$arch" -v source="$(basename "$source")" -v most_spilled="$most_spilled" -v most_stack="$most_stack" '
      /^\/\/ .* bytes of dynamic shared memory$/ { sub(":", "", $2); dynamic[$2] = $3 }
      /Compiling entry function/ { split($0, word, "\047"); kernel = word[2]; spilled = 0; stack = 0 }
      # One such line for the kernel, and one for each function that it calls.
      /spill stores/ {
        for (i = 1; i < NF; i++) {
          if ($(i + 2) == "spill" && $i > spilled) spilled = $i + 0
          if ($(i + 2) == "stack" && $i > stack) stack = $i + 0
        }
      }
      /Used [0-9]+ registers/ {
        shared = dynamic[kernel]
        for (i = 1; i < NF; i++) {
          if ($i == "Used") registers = $(i + 1)
          if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared += $i
        }
        printf "%-6s %-32s %-28s %9s %8s %6s %13s\n", arch, source, kernel, registers, spilled, stack, shared
        if (spilled > most_spilled || stack > most_stack) bad = 1
      }
      END { exit bad }') || { status=1; echo "a kernel spills registers or has a stack frame: see below" >&2; }
    printf '%s\n' "$table"
  done
done
exit $status
