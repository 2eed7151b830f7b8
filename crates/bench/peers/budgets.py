#!/usr/bin/env python3
"""Batches of programs with rules of their own for a batch's budget: golden lists for batchlab.

    crates/bench/peers/setup.sh --pyg
    crates/bench/peers/.venv/bin/python -m pip install mlip==0.2.5
    crates/bench/peers/.venv/bin/python -m pip install --no-deps nequix==0.4.5
    crates/bench/peers/.venv/bin/python crates/bench/peers/budgets.py

(Without --no-deps, nequix brings CUDA's libraries along.) Writes crates/builtin/tests/it/programs.json,
which crates/builtin/tests/it/programs.rs compares with the strategies of the same names. Graphs have the
sizes of real molecules and crystals, in the order of the file. The first graph of a batch is written
instead of its members, which follow each other.

mlip, nequix and PyTorch Geometric run as they are installed, on one device and without shuffling.
AlgoPerf and MACE-JAX are not on PyPI: jraph, which both use, gets the budgets that they would compute
(algoperf/workloads/ogbg/input_pipeline.py and mace_jax/tools/gin_datasets.py).

batchlab's batch size B is one more than the number of real graphs that these programs are told.
"""

import json
import lzma
import pathlib

import jraph
import mlip.graph.graph as mlip_graph
import nequix.data
import numpy as np
from mlip.data.configs import GraphDatasetBuilderConfig
from mlip.data.graph_dataset import GraphDataset
from mlip.data.single_graph_dataset_builder import SingleGraphDatasetBuilder
from torch_geometric.data import Data
from torch_geometric.loader import DynamicBatchSampler

ROOT = pathlib.Path(__file__).resolve().parents[3]
OUT = ROOT / "crates/builtin/tests/it/programs.json"
# Every n-th graph of a file.
DATA = {"qm9": ("qm9_sizes.csv.xz", 200), "aflow": ("aflow_icsd_sizes.csv.xz", 15)}
BATCH_SIZES = [16, 64]


def read(name, step):
    lines = lzma.open(ROOT / "data" / name, "rt").read().split()[1::step]
    return [tuple(map(int, line.split(","))) for line in lines]


