"""Times training on the nodes of one graph in batchlab and PyTorch Geometric: personalised PageRank,
IBMB's batches, and epochs of a GCN on the full graph, IBMB's batches, parts and sampled neighbours.

    cargo build --release -p batchlab-bench
    crates/bench/peers/setup.sh --nodes
    crates/bench/peers/.venv/bin/python crates/bench/peers/compare_nodes.py --json nodes.json

All systems read the same arrays of batchlab's `planted-graph`, which has ogbn-arxiv's size. Scores,
losses and gradients are compared first; a difference ends the run with status 1. Then all systems are
measured in turn, in an order that rotates from block to block, until the time is up. A peer that fails
is reported with its error, and the others continue. Prints Markdown tables at the end.
docs/benchmarks.md explains the rows.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import tempfile
import time

import workers
from blocks import processor, rotated, summarise

ROOT = pathlib.Path(__file__).resolve().parents[3]

WEIGHTS = {"name": "planted-graph", "self_loops": True, "edge_weight": "symmetric"}
SMALL = {**WEIGHTS, "n_node": 4000, "n_edge": 24000, "n_feature": 32, "n_class": 8,
         "n_community": 20}
FULL = {"name": "full"}
FAN_OUT, N_NEIGHBOR_BATCH, N_PART, AUX_PER_OUTPUT = [2, 3, 2], 4, 4, 16
OURS = "batchlab"
ALL_NODES = f"{OURS}, all nodes in the last layer"
AS_INSTALLED = [("full batch, epoch", OURS), ("IBMB, epoch", f"{OURS}, resident")]


def ibmb(outputs_per_batch):
    return {"name": "ibmb", "outputs": "node-wise", "aux_per_output": AUX_PER_OUTPUT,
            "outputs_per_batch": outputs_per_batch, "teleport": 0.25, "epsilon": 2e-4}


def of_ours(options, n_train):
    """Table, row, batcher, whether batches stay with the engine, and whether the last convolution is
    computed for outputs only."""
    cluster = {"name": "cluster", "n_part": N_PART}
    neighbor = {"name": "neighbor", "fan_out": FAN_OUT,
                "n_output": -(-n_train // N_NEIGHBOR_BATCH)}
    of_ibmb = ibmb(options.outputs_per_batch)
    return [
        ("full batch, epoch", OURS, FULL, True, True),
        ("full batch, epoch", ALL_NODES, FULL, True, False),
        ("IBMB, epoch", f"{OURS}, resident", of_ibmb, True, True),
        ("IBMB, epoch", f"{OURS}, not resident", of_ibmb, False, True),
        ("IBMB, epoch", f"{ALL_NODES}, resident", of_ibmb, True, False),
        ("Cluster-GCN, epoch", OURS, cluster, True, True),
        ("Cluster-GCN, epoch", ALL_NODES, cluster, True, False),
        ("sampled neighbours, epoch", OURS, neighbor, False, True),
    ]


def choice(batcher, resident, only_outputs):
    return {"batcher": batcher, "model": {"name": "gcn", "only_outputs": only_outputs},
            "resident_mib": 4096 if resident else 0}


LOADERS = {"full batch, epoch": "full", "IBMB, epoch": "ibmb", "Cluster-GCN, epoch": "cluster",
           "sampled neighbours, epoch": "neighbor"}


class Failed(Exception):
    pass


def ask(worker, what, **request):
    """The worker's answer; raises Failed on an error, which ends only that row."""
    try:
        answer = worker.ask(what, **request)
    except (SystemExit, OSError, ValueError) as error:
        raise Failed(f"the process ended: {error}") from error
    if "error" in answer:
        raise Failed(answer["error"])
    return answer


class Run:
    """The measurements: (table, row) -> samples by block."""

    def __init__(self, options, end):
        self.options = options
        self.end = end
        self.systems, self.failed, self.sizes = {}, {}, {}
        self.samples = {}

    def add(self, name, rows, call):
        """Adds a system that returns the seconds of several rows at once."""
        self.systems[name] = (rows, call)
        for row in rows:
            self.samples[row] = []

    def turn(self, name, keep, warm):
        rows, call = self.systems[name]
        try:
            seconds = call(warm)
        except Failed as error:
            print(f"{name} fails: {error}", file=sys.stderr, flush=True)
            self.failed[name] = str(error)
            return
        if keep:
            for row in rows:
                self.samples[row].append(seconds[row])

    def blocks(self, write):
        longest = 0.0
        for block in range(self.options.blocks + 1):
            if block > self.options.least_blocks and time.monotonic() + longest > self.end:
                print(f"no time for block {block}", file=sys.stderr)
                break
            start = time.monotonic()
            for name in rotated(list(self.systems), block):
                if name not in self.failed:
                    before = time.monotonic()
                    self.turn(name, block > 0, block == 0)
                    if self.options.verbose:
                        print(f"  {name}: {time.monotonic() - before:.1f} s", file=sys.stderr)
            took = time.monotonic() - start
            longest = max(longest, took) if block > 0 else took
            print(f"block {block}: {took:.0f} s", file=sys.stderr, flush=True)
            write()


