#!/usr/bin/env bash
# One small file with everything that a check on a GPU needs, for a machine that has only a driver,
# CUDA's libraries and Python with JAX and PyTorch:
#
#   crates/bench/gpu/bundle.sh [FOLDER] [ARGUMENTS FOR CARGO ...]    makes FOLDER.tar.xz of FOLDER
#   tar xJf gpu-bundle.tar.xz && gpu-bundle/run.sh RESULTS first     there (docs/gpu.md)
#
# EMULATED=1 packs programs for the emulated GPU, to rehearse the calls where there is no real one.
# BATCHLAB_GOLDEN names a folder with other golden files than ours.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cd "$root"
bundle=${1:-target/gpu-bundle}
shift || true
golden=${BATCHLAB_GOLDEN:-crates/testkit/golden}
release=${CARGO_TARGET_DIR:-target}/release
# What a machine that is lent for minutes takes without loss of time.
most_bytes=$((25 * 1000 * 1000))

feature=cuda
[ -z "${EMULATED:-}" ] || feature=cuda-check
rm -rf "$bundle" "$bundle.tar.xz"
mkdir -p "$bundle/bin" "$bundle/tests" "$bundle/wheels"

options=(--release -p batchlab-cli -p batchlab-bench -p batchlab-tensor -p model-schnet
         --features "batchlab-tensor/$feature" "$@")
cargo build "${options[@]}" --bins
install -s "$release/batchlab" "$release/batchlab-bench" "$bundle/bin/"

# The operations and messages of all models by themselves, and one model whole against its golden
# numbers, which are compiled in.
cargo test "${options[@]}" --no-run --lib --test it --message-format=json |
  python3 -c '
import json, sys
wanted = {("tensor", "batchlab_tensor"): "kernels", ("tensor", "it"): "operations", ("schnet", "it"): "schnet"}
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message.get("profile", {}).get("test"):
        folder = message["package_id"].split("/")[-1].split("#")[0]
        place = wanted.get((folder, message["target"]["name"]))
        if place:
            print(place, message["executable"])' |
  while read -r name executable; do
    install -s "$executable" "$bundle/tests/$name"
  done
for name in kernels operations schnet; do
  [ -x "$bundle/tests/$name" ] || { echo "the test program \"$name\" was not built" >&2; exit 1; }
done

cp -r configs "$bundle/"
# What the smoke run and the comparison of steps read.
mkdir "$bundle/data"
cp data/*.xz data/*.csv data/*.npz "$bundle/data/"
cp -r crates/bench/peers "$bundle/peers"
rm -rf "$bundle"/peers/{.venv,__pycache__}
mkdir "$bundle/golden"
cp "$golden"/schnet_* "$bundle/golden/"
chmod -R u+w "$bundle/golden"
if [ -n "${EMULATED:-}" ]; then
  # The newest, if several builds have left theirs.
  libraries=$(ls -dt "$release"/build/batchlab-tensor-*/out/emulated | head -n 1)
  cp -r "$libraries" "$bundle/lib"
else
  python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$bundle/wheels" jraph==0.0.6.dev0
fi
cp "$here/run.sh" "$here/page.py" "$bundle/"
git rev-parse HEAD > "$bundle/commit"
tar cJf "$bundle.tar.xz" -C "$(dirname "$bundle")" "$(basename "$bundle")"
bytes=$(stat -c %s "$bundle.tar.xz")
echo "$bundle.tar.xz: $bytes bytes"
if [ "$bytes" -gt "$most_bytes" ]; then
  echo "more than $most_bytes bytes: see with du -a $bundle what has grown" >&2
  exit 1
fi
