#!/usr/bin/env bash
# One file with everything that a check on a GPU needs, for a machine that has only a driver, CUDA's
# libraries and Python with JAX and PyTorch:
#
#   crates/bench/gpu/bundle.sh [FOLDER]       makes target/gpu-bundle.tar.gz of target/gpu-bundle
#   tar xzf gpu-bundle.tar.gz && gpu-bundle/run.sh RESULTS      there
#
# BATCHLAB_GOLDEN names a folder with other golden files than ours.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cd "$root"
bundle=${1:-target/gpu-bundle}
golden=${BATCHLAB_GOLDEN:-crates/testkit/golden}
models="model-schnet model-mpeu model-painn"
release=${CARGO_TARGET_DIR:-target}/release

command -v nvcc >/dev/null || eval "$("$here/toolkit.sh")"
rm -rf "$bundle"
mkdir -p "$bundle/bin" "$bundle/tests" "$bundle/wheels"

features=(--features batchlab-tensor/cuda)
cargo build --release -p batchlab-cli -p batchlab-bench "${features[@]}"
install -s "$release/batchlab" "$release/batchlab-bench" "$bundle/bin/"

# Test programs by package and name. What they compare with is compiled in. The models' libraries have
# no tests.
packages=(-p batchlab-tensor)
for model in $models; do packages+=(-p "$model"); done
cargo test --release --no-run "${packages[@]}" "${features[@]}" --message-format=json |
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message.get("profile", {}).get("test"):
        package = message["package_id"].split("/")[-1].split("#")[0]
        name = message["target"]["name"]
        if not name.startswith("model_"):
            print(package, name, message["executable"])' |
  while read -r package name executable; do
    install -s "$executable" "$bundle/tests/$package-$name"
  done

cp -r configs data "$bundle/"
cp -r crates/bench/peers "$bundle/peers"
rm -rf "$bundle"/peers/{.venv,__pycache__}
cp -r "$golden" "$bundle/golden"
chmod -R u+w "$bundle/golden"
python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$bundle/wheels" jraph==0.0.6.dev0
cp "$here/run.sh" "$bundle/"
git rev-parse HEAD > "$bundle/commit"
tar czf "$bundle.tar.gz" -C "$(dirname "$bundle")" "$(basename "$bundle")"
du -h "$bundle.tar.gz"