def check(ours, peer, options, dataset, folder, report):
    """Compares graph, scores, losses and gradients; a difference ends the run."""
    folder.mkdir()
    where = str(folder)
    ours.ask("load", dataset=dataset)
    ours.ask("write-graph", folder=where)
    graph = ask(peer, "load", folder=where)
    small = dataset is SMALL
    ours.ask("write-ppr", n_root=1000, folder=where)
    ppr = ask(peer, "ppr", n_root=1000, folder=where)
    # Both lists of scores are exact except for residues below epsilon x degree; push orders differ.
    if not ppr["mean_sum_of_differences"] < 0.02 * ppr["mean_sum"]:
        sys.exit(f"scores differ from batchlab's: {ppr}")
    found = {"graph": graph, "ppr": ppr, "batches": {}}
    for name, batcher in (("full", FULL), ("ibmb", ibmb(500 if small else options.outputs_per_batch))):
        case = ours.ask("open", choice={"batcher": batcher, "model": {"name": "gcn", "dropout": 0.0}})
        ours.ask("write-batch", folder=where, **case)
        for form in ("csr", "scatter"):
            try:
                found["batches"][f"{name}, {form}"] = ask(peer, "compare", folder=where, form=form)
            except Failed as error:
                sys.exit(f"{name}, {form}: {error}")
    report[f"check of {graph['n_node']} nodes"] = found
    print(f"{graph['n_node']} nodes: {json.dumps(found)}", file=sys.stderr, flush=True)
    return graph


def own_systems(run, ours, n_train):
    options = run.options
    batcher = ibmb(options.outputs_per_batch)
    run.add("ours ppr", [("PPR of all training nodes", OURS)],
            lambda warm: {("PPR of all training nodes", OURS):
                          ask(ours, "ppr", k=AUX_PER_OUTPUT)["seconds"]})
    run.add("ours prepare", [("PPR, pairs and merge", OURS)],
            lambda warm: {("PPR, pairs and merge", OURS):
                          ask(ours, "prepare", batcher=batcher)["seconds"]})

    def build(warm):
        # Times the collation of a first epoch; a fresh case each time, whose preparation is not counted.
        case = ask(ours, "open", choice=choice(batcher, False, True))
        answer = ask(ours, "epoch", train=False, **case)
        ask(ours, "drop", **case)
        return {("IBMB, building the batches", OURS): answer["load_seconds"]}
    run.add("ours build", [("IBMB, building the batches", OURS)], build)
    own_epochs(run, ours, of_ours(options, n_train))


def own_epochs(run, ours, cases):
    loading = ("sampled neighbours, loading", OURS)
    for table, row, *of_row in cases:
        key = (table, row)
        case = ours.ask("open", choice=choice(*of_row))

        def epoch(warm, case=case, key=key):
            answer = ask(ours, "epoch", train=True, **case)
            run.sizes[key] = answer
            return {key: answer["seconds"], loading: answer["load_seconds"]}
        rows = [key, loading] if table.startswith("sampled") else [key]
        run.add(f"ours {table} {row}", rows, epoch)


