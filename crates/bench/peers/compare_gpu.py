"""Times the training step on a GPU in batchlab, JAX and PyTorch, in single precision and in TF32.

    compare_gpu.py --binary batchlab-bench [--json FILE]

The counterpart of compare_training.py: the same batch, parameters and mathematics, interleaved in
blocks; loss, predictions and gradients are compared before and after. In all systems, every step
copies its batch to the GPU and its loss back. `floor` is the time that the matrix products and the
memory traffic for backward alone would take at the rates measured first. docs/gpu.md explains how to
build the binary.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import workers
from blocks import measure, summarise
from compare_training import MODELS, choice, rows_of_peers, timed

THREADS = 2
# Our variants, by precision, options and environment: recorded steps, plain ones, and recorded ones with
# four message blocks per multiprocessor instead of two. The first call of run.sh, not this script, checks that all
# compute the same. Peers have no bf16 mode with factors and results in single precision.
RECORDED = (["--cuda-graphs"], {"BATCHLAB_CUDA_BLOCKS": "2"})
PLAIN = ([], RECORDED[1])
SMALL_BLOCKS = (RECORDED[0], {"BATCHLAB_CUDA_BLOCKS": "4"})
OURS = {
    "f32": {"batchlab": ("f32", *RECORDED), "not recorded": ("f32", *PLAIN),
            "small blocks": ("f32", *SMALL_BLOCKS)},
    "tf32": {"batchlab": ("tf32", *RECORDED), "not recorded": ("tf32", *PLAIN),
             "small blocks": ("tf32", *SMALL_BLOCKS), "bf16": ("bf16", *RECORDED)},
}


class Processes:
    """Our processes and the peers' on one GPU, in one precision."""

    def __init__(self, options, precision):
        self.options, self.precision = options, precision
        self.ours = {name: workers.ours(options.binary, THREADS, options.device, own, extra, environment)
                     for name, (own, extra, environment) in OURS[precision].items()}
        self.peers = {}
        self.rates = self.peer("eager").ask("gpu")

    def peer(self, kind):
        if kind not in self.peers:
            # Steps allocate GPU memory, which both peers keep when they free it.
            self.peers[kind] = workers.peer(kind, THREADS, self.options.device, self.precision,
                                            keeps_memory=False)
        return self.peers[kind]

    def forget(self, kind):
        self.peers.pop(kind).process.kill()

    def all(self):
        return [*self.ours.values(), *self.peers.values()]

    def stop(self):
        for worker in self.all():
            worker.stop()


