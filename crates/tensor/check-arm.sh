#!/usr/bin/env bash
# The engine's unit tests for 64-bit ARM: compiled here, run by qemu-user, ten minutes for each kind of
# vectors on two cores. Not a part of the gate.
#
#   crates/tensor/check-arm.sh [filter of tests]
set -euo pipefail
target=aarch64-unknown-linux-gnu
command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null ||
  { apt-get update -q && apt-get install -qy --no-install-recommends qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross; }
rustup target add "$target"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# Each of the two kinds of vectors that there are.
for vectors in "" plain; do
  BATCHLAB_VECTORS=$vectors cargo test --release --target "$target" -p batchlab-tensor --lib -- "$@"
done
