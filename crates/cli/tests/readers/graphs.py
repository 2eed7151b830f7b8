"""Writes graphs with the code in docs/data.md for PyTorch Geometric and for jraph, from mock objects.

usage: graphs.py docs/data.md FOLDER

Both files hold the same 60 graphs; the batches of a run on them are checked by `ENGINE` in engines.rs.
"""

import pathlib
import re
import sys
import types

import numpy


class Tensor:
    def __init__(self, array):
        self.array = array

    def numpy(self):
        return self.array


class Data(dict):
    """The part of torch_geometric.data.Data that the code uses."""

    @property
    def num_nodes(self):
        return len(self["z"].array)

    @property
    def edge_index(self):
        return self["edge_index"]

    @property
    def num_edges(self):
        return self.edge_index.array.shape[1]


def graph(i, random):
    n_node, n_edge = 2 + i % 4, 3 + i % 5
    position = random.normal(size=(n_node, 3)).astype("float32")
    ends = random.integers(0, n_node, size=(2, n_edge))
    return {
        "ends": ends, "class": random.integers(0, 3, n_node), "position": position,
        "forces": position * 2, "bond": (ends[0] + 10 * ends[1]).astype("uint8"),
        "energy": numpy.array([float(i)]),
    }


def batched(graphs):
    """Like jraph.batch: node indices are global."""
    first = numpy.cumsum([0] + [len(g["class"]) for g in graphs[:-1]])
    joined = lambda name: numpy.concatenate([g[name] for g in graphs])
    ends = numpy.concatenate([g["ends"] + start for g, start in zip(graphs, first)], axis=1)
    return types.SimpleNamespace(
        n_node=numpy.array([len(g["class"]) for g in graphs]),
        n_edge=numpy.array([g["ends"].shape[1] for g in graphs]), senders=ends[0], receivers=ends[1],
        nodes={name: joined(name) for name in ("class", "position", "forces")},
        edges={"bond": joined("bond")}, globals={"energy": joined("energy")})


def main(page, folder):
    section = pathlib.Path(page).read_text().split("\n## `graphs`")[1].split("\n## ")[0]
    of_pyg, of_jraph = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    random = numpy.random.default_rng(0)
    graphs = [graph(i, random) for i in range(60)]

    names = {"z": "class", "pos": "position", "force": "forces", "edge_index": "ends", "bond": "bond", "energy": "energy"}
    pyg = {}
    exec(of_pyg, pyg)
    data = [Data({name: Tensor(g[of]) for name, of in names.items()}) for g in graphs]
    pyg["save"](f"{folder}/pyg.npz", data, node={"class": "z", "position": "pos", "forces": "force"},
                edge={"bond": "bond"}, graph={"energy": "energy"})

    jraph = {}
    exec(of_jraph, jraph)
    jraph["save"](f"{folder}/jraph.npz", [batched(graphs[:1]), batched(graphs[1:40]), batched(graphs[40:])])

    with numpy.load(f"{folder}/pyg.npz") as a, numpy.load(f"{folder}/jraph.npz") as b:
        assert sorted(a) == sorted(b), (sorted(a), sorted(b))
        for name in a:
            assert a[name].dtype == b[name].dtype and (a[name] == b[name]).all(), name


if __name__ == "__main__":
    main(*sys.argv[1:])