def peer_systems(run, peer, suffix, parts):
    """The rows of one process of PyTorch Geometric."""
    options = run.options
    name_of = lambda what: f"PyG{what}{suffix}"
    preparation = {"ppr_s": "PPR of all training nodes", "total_s": "PPR, pairs and merge",
                   "pairs_and_merge_s": "pairs and merge alone",
                   "build_s": "IBMB, building the batches"}

    def prepare():
        return ask(peer, "prepare-ibmb", aux_per_output=AUX_PER_OUTPUT,
                   outputs_per_batch=options.outputs_per_batch)

    def attempt(what, call):
        try:
            return call()
        except Failed as error:
            run.failed[f"{what}{suffix}"] = str(error)
            print(f"{what}{suffix} fails: {error}", file=sys.stderr, flush=True)
            return None
    has_ibmb = attempt("IBMB loader", prepare)
    if has_ibmb and "prepare" in parts:
        def times(warm):
            # Compilation already happened in the attempt above; the warm-up block need not repeat it.
            answer = has_ibmb if warm else prepare()
            return {(table, name_of("")): answer[part] for part, table in preparation.items()}
        run.add(f"peer prepare{suffix}", [(table, name_of("")) for table in preparation.values()],
                times)
    has_parts = None
    if "cluster" in parts:
        has_parts = attempt("METIS", lambda: ask(peer, "partition", n_part=N_PART))
    loading = ("sampled neighbours, loading", name_of(""))
    for table, loader in LOADERS.items():
        forms = ["csr", "scatter"] if loader != "neighbor" else ["scatter"]
        for form in forms:
            missing = {"ibmb": not has_ibmb, "cluster": not has_parts}.get(loader, False)
            if missing or not {loader, f"{loader} {form}"} & set(parts):
                continue
            of_loader = {"fan_out": FAN_OUT, "n_batch": N_NEIGHBOR_BATCH}
            case = attempt(f"{table} {form}", lambda: ask(
                peer, "open", loader=loader, form=form,
                **(of_loader if loader == "neighbor" else {})))
            if case is None:
                continue
            key = (table, name_of(f" {form}"))

            def epoch(warm, case=case, key=key):
                answer = ask(peer, "epoch", train=True, n_batch=1 if warm else None, **case)
                run.sizes[key] = answer
                return {key: answer["seconds"], loading: answer["load_seconds"]}
            rows = [key, loading] if loader == "neighbor" else [key]
            run.add(f"peer {table} {form}{suffix}", rows, epoch)
    if "floor" in parts:
        floors = {"products_s": "floor: products", "once_s": "floor: and every array read once",
                  "gathered_s": "floor: and a row read for every edge"}

        def floor(warm):
            answer = ask(peer, "floor")
            run.sizes[("full batch, epoch", "floor: products")] = answer
            return {("full batch, epoch", row): answer[key] for key, row in floors.items()}
        run.add("floor", [("full batch, epoch", row) for row in floors.values()], floor)


def start_peer(options, keeps_memory):
    environment = workers.keeping_allocator() if keeps_memory else {}
    command = [sys.executable, str(workers.HERE / "nodes_worker.py"), str(options.threads)]
    worker = workers.Worker(command, options.threads, environment)
    if keeps_memory:
        ask(worker, "memory")  # the answer means that the process is up
        workers.require_loaded(worker)
    return worker


def start_ours(options):
    binary = options.binary
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release -p batchlab-bench")
    command = [str(binary), "serve-nodes", "--threads", str(options.threads)]
    return workers.Worker(command, options.threads)


def memory(run, dataset, folder, n_train):
    """Peak bytes of processes that load the graph, prepare batches and train one epoch, one process per
    row; peers as installed, since an allocator that keeps memory only adds to it."""
    peaks = {}
    for table, row, *of_row in of_ours(run.options, n_train):
        if table not in ("full batch, epoch", "IBMB, epoch") or row.startswith(ALL_NODES):
            continue
        ours = start_ours(run.options)
        ours.ask("load", dataset=dataset)
        case = ours.ask("open", choice=choice(*of_row))
        ours.ask("epoch", train=True, **case)
        peaks[f"{table}: {row}"] = ours.ask("memory")["peak_bytes"]
        ours.stop()
    for loader, table in ((loader, table) for table, loader in LOADERS.items()
                          if loader in ("full", "ibmb")):
        for form in ("csr", "scatter"):
            row = f"{table}: PyG {form}"
            peer = start_peer(run.options, keeps_memory=False)
            try:
                ask(peer, "load", folder=folder)
                if loader == "ibmb":
                    ask(peer, "prepare-ibmb", aux_per_output=AUX_PER_OUTPUT,
                        outputs_per_batch=run.options.outputs_per_batch)
                case = ask(peer, "open", loader=loader, form=form)
                ask(peer, "epoch", train=True, n_batch=3, **case)
                peaks[row] = ask(peer, "memory")["peak_bytes"]
            except Failed as error:
                run.failed[f"memory of {row}"] = str(error)
            peer.stop()
    return peaks


def tables(run):
    """Table -> rows with times and the ratio to ours."""
    found = {}
    for table in dict.fromkeys(table for table, _ in run.samples):
        rows = {row: values for (of, row), values in run.samples.items() if of == table and values}
        if not rows:
            continue
        # A row that failed midway has fewer blocks.
        n_block = max(map(len, rows.values()))
        rows = {row: values for row, values in rows.items() if len(values) == n_block}
        ours = [row for row in rows if row.startswith(OURS)]
        reference = (ours or list(rows))[0]
        blocks = {row: [[value] for value in values] for row, values in rows.items()}
        found[table] = {"reference": reference, "n_block": n_block,
                        "rows": summarise(blocks, reference)}
    return found


