"""Time per batch as a Python program sees it: batchlab's loader and sampler against jraph and PyTorch Geometric.

    python crates/bench/peers/python_loader.py [--blocks 20] [--seconds 0.2] [--json FILE]

Needs batchlab, jraph, scipy and, for its rows, torch and torch_geometric. Molecules of QM9's sample, fully connected,
with element, distance and target; every system is one thread of one process (but for the workers of a DataLoader) and is
timed in blocks of equal time, interleaved. docs/python.md shows the table.
"""

import argparse
import itertools
import json
import time

import batchlab
import jraph
import numpy as np
from blocks import measure, processor, summarise

from peers import dynamic_budget, jraph_dynamic, multiple_of_64

FIELDS = ["node_class", "distance"]


class Molecules:
    """Each molecule as jraph's and PyTorch Geometric's object."""

    def __init__(self, data):
        plain = batchlab.Loader(data, "exact", 2, shuffle=False, as_="jraph", fields=FIELDS)
        self.graphs = [
            jraph.GraphsTuple(
                nodes=of.nodes["node_class"].copy(), edges=of.edges["distance"].copy(), senders=of.senders.copy(),
                receivers=of.receivers.copy(), n_node=of.n_node[:1].copy(), n_edge=of.n_edge[:1].copy(),
                globals=of.globals["target"][:1].copy())
            for of in plain
        ]
        self.n_node, self.n_edge = data.n_node.astype(np.int64), data.n_edge.astype(np.int64)

    def stream(self):
        rng = np.random.default_rng(0)
        while True:
            for i in rng.permutation(len(self.graphs)):
                yield self.graphs[i]

    def pyg(self):
        import torch
        from torch_geometric.data import Data

        torch.set_num_threads(1)
        return [
            Data(
                z=torch.from_numpy(of.nodes.astype(np.int64)), y=torch.from_numpy(of.globals), num_nodes=len(of.nodes),
                edge_index=torch.from_numpy(np.stack([of.senders, of.receivers]).astype(np.int64)),
                edge_weight=torch.from_numpy(of.edges))
            for of in self.graphs
        ]


def jraph_static(stream, batch_size):
    """The study's static-64 with jraph's NumPy functions, without the graph that the study's program loses."""
    while True:
        batch = jraph.batch_np(list(itertools.islice(stream, batch_size - 1)))
        n_node, n_edge = int(batch.n_node.sum()), int(batch.n_edge.sum())
        yield jraph.pad_with_graphs(batch, multiple_of_64(n_node + 1), multiple_of_64(n_edge), batch_size)


def endless(loader):
    while True:
        yield from loader


def systems(data, molecules, batch_size):
    # Collated in the loop itself: nothing that a training step would hide is hidden.
    ours = lambda batcher, as_: endless(
        batchlab.Loader(data, batcher, batch_size, as_=as_, fields=FIELDS, prefetch=0))
    n_node, n_edge = dynamic_budget(molecules, batch_size)
    all_of = {
        "batchlab dynamic, jraph": ours("dynamic", "jraph"),
        "batchlab static-64, jraph": ours("static-64", "jraph"),
        "jraph dynamic": jraph_dynamic(molecules.stream(), n_node, n_edge, batch_size),
        "jraph static-64": jraph_static(molecules.stream(), batch_size),
    }
    try:
        from torch_geometric.loader import DataLoader
    except ImportError:
        return all_of
    of_pyg = molecules.pyg()
    sampler = lambda: batchlab.BatchSampler(data, "exact", batch_size)
    pyg = lambda **more: endless(DataLoader(of_pyg, **more))
    all_of["batchlab exact, pyg"] = ours("exact", "pyg")
    all_of["pyg"] = pyg(batch_size=batch_size - 1, shuffle=True)
    all_of["pyg, 2 workers"] = pyg(batch_size=batch_size - 1, shuffle=True, num_workers=2, persistent_workers=True)
    all_of["pyg, our sampler"] = pyg(batch_sampler=sampler())
    return all_of


def block(batches, seconds):
    """Time per batch of a block of this length, with time to touch every array."""

    def run():
        start = time.perf_counter()
        n = 0
        while (now := time.perf_counter()) < start + seconds:
            next(batches)
            n += 1
        return [(now - start) / n]

    return run


PAIRS = {
    "batchlab dynamic, jraph": "jraph dynamic",
    "batchlab static-64, jraph": "jraph static-64",
    "batchlab exact, pyg": "pyg",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    data = batchlab.load("qm9")
    molecules = Molecules(data)
    found = {"processor": processor(), "batchlab": batchlab.__version__, "sizes": {}}
    for batch_size in (16, 32, 64, 128):
        all_of = {name: block(of, arguments.seconds) for name, of in systems(data, molecules, batch_size).items()}
        samples = measure(all_of, arguments.blocks)
        rows = {}
        for own, peer in PAIRS.items():
            if own not in samples:
                continue
            others = [name for name in samples if name not in PAIRS and name.split(",")[0].split()[0] == peer.split()[0]]
            for other in others if peer == "pyg" else [peer]:
                rows[f"{other} / {own}"] = summarise({name: samples[name] for name in (own, other)}, own)[other]
        found["sizes"][batch_size] = {
            "us": {name: 1e6 * float(np.median(of)) for name, of in samples.items()}, "ratios": rows
        }
        print(f"B = {batch_size}")
        for name, of in found["sizes"][batch_size]["us"].items():
            print(f"  {name:28} {of:9,.1f} us")
        for name, row in rows.items():
            low, high = row["ratio_interval"]
            print(f"  {name:50} {row['ratio']:6.1f} [{low:.1f}, {high:.1f}]")
    many = batchlab.BatchSampler((np.tile(data.n_node, 67)[:134_000], np.tile(data.n_edge, 67)[:134_000]), "dynamic", 32)
    times = []
    for epoch in range(10):
        start = time.perf_counter()
        many.set_epoch(epoch + 1)
        len(many)
        times.append(time.perf_counter() - start)
    found["epoch of 134,000 planned, s"] = float(np.median(times))
    print(f"an epoch of 134,000 molecules is planned in {np.median(times):.3f} s")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
