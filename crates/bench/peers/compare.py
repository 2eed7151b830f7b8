"""Times batching in batchlab, jraph, PyTorch Geometric and NumPy: same molecules, same batches.

    cargo build --release -p batchlab-bench
    crates/bench/peers/setup.sh --pyg
    crates/bench/peers/.venv/bin/python crates/bench/peers/compare.py

Every block measures all systems in turn (A B C A B C ...), on one core and in one run; the order
rotates from block to block. Before anything is timed, our batches are compared with jraph's element
by element; a difference ends the run with status 1. docs/benchmarks.md explains the rows.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

from blocks import measure, processor, summarise
from peers import Molecules, numpy_batches, pyg_batches
from peers import jraph_dynamic, jraph_static_64
from peers import dynamic_budget, dynamic_groups, static_groups
from check import compare_batches

ROOT = pathlib.Path(__file__).resolve().parents[3]
STRATEGIES = ["dynamic", "static-64"]
FIELDS = ["schnet", "sender-order", "displacement"]
# Number of epochs whose order is exported: more than a run uses.
N_EPOCH = 1500
# Larger than the last-level cache.
OTHER = np.zeros(64 << 20, np.uint8)


class Ours:
    """The batchlab-bench process, which answers requests line by line."""

    def __init__(self, binary, data):
        self.process = subprocess.Popen(
            [binary, "serve", *data], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.n_source = 0

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("batchlab-bench ended early; its message is above")
        return json.loads(line)

    def open(self, strategy, batch_size, fields):
        """Returns a function from a number of batches, and whether caches are cold, to microseconds per batch."""
        self.ask(do="open", strategy=strategy, batch_size=batch_size, fields=fields)
        source, self.n_source = self.n_source, self.n_source + 1
        return lambda n_batch, is_cold: self.ask(
            do="time", source=source, n_batch=n_batch, is_cold=is_cold)["us"]


def timed(batches):
    """The same for an infinite iterator."""
    def block(n_batch, is_cold):
        if is_cold:
            return sum(cold(batches) for _ in range(n_batch)) * 1e6 / n_batch
        start = time.perf_counter()
        for _ in range(n_batch):
            next(batches)
        return (time.perf_counter() - start) * 1e6 / n_batch
    return block


def cold(batches):
    """Seconds for one batch after something else has filled the caches."""
    np.add(OTHER, 1, out=OTHER)
    start = time.perf_counter()
    next(batches)
    return time.perf_counter() - start


def blocks_of(system, milliseconds, is_cold):
    """A function that runs one block of about this length, which includes filling the caches."""
    start = time.perf_counter()
    system(20, is_cold)
    per_batch = (time.perf_counter() - start) / 20
    n_batch = max(1, round(1e-3 * milliseconds / per_batch))
    return functools.partial(system, n_batch, is_cold)


def systems(ours, molecules, strategy, batch_size, with_pyg):
    """Name -> function that times a block."""
    budget = dynamic_budget(molecules, batch_size)
    stream = molecules.stream()
    if strategy == "dynamic":
        jraph_batches = jraph_dynamic(stream, *budget, batch_size)
        groups = dynamic_groups(molecules, *budget, batch_size)
    else:
        jraph_batches = jraph_static_64(stream, batch_size)
        groups = static_groups(molecules, batch_size)
    groups = list(itertools.islice(groups, len(molecules.n_node) // batch_size))
    constant = budget if strategy == "dynamic" else None
    all_systems = {f"batchlab {fields}": ours.open(strategy, batch_size, fields)
                   for fields in FIELDS}
    all_systems["jraph"] = timed(jraph_batches)
    if with_pyg:
        all_systems["PyG"] = timed(pyg_batches(molecules, groups))
    for arrangement in ("gathered", "contiguous"):
        contiguous = arrangement == "contiguous"
        batches = numpy_batches(molecules, groups, batch_size, constant, contiguous)
        all_systems[f"NumPy {arrangement}"] = timed(batches)
    return all_systems


def versions(with_pyg):
    names = ["jraph", "jax", "numpy"] + (["torch", "torch_geometric"] if with_pyg else [])
    return {"python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in names}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "target/release/batchlab-bench", type=pathlib.Path)
    parser.add_argument("--batch-size", default=[16, 32, 64, 128], nargs="+", type=int)
    parser.add_argument("--blocks", default=30, type=int)
    parser.add_argument("--block-ms", default=20, type=float, help="milliseconds of each system in a block")
    parser.add_argument("--cold", action="store_true",
                        help="overwrite the caches before every batch, as a training step between two batches does")
    parser.add_argument("--compare", default=150, type=int, help="batches compared with jraph's")
    parser.add_argument("--repeat", default=1, type=int, help="repeats the sample in memory")
    parser.add_argument("--core", default=0, type=int, help="the core that everything runs on")
    parser.add_argument("--json", type=pathlib.Path, help="where all blocks are written")
    options = parser.parse_args()
    if not options.binary.exists():
        sys.exit(f"{options.binary} is missing: cargo build --release -p batchlab-bench")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    with_pyg = importlib.util.find_spec("torch_geometric") is not None

    data = ["--repeat", str(options.repeat)]
    result = {"processor": processor(), "versions": versions(with_pyg), "is_cold": options.cold, "tables": []}
    result["load_before"] = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([options.binary, "export", *data, "--epochs", str(N_EPOCH), folder],
                       check=True)
        molecules = Molecules(folder)
        ours = Ours(options.binary, data)
        print(result["processor"], result["versions"], f"{len(molecules.n_node)} molecules")
        for strategy, batch_size in itertools.product(STRATEGIES, options.batch_size):
            dump = folder / f"{strategy}-{batch_size}"
            ours.ask(do="dump", strategy=strategy, batch_size=batch_size,
                     n_batch=options.compare, folder=str(dump))
            n_value = compare_batches(dump, molecules, strategy, batch_size, options.compare)
            all_systems = systems(ours, molecules, strategy, batch_size, with_pyg)
            samples = measure({name: blocks_of(system, options.block_ms, options.cold)
                               for name, system in all_systems.items()}, options.blocks)
            rows = summarise(samples, "batchlab schnet")
            result["tables"].append({"strategy": strategy, "batch_size": batch_size,
                                     "equal_batches": options.compare, "equal_values": n_value,
                                     "rows": rows})
            print(f"\n{strategy} B = {batch_size}: {options.compare} batches, {n_value} values "
                  "equal jraph's")
            for name, row in rows.items():
                us, ratio = row["interval"], row["ratio_interval"]
                print(f"  {name:<22} {row['median']:9.2f} us ({us[0]:.2f}-{us[1]:.2f})"
                      f"   x {row['ratio']:7.2f} ({ratio[0]:.2f}-{ratio[1]:.2f})")
    result["load_after"] = os.getloadavg()
    print("\nload before and after:", result["load_before"], result["load_after"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