def edges(n_node, n_edge):
    """Senders and receivers; all nodes have equally many neighbours, as in the real graphs."""
    receivers = np.repeat(np.arange(n_node, dtype=np.int32), n_edge // n_node)
    return np.zeros_like(receivers), receivers


def graphs_of_jraph(sizes):
    """Graphs that carry their position plus one, because padding has 0."""
    for i, (n_node, n_edge) in enumerate(sizes):
        senders, receivers = edges(n_node, n_edge)
        nodes = {"species": np.zeros(n_node, int), "forces": np.zeros((n_node, 3))}
        yield jraph.GraphsTuple(
            nodes=nodes, edges=None, senders=senders, receivers=receivers,
            n_node=np.array([n_node], np.int32), n_edge=np.array([n_edge], np.int32),
            globals={"energy": np.array([i + 1.0])})


def described(batches):
    """Budget and batches; the shape of the first batch is that of all."""
    rows = []
    for batch, of_graphs in batches:
        ids = np.asarray(of_graphs)
        n = int((ids > 0).sum())
        assert (np.diff(ids[:n]) == 1).all()
        real = [int(np.sum(size[:n])) for size in (batch.n_node, batch.n_edge)]
        padded = [int(np.sum(size)) for size in (batch.n_node, batch.n_edge)] + [len(ids)]
        assert len(batch.senders) == padded[1]
        rows.append([int(ids[0]) - 1, n, *real, *padded])
    assert len({tuple(row[4:]) for row in rows}) == 1
    return {"budget": rows[0][4:], "batches": rows}


def of_jraph(batches):
    return described((batch, batch.globals["energy"]) for batch in batches)


def mlip(sizes, n_graph):
    def graph(i, n_node, n_edge):
        senders, receivers = edges(n_node, n_edge)
        return mlip_graph.Graph(
            nodes=mlip_graph.GraphNodes(positions=np.zeros((n_node, 3))),
            edges=mlip_graph.GraphEdges(shifts=np.zeros((n_edge, 3))),
            globals=mlip_graph.GraphGlobals(cell=np.zeros((1, 3, 3)), weight=np.array([i + 1.0])),
            senders=senders, receivers=receivers,
            n_node=np.array([n_node]), n_edge=np.array([n_edge]))
    graphs = [graph(i, *size) for i, size in enumerate(sizes)]
    config = GraphDatasetBuilderConfig(graph_cutoff_angstrom=5.0, batch_size=n_graph)
    n_node, n_edge, _ = SingleGraphDatasetBuilder._determine_autofill_batch_dimensions_static(
        graphs, config)
    dataset = GraphDataset(graphs, n_graph, n_node, n_edge, shuffle=False)
    return described((batch, batch.globals.weight) for batch in dataset)


def nequix_(sizes, n_graph):
    graphs = list(graphs_of_jraph(sizes))
    stats = nequix.data.dataset_stats(graphs, [0.0], num_workers=1)
    keys = ["max_n_nodes", "max_n_edges", "avg_n_nodes", "avg_n_edges"]
    loader = nequix.data.DataLoader(
        graphs, batch_size=n_graph, num_workers=1, **{key: stats[key] for key in keys})
    return of_jraph(iter(loader))


def algoperf_ogbg(sizes, n_graph):
    n_node, n_edge = 26 * n_graph + 1, 56 * n_graph
    try:
        return of_jraph(jraph.dynamically_batch(
            graphs_of_jraph(sizes), n_node, n_edge, n_graph + 1))
    except RuntimeError:
        return None


def mace_jax(sizes, n_graph):
    """MACE-JAX leaves the limit of edges to its user; here it is the mean of `n_graph` graphs."""
    n_node, n_edge = np.array(sizes).T
    edge_limit = max(int(n_edge.mean() * n_graph), n_edge.max())
    nodes, graphs, taken = [], [], np.inf
    for node, edge in sizes:
        taken += edge
        if taken > edge_limit:
            taken = edge
            nodes.append(0)
            graphs.append(0)
        nodes[-1] += node
        graphs[-1] += 1
    node_limit = int(np.ceil(max(np.percentile(nodes, 90.0), n_node.max()))) + 1
    return of_jraph(jraph.dynamically_batch(
        graphs_of_jraph(sizes), node_limit, int(edge_limit), max(graphs) + 1))


def pyg_nodes(sizes, n_graph):
    """PyTorch Geometric leaves the number of nodes to its user; here it is the mean of `n_graph` graphs.
    It pads nothing; the budget has one node more, as if it did."""
    n_node, n_edge = np.array(sizes).T
    max_num = max(int(n_node.mean() * n_graph), int(n_node.max()))
    rows = []
    for ids in DynamicBatchSampler([Data(num_nodes=n) for n, _ in sizes], max_num, mode="node"):
        assert ids == list(range(ids[0], ids[-1] + 1))
        real = [int(n_node[ids].sum()), int(n_edge[ids].sum())]
        rows.append([ids[0], len(ids), *real, *real, len(ids)])
    return {"budget": [max_num + 1, 0, 0], "batches": rows}


PROGRAMS = {"mlip": mlip, "nequix": nequix_, "mace-jax": mace_jax, "algoperf-ogbg": algoperf_ogbg,
            "pyg-nodes": pyg_nodes}


def main():
    golden = {}
    for data, (name, step) in DATA.items():
        sizes = read(name, step)
        results = {f"{program}/B={batch_size}": batches_of(sizes, batch_size - 1)
                   for program, batches_of in PROGRAMS.items() for batch_size in BATCH_SIZES}
        golden[data] = {"sizes": sizes, "results": results}
        for key, result in results.items():
            print(data, key, result and (result["budget"], len(result["batches"])))
    OUT.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