def markdown(result):
    lines = []
    for table, of in result["tables"].items():
        lines += ["", f"**{table}** ({of['n_block']} blocks; ratio to `{of['reference']}`)", "",
                  "| | s, median (95 %) | ratio (95 %) |", "|---|---|---|"]
        for name, row in of["rows"].items():
            (low, high), (less, more) = row["interval"], row["ratio_interval"]
            lines.append(f"| {name} | {row['median']:.3f} ({low:.3f}-{high:.3f}) | "
                         f"{row['ratio']:.2f} ({less:.2f}-{more:.2f}) |")
    lines += ["", "**Peak memory** of a process that loads, prepares and trains", "",
              "| | MB |", "|---|---|"]
    lines += [f"| {row} | {peak / 1e6:.0f} |" for row, peak in result["peak_bytes"].items()]
    lines += ["", "**Batches of an epoch**", "", "| | batches | nodes | edges |", "|---|---|---|---|"]
    lines += [f"| {row} | {size['n_batch']} | {size['n_node']} | {size['n_edge']} |"
              for row, size in result["sizes"].items() if "n_batch" in size]
    lines += [f"\nFailed: {name}: {error}" for name, error in result["failed"].items()]
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--binary", default=ROOT / "target/release/batchlab-bench", type=pathlib.Path)
    add("--threads", default=2, type=int)
    add("--blocks", default=12, type=int, help="at most, after one that warms up")
    add("--least-blocks", default=2, type=int, help="also when the time is up")
    add("--minutes", default=23.0, type=float, help="after which no further block begins")
    add("--outputs-per-batch", default=9000, type=int)
    add("--quick", action="store_true", help="a small graph and two blocks, for trying it")
    add("--verbose", action="store_true", help="the seconds of every turn")
    add("--json", type=pathlib.Path, help="where everything is written")
    options = parser.parse_args()
    if options.quick:
        options.blocks, options.outputs_per_batch = 2, 500
    return options


def main():
    options = arguments()
    start = time.monotonic()
    run = Run(options, start + 60 * options.minutes * 3 / 4)
    as_installed = Run(options, start + 60 * options.minutes)
    names = ["torch", "torch_geometric", "numba", "pymetis", "numpy", "scipy"]
    result = {"processor": processor(), "threads": options.threads, "load_before": os.getloadavg(),
              "versions": {"python": platform.python_version(),
                           **{name: importlib.metadata.version(name) for name in names}},
              "checks": {}, "peak_bytes": {}}

    def write():
        result["tables"] = tables(run)
        for table, of in tables(as_installed).items():
            result["tables"][f"{table}, peers as installed"] = of
        result["failed"] = {**run.failed, **as_installed.failed}
        result["sizes"] = {f"{table}: {row}": size for (table, row), size in run.sizes.items()}
        result["load_after"] = os.getloadavg()
        if options.json:
            options.json.write_text(json.dumps(result, indent=1))

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        kept = start_peer(options, keeps_memory=True)
        ours = start_ours(options)
        n_train = check(ours, kept, options, SMALL, folder / "small", result["checks"])["n_train"]
        dataset, where = SMALL, folder / "small"
        if not options.quick:
            dataset, where = WEIGHTS, folder / "large"
            n_train = check(ours, kept, options, WEIGHTS, where, result["checks"])["n_train"]
        result["dataset"] = dataset
        ours.stop()
        result["peak_bytes"] = memory(run, dataset, str(where), n_train)
        ours = start_ours(options)
        ours.ask("load", dataset=dataset)
        own_systems(run, ours, n_train)
        peer_systems(run, kept, "", ["prepare", "floor", "cluster", *LOADERS.values()])
        run.blocks(write)
        # Both peers at once would need more than 24 GiB.
        for worker in (ours, kept):
            worker.stop()
        ours, installed = start_ours(options), start_peer(options, keeps_memory=False)
        ours.ask("load", dataset=dataset)
        own = [case for case in of_ours(options, n_train) if case[:2] in AS_INSTALLED]
        own_epochs(as_installed, ours, own)
        ask(installed, "load", folder=str(where))
        peer_systems(as_installed, installed, ", as installed", ["full", "ibmb csr"])
        as_installed.blocks(write)
        for worker in (ours, installed):
            worker.stop()
    write()
    print(f"{result['processor']}, {result['versions']}, {options.threads} threads, load "
          f"{result['load_before'][0]:.1f} before and {result['load_after'][0]:.1f} after")
    print(markdown(result))


if __name__ == "__main__":
    main()
