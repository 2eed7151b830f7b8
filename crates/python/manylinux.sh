#!/usr/bin/env bash
# Builds a wheel for Linux with glibc 2.17 or later, where neither Rust nor a compiler is needed to install it:
#   crates/python/manylinux.sh [FOLDER]
# Needs Rust, and maturin and ziglang from PyPI: python -m pip install maturin ziglang
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-target/wheels}
rustup target add x86_64-unknown-linux-gnu
maturin build --release --zig --target x86_64-unknown-linux-gnu --compatibility manylinux2014 \
  --manifest-path crates/python/Cargo.toml --out "$out"
ls -l "$out"
