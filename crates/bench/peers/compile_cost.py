"""Time XLA takes to compile one training step for one padded shape.

    cargo build --release -p batchlab-bench
    crates/bench/peers/setup.sh
    crates/bench/peers/.venv/bin/python crates/bench/peers/compile_cost.py --json compile.json

For each model and batch size, the graphs of one batch are padded to `--shapes` shapes, multiples of
64 nodes and edges. Every shape is traced and compiled once, as JAX does on its first use, without an
on-disk compilation cache. `batchlab report --compile-cost SECONDS` takes the result.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import tempfile

import workers
from blocks import processor
from compare_training import MODELS, PLAIN, ROOT, choice


def compile_shapes(ours, jax, model, batch_size, n_shape):
    """One row per shape: its size, and the seconds to trace and to compile it."""
    rows, at_least = [], None
    for _ in range(n_shape):
        padded = ours.ask("open", structures="qm9", model=MODELS[model],
                          choice=choice(batch_size, at_least=at_least))["padded"]
        with tempfile.TemporaryDirectory() as folder:
            ours.ask("write", case=0, folder=folder)
            seconds = jax.ask("compile", folder=folder, model=model, options=PLAIN[model])
        ours.ask("close")
        rows.append({"model": model, "batch_size": batch_size, **padded, **seconds})
        at_least = {"n_node": padded["n_node"], "n_edge": padded["n_edge"] + 64}
    return rows


def summary(rows):
    """Seconds for the first use of a shape: median, minimum and maximum over shapes."""
    seconds = [row["trace_s"] + row["compile_s"] for row in rows]
    return {"n_shape": len(rows), "median_s": statistics.median(seconds),
            "least_s": min(seconds), "largest_s": max(seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--binary", default=ROOT / "target/release/batchlab-bench", type=pathlib.Path)
    add("--models", default=list(MODELS), nargs="+", choices=list(MODELS))
    add("--batch-size", default=[16, 32, 64], nargs="+", type=int)
    add("--shapes", default=10, type=int, help="of each model and batch size")
    add("--threads", default=2, type=int)
    add("--device", default="cpu")
    add("--json", type=pathlib.Path, help="where everything is written")
    options = parser.parse_args()

    ours = workers.ours(options.binary, options.threads)
    jax = workers.peer("jax", options.threads, options.device, keeps_memory=False)
    result = {"processor": processor(), "jax": importlib.metadata.version("jax"),
              "device": options.device, "threads": options.threads, "load": [os.getloadavg()[0]],
              "shapes": [], "summary": {}}
    for model in options.models:
        for batch_size in options.batch_size:
            result["shapes"] += compile_shapes(ours, jax, model, batch_size, options.shapes)
        found = summary([row for row in result["shapes"] if row["model"] == model])
        result["summary"][model] = found
        print(f"{model:<7} {found['n_shape']} shapes: {found['median_s']:.2f} s each "
              f"({found['least_s']:.2f} to {found['largest_s']:.2f})", flush=True)
    result["load"].append(os.getloadavg()[0])
    print("load:", result["load"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    ours.stop()
    jax.stop()


if __name__ == "__main__":
    main()