def compare_step(processes, model, batch_size, rates):
    """One table. A peer whose numbers differ is reported with the difference and not timed."""
    options, ours = processes.options, processes.ours["batchlab"]
    # All use the same seed.
    sizes = [worker.ask("open", structures="qm9", model=MODELS[model],
                        choice=choice(batch_size, options.strategy))
             for worker in processes.ours.values()][0]
    differences, refused, cases, opened = {}, {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        ours.ask("write", case=0, folder=folder)
        systems = {name: timed(worker, 0, options.block_ms)
                   for name, worker in processes.ours.items()}
        with_compiled = batch_size in options.compiled_batch_size
        for row, (kind, _, of_model) in rows_of_peers(model, options.peers, with_compiled).items():
            worker = processes.peer(kind)
            case = sum(other is worker for other in opened)
            try:
                worker.ask("open", folder=folder, model=model, options=of_model)
            except SystemExit as end:
                # One peer that cannot run the model must not take the others' times with it.
                processes.forget(kind)
                refused[row] = str(end)
                continue
            opened.append(worker)
            found = worker.ask("compare", case=case, folder=folder)
            if "refused" in found:
                refused[row] = found["refused"]
            else:
                cases[row], systems[row] = (worker, case), timed(worker, case, options.block_ms)
        samples = measure(systems, options.blocks)
        ours.ask("write", case=0, folder=folder)
        for row, (worker, case) in cases.items():
            differences[row] = worker.ask("compare", case=case, folder=folder, trained=True)
    work = ours.ask("floor", case=0)
    for worker in processes.all():
        worker.ask("close")
    return {"model": model, "batch_size": batch_size, "strategy": options.strategy,
            "precision": processes.precision, "sizes": sizes,
            "rows": summarise(samples, "batchlab"), "differences": differences,
            "refused": refused, "floor": floor(work, rates)}


def floor(work, rates):
    """Milliseconds for all products at the rate of a large one, plus writing and reading the data for
    backward once."""
    products = work["giga_operations"] / rates["giga_per_second"] * 1e3
    traffic = 2 * work["kept_bytes"] / 1e9 / rates["giga_bytes_per_second"] * 1e3
    return {"products_ms": products, "traffic_ms": traffic, "ms": products + traffic}


def print_step(table):
    padded = table["sizes"]["padded"]
    print(f"\n{table['model']}, {table['precision']}, {table['strategy']}, "
          f"B = {table['batch_size']}: {padded['n_node']} nodes, {padded['n_edge']} edges")
    for name, row in table["rows"].items():
        low, high = row["interval"]
        ratio_low, ratio_high = row["ratio_interval"]
        line = (f"  {name:<22} {row['median']:8.3f} ms ({low:.3f}-{high:.3f})"
                f"   x {row['ratio']:5.2f} ({ratio_low:.2f}-{ratio_high:.2f})")
        found = table["differences"].get(name)
        if found:
            line += f"   {found.get('refused') or 'gradients differ by {:.0e}'.format(found['all gradients'])}"
        print(line)
    for name, reason in table["refused"].items():
        print(f"  {name:<22} not measured: {reason}")
    least = table["floor"]
    print(f"  floor {least['ms']:.3f} ms ({least['products_ms']:.3f} products, "
          f"{least['traffic_ms']:.3f} traffic)")
    sys.stdout.flush()


def memory_used(process):
    """GPU memory of a process in bytes, or None if the driver does not report it."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    used = {int(pid): int(mib) << 20 for pid, mib in (line.split(",") for line in lines)
            if mib.strip().isdigit()}
    return used.get(process.pid)


def steady(options, model, n_report=10):
    """Host and GPU memory of our process over many steps on changing batches."""
    ours = workers.ours(options.binary, THREADS, options.device)
    now, on_gpu = [], []
    for _ in range(2):
        now += ours.ask("steady", structures="qm9", choice=choice(32), model=MODELS[model],
                        n_step=options.steady_steps // 2 // n_report, n_report=n_report)["now_bytes"]
        on_gpu.append(memory_used(ours.process))
    ours.stop()
    print(f"{model}: host memory over {options.steady_steps} steps, MB: "
          + " ".join(f"{n / 1e6:.0f}" for n in now) + f"; on the GPU {on_gpu}")
    return {"model": model, "now_bytes": now, "gpu_bytes": on_gpu}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--binary", required=True, type=pathlib.Path)
    add("--device", default="cuda:0")
    add("--models", default=list(MODELS), nargs="+", choices=list(MODELS))
    add("--batch-size", default=[32, 1024, 128, 16], nargs="+", type=int)
    add("--strategy", default="static-64")
    add("--precision", default=list(OURS), nargs="+", choices=list(OURS))
    add("--peers", default=["jax", "eager"], nargs="+", choices=["jax", "eager"])
    add("--compiled-batch-size", default=[32], nargs="*", type=int,
        help="batch sizes for which torch.compile with CUDA graphs is measured, too")
    add("--blocks", default=8, type=int)
    add("--block-ms", default=100, type=float)
    add("--steady-steps", default=2000, type=int)
    add("--json", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    result = {"rates": {}, "steps": [], "steady": []}
    all_processes = {precision: Processes(options, precision) for precision in options.precision}
    for precision, processes in all_processes.items():
        result["rates"][precision] = processes.rates
        print(f"\n{precision}: "
              + ", ".join(f"{name} {value:.1f}" for name, value in processes.rates.items()))
    # The most informative sizes come first, in case time runs out.
    for batch_size, precision, model in itertools.product(options.batch_size, options.precision,
                                                          options.models):
        processes = all_processes[precision]
        table = compare_step(processes, model, batch_size, processes.rates)
        print_step(table)
        result["steps"].append(table)
        if options.json:
            options.json.write_text(json.dumps(result, indent=1))
    for processes in all_processes.values():
        processes.stop()
    if options.steady_steps:
        result["steady"] = [steady(options, model) for model in options.models]
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
