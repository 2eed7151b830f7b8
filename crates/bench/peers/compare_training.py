"""Times the training step (forward, backward, Adam) in batchlab, JAX and PyTorch: the same batch, the
same parameters, the same mathematics.

    cargo build --release -p batchlab-bench
    crates/bench/peers/setup.sh --pyg
    crates/bench/peers/.venv/bin/python crates/bench/peers/compare_training.py

Every block measures all systems in turn, in an order that rotates from block to block. Loss,
predictions and gradients of every system are compared with ours before the blocks, and again after
them at the parameters that ours has reached; a difference ends the run with status 1.
docs/benchmarks.md explains the rows.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np

import workers
from blocks import measure, processor, summarise

ROOT = pathlib.Path(__file__).resolve().parents[3]

# Our `[model]` tables. PaiNN has 128 features, as for QM9 in the study's repository.
MODELS = {
    "schnet": {"name": "schnet"},
    "mpeu": {"name": "mpeu"},
    "painn": {"name": "painn", "latent_size": 128, "cutoff_angstrom": 6.0},
}
# Options of the peers' models: as the study's program computes them, and with node-side products.
PLAIN = {"schnet": {}, "mpeu": {}, "painn": {"cutoff": 6.0}}
NODE_SIDE = {"schnet": {"node_side": True}, "mpeu": {"node_side": True}, "painn": {"cutoff": 6.0}}

COMPILED = "PyTorch compiled"


def rows_of_peers(model, peers, with_compiled=False, keeps_memory=(True,)):
    """Row name -> kind of process, whether its allocator keeps freed memory, and options of the
    model."""
    # For PyTorch, the faster variant; PyTorch Geometric's own SchNet has its product on the node
    # side, too.
    rows = {"JAX": ("jax", PLAIN[model]), "PyTorch eager": ("eager", NODE_SIDE[model])}
    as_installed = {f"{row}, as installed": (kind, False, options)
                    for row, (kind, options) in rows.items()}
    if NODE_SIDE[model] != PLAIN[model]:
        rows["JAX, node side"] = ("jax", NODE_SIDE[model])
        rows["JAX, trimmed"] = ("jax", NODE_SIDE[model] | {"trimmed": True})
    if with_compiled:
        rows[COMPILED] = ("compiled", NODE_SIDE[model])
    rows = {row: (kind, True, options) for row, (kind, options) in rows.items()} | as_installed
    return {row: of for row, of in rows.items()
            if of[0].replace("compiled", "eager") in peers and of[1] in keeps_memory}


STRATEGIES = {
    "static-64": {"name": "static", "padding": {"multiple": 64}},
    "static-2^N": {"name": "static", "padding": {"power": 2}},
    "dynamic": {"name": "dynamic"},
}


def choice(batch_size, strategy="static-64", at_least=None):
    """A batch of a strategy, and optionally a larger shape to pad it to."""
    return {"batcher": {**STRATEGIES[strategy], "batch_size": batch_size}, "at_least": at_least}


def timed(worker, case, block_ms):
    """Returns a function that runs one block and returns the milliseconds of each step. The number of
    steps is chosen such that a block takes about `block_ms`."""
    first = min(worker.ask("time", case=case, n_step=2)["ms"])
    n_step = int(np.clip(round(block_ms / first), 2, 50))
    return lambda: worker.ask("time", case=case, n_step=n_step)["ms"]


class Processes:
    """Our process and those of the requested peers, at one number of threads."""

    def __init__(self, options, threads):
        self.threads, self.options = threads, options
        self.ours = workers.ours(options.binary, threads)
        self.peers = {}

    def peer(self, kind, keeps_memory=True):
        key = kind, keeps_memory
        if key not in self.peers:
            self.peers[key] = workers.peer(kind, self.threads, keeps_memory=keeps_memory)
            if not self.peers[key].ask("denormals")["flushed"]:
                sys.exit(f"{kind} does not flush denormal numbers, so its times say nothing")
        return self.peers[key]

    def all(self):
        return [self.ours, *self.peers.values()]

    def stop(self):
        for worker in self.all():
            worker.stop()


def compare_step(processes, structures, model, batch_size):
    """One table: rows of all systems on one batch, and the floors."""
    options, ours = processes.options, processes.ours
    sizes = ours.ask("open", structures=structures, model=MODELS[model],
                     choice=choice(batch_size, options.strategy))
    with tempfile.TemporaryDirectory() as folder:
        ours.ask("write", case=0, folder=folder)
        floors = []

        def floor():
            floors.append(ours.ask("floor", case=0))
            return [floors[-1]["ms"]]

        systems = {"batchlab": timed(ours, 0, options.block_ms), "floor": floor}
        cases, opened, refused, first_step = {}, [], {}, {}
        for row, (kind, keeps_memory, of_model) in rows_of_peers(
                model, options.peers, batch_size in options.compiled_batch_size,
                options.keeps_memory).items():
            worker = processes.peer(kind, keeps_memory)
            case = sum(other is worker for other in opened)
            answer = worker.ask("open", folder=folder, model=model, options=of_model)
            first_step[row] = answer["first_step_s"]
            found = worker.ask("compare", case=case, folder=folder)
            opened.append(worker)
            if "refused" not in found:
                cases[row] = (worker, case)
                systems[row] = timed(worker, case, options.block_ms)
            elif row == COMPILED:
                # The same functions pass in eager mode, so the compiler is at fault.
                refused[row] = found["refused"]
            else:
                sys.exit(f"{row}, {model}, B = {batch_size}: {found['refused']}")
        load = os.getloadavg()[0]
        samples = measure(systems, options.blocks)
        ours.ask("write", case=0, folder=folder)
        differences = {row: worker.ask("compare", case=case, folder=folder, trained=True)
                       for row, (worker, case) in cases.items()}
        for row, found in differences.items():
            if "refused" in found:
                sys.exit(f"{row}, {model}, B = {batch_size}, after training: {found['refused']}")
    for worker in processes.all():
        worker.ask("close")
    return {"structures": structures, "model": model, "options": MODELS[model],
            "batch_size": batch_size, "strategy": options.strategy, "threads": processes.threads,
            "sizes": sizes, "load": [load, os.getloadavg()[0]],
            "rows": summarise(samples, "batchlab"), "first_step_s": first_step,
            "differences": differences, "refused": refused, "floor": floors[-1]}


def disturbed(table):
    """Why the times of a table say little, or None."""
    # The systems take turns, so each thread of theirs adds at most 1 to the load.
    load = max(table["load"])
    if load > table["threads"] + 0.7:
        return f"the load was {load:.1f}, with {table['threads']} threads of the measured systems"
    for name, row in table["rows"].items():
        low, high = row["interval"]
        if high / low > 1.3:
            return f"the time of {name} is known only to be between {low:.1f} and {high:.1f} ms"
    return None


def quiet_step(processes, structures, model, batch_size):
    """A table measured while nothing else disturbed it, or None after three attempts."""
    for attempt in range(3):
        table = compare_step(processes, structures, model, batch_size)
        reason = disturbed(table)
        if reason is None or processes.options.anyway:
            print_step(table)
            return table
        print(f"\n{model}, {structures}, B = {batch_size}, attempt {attempt + 1}: not used, because {reason}",
              flush=True)
        time.sleep(30)
    return None


def print_step(table):
    padded, real = table["sizes"]["padded"], table["sizes"]["real"]
    print(f"\n{table['model']}, {table['structures']}, {table['strategy']}, "
          f"B = {table['batch_size']}, {table['threads']} threads: {padded['n_node']} nodes, {padded['n_edge']} edges "
          f"({real['n_edge']} real); load {table['load'][0]:.1f} to {table['load'][1]:.1f}")
    for name, row in table["rows"].items():
        low, high = row["interval"]
        ratio_low, ratio_high = row["ratio_interval"]
        line = (f"  {name:<27} {row['median']:8.2f} ms ({low:.2f}-{high:.2f})"
                f"   x {row['ratio']:6.2f} ({ratio_low:.2f}-{ratio_high:.2f})"
                f"   least {row['least']:8.2f} ms, x {row['least_ratio']:5.2f}")
        if name in table["differences"]:
            line += f"   gradients differ by {table['differences'][name]['all gradients']:.0e}"
        print(line)
    for name, reason in table["refused"].items():
        print(f"  {name:<27} not measured: {reason}")
    floor = table["floor"]
    print(f"  the floor: {floor['giga_operations']:.2f} GFLOP, {floor['kept_bytes'] / 1e6:.1f} MB written and read")
    sys.stdout.flush()


def squares(processes):
    """GFLOP/s of a product of two 2048 x 2048 matrices."""
    kinds = {"batchlab": processes.ours}
    kinds |= {{"jax": "JAX", "eager": "PyTorch"}[kind]: processes.peer(kind)
              for kind in processes.options.peers}
    rates = {name: worker.ask("square", size=2048)["giga_per_second"]
             for name, worker in kinds.items()}
    print(f"\nproduct of two 2048 x 2048, {processes.threads} threads, GFLOP/s: "
          + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    return {"threads": processes.threads, "giga_per_second": rates}


def linearity(processes, structures, model, batch_size):
    """Time against padded edges: the same graphs with more and more padding. The fit uses the minimum
    over all steps, to exclude the time added by other work on the machine."""
    ours, options = processes.ours, processes.options
    def open_with(at_least):
        return ours.ask("open", structures=structures, model=MODELS[model],
                        choice=choice(batch_size, at_least=at_least))["padded"]
    own = open_with(None)
    n_edge = [own["n_edge"] * factor // 4 for factor in (4, 6, 8, 12, 16)]
    for n in n_edge[1:]:
        open_with({"n_node": own["n_node"], "n_edge": n})
    samples = measure({n: timed(ours, case, options.block_ms) for case, n in enumerate(n_edge)},
                      options.blocks)
    ours.ask("close")
    least = [float(min(min(block) for block in blocks)) for blocks in samples.values()]
    slope, intercept = np.polyfit(n_edge, least, 1)
    deviation = [float(ms / (intercept + slope * n) - 1) for n, ms in zip(n_edge, least)]
    print(f"\n{model}, {structures}, B = {batch_size}, {processes.threads} threads, padded with "
          f"edges: {intercept:.2f} ms + {slope * 1e6:.0f} ns per edge")
    for n, ms, off in zip(n_edge, least, deviation):
        print(f"  {n:>7} edges {ms:8.2f} ms, {100 * off:+.1f} % off the line, "
              f"{ms / n * 1e6:.0f} ns per edge")
    return {"model": model, "structures": structures, "batch_size": batch_size,
            "threads": processes.threads, "n_edge": n_edge, "least_ms": least,
            "intercept_ms": intercept, "ns_per_edge": slope * 1e6, "deviation": deviation}


def half_padding(processes, structures, model, batch_size):
    """A half-padded batch against a fully real one of the same shape."""
    ours, options = processes.ours, processes.options
    def open_with(size, at_least):
        return ours.ask("open", structures=structures, model=MODELS[model],
                        choice=choice(size, at_least=at_least))
    full = open_with(batch_size, None)
    shape = {"n_node": full["padded"]["n_node"], "n_edge": full["padded"]["n_edge"]}
    half = open_with(batch_size // 2, shape)
    samples = measure({"real": timed(ours, 0, options.block_ms),
                       "half padding": timed(ours, 1, options.block_ms)}, options.blocks)
    ours.ask("close")
    row = summarise(samples, "real")["half padding"]
    low, high = row["ratio_interval"]
    real = half["real"]["n_edge"] / shape["n_edge"]
    print(f"\n{model}, {structures}, {processes.threads} threads, {shape['n_edge']} edges: with "
          f"{100 * (1 - real):.0f} % padding a step takes {row['ratio']:.3f} ({low:.3f}-{high:.3f}) "
          f"of the time with none "
          f"(least against least: {row['least_ratio']:.3f})")
    return {"model": model, "structures": structures, "threads": processes.threads,
            "shape": shape, "real_share": real, **row}


def memory(options, model, batch_size):
    """Peak memory of a process that only trains one batch, for each system."""
    structures = {"structures": "qm9", "choice": choice(batch_size), "model": MODELS[model]}
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = workers.ours(options.binary, 1)
        ours.ask("open", **structures)
        before = ours.ask("memory")["now_bytes"]
        ours.ask("time", case=0, n_step=5)
        peaks["batchlab"] = [before, ours.ask("memory")["peak_bytes"]]
        ours.ask("write", case=0, folder=folder)
        ours.stop()
        for row, (kind, keeps_memory, of_model) in rows_of_peers(
                model, options.peers, keeps_memory=options.keeps_memory).items():
            worker = workers.peer(kind, 1, keeps_memory=keeps_memory)
            before = worker.ask("memory")["now_bytes"]
            worker.ask("open", folder=folder, model=model, options=of_model)
            worker.ask("time", case=0, n_step=5)
            peaks[row] = [before, worker.ask("memory")["peak_bytes"]]
            worker.stop()
    print(f"\n{model}, qm9, B = {batch_size}: peak of the process, and before its first step")
    for name, (before, peak) in peaks.items():
        print(f"  {name:<27} {peak / 1e6:7.0f} MB ({before / 1e6:.0f} MB before)")
    return {"model": model, "batch_size": batch_size, "bytes_before_and_peak": peaks}


def steady(options, model, batch_size=16, n_report=10):
    ours = workers.ours(options.binary, len(os.sched_getaffinity(0)))
    n_step = options.steady_steps // n_report
    now = ours.ask("steady", structures="qm9", choice=choice(batch_size), model=MODELS[model],
                   n_step=n_step, n_report=n_report)["now_bytes"]
    ours.stop()
    print(f"{model}, qm9, B = {batch_size}, nine batches in turn, MB after every {n_step} steps: "
          + " ".join(f"{bytes_ / 1e6:.1f}" for bytes_ in now))
    return {"model": model, "batch_size": batch_size, "n_step": n_step, "now_bytes": now}


def versions():
    names = ["jax", "jraph", "numpy", "torch", "torch_geometric"]
    return {name: importlib.metadata.version(name) for name in names}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--binary", default=ROOT / "target/release/batchlab-bench", type=pathlib.Path)
    add("--parts", default=["steps", "padding", "memory"], nargs="+",
        choices=["steps", "padding", "memory"])
    add("--models", default=list(MODELS), nargs="+", choices=list(MODELS))
    add("--painn-size", default=MODELS["painn"]["latent_size"], type=int,
        help="features of PaiNN")
    add("--structures", default=["qm9", "aflow-sized"], nargs="+")
    add("--batch-size", default=[16, 32, 64, 128], nargs="+", type=int)
    add("--strategy", default="static-64", choices=list(STRATEGIES),
        help="of the steps; padding and memory are those of static-64")
    add("--compiled-batch-size", default=[32], nargs="*", type=int,
        help="where torch.compile is measured, too; it takes a minute for each")
    add("--peers", default=["jax", "eager"], nargs="*", choices=["jax", "eager"], help="none: batchlab and the floor")
    add("--allocator", default="both", choices=["kept", "installed", "both"],
        help="of the peers: one that keeps the memory that is freed, the system's, or both in turn")
    add("--threads", default=[1, 2], nargs="+", type=int)
    add("--blocks", default=12, type=int)
    add("--block-ms", default=200, type=float, help="milliseconds of each system in a block")
    add("--anyway", action="store_true", help="keep tables even if other work disturbed them")
    add("--steady-steps", default=2000, type=int)
    add("--json", type=pathlib.Path, help="where everything is written")
    return parser.parse_args()


def main():
    options = arguments()
    MODELS["painn"]["latent_size"] = options.painn_size
    options.keeps_memory = {"kept": [True], "installed": [False],
                            "both": [True, False]}[options.allocator]
    result = {"processor": processor(), "versions": versions(), "squares": [], "steps": [],
              "linearity": [], "half_padding": [], "memory": [], "steady": []}
    print(result["processor"], result["versions"])
    for threads in options.threads:
        processes = Processes(options, threads)
        if "steps" in options.parts:
            result["squares"].append(squares(processes))
            for structures, model, batch_size in itertools.product(
                    options.structures, options.models, options.batch_size):
                table = quiet_step(processes, structures, model, batch_size)
                if table is not None:
                    result["steps"].append(table)
                    write(options, result)
        if "padding" in options.parts:
            for model in options.models:
                result["linearity"].append(linearity(processes, "qm9", model, 32))
                result["half_padding"].append(half_padding(processes, "qm9", model, 64))
        processes.stop()
    if "memory" in options.parts:
        for model in options.models:
            result["memory"] += [memory(options, model, size) for size in (32, 128)]
            result["steady"].append(steady(options, model))
    write(options, result)
    print("\nload at the end:", os.getloadavg())


def write(options, result):
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
