"""Compares our batches with the peers', element by element."""

import itertools
import sys

import jraph
import numpy as np

from peers import dynamic_budget, dynamic_groups, jraph_dynamic, jraph_static_64, numpy_batches
from peers import static_groups


def compare_batches(folder, molecules, strategy, batch_size, n_batch):
    """Exits at the first difference; returns the number of values compared."""
    budget = dynamic_budget(molecules, batch_size)
    if strategy == "dynamic":
        theirs = jraph_dynamic(molecules.stream(), *budget, batch_size)
        groups, constant = dynamic_groups(molecules, *budget, batch_size), budget
    else:
        theirs = jraph_static_64(molecules.stream(), batch_size)
        groups, constant = static_groups(molecules, batch_size), None
    groups = list(itertools.islice(groups, n_batch))
    others = {
        "NumPy contiguous": numpy_batches(molecules, groups, batch_size, constant, True),
        "NumPy gathered": numpy_batches(molecules, groups, batch_size, constant, False),
    }
    n_value = 0
    for batch, (ours, jraph_batch) in enumerate(zip(our_batches(folder), theirs)):
        where = f"{strategy} B = {batch_size}, batch {batch}"
        n_value += compare(ours, fields_of(jraph_batch), f"{where}, jraph")
        mask = np.asarray(jraph.get_graph_padding_mask(jraph_batch))
        expect_equal(ours["weight"], mask.astype(np.float32), f"{where}, jraph, weight")
        for name, batches in others.items():
            compare(ours, fields_of(next(batches)), f"{where}, {name}")
    if batch + 1 != n_batch:
        sys.exit(f"{batch + 1} batches were compared instead of {n_batch}")
    return n_value


def fields_of(batch):
    return {
        "sender": batch.senders, "receiver": batch.receivers, "distance": batch.edges,
        "class": batch.nodes, "n_node": batch.n_node, "n_edge": batch.n_edge,
        "target": batch.globals,
    }


def compare(ours, theirs, where):
    for name, values in theirs.items():
        expect_equal(ours[name], np.asarray(values), f"{where}, {name}")
    return sum(np.size(values) for values in theirs.values())


def expect_equal(ours, theirs, where):
    """Exits unless both are bit-identical and of equal length."""
    if ours.shape != theirs.shape:
        sys.exit(f"{where}: {ours.shape} values here, {theirs.shape} there")
    different = np.flatnonzero(ours != theirs)
    if len(different):
        at = different[0]
        sys.exit(f"{where}: {len(different)} values differ; the first, number {at}, is "
                 f"{ours[at]!r} here and {theirs[at]!r} there")


def our_batches(folder):
    """The fields of each batch; the files hold all batches concatenated."""
    shapes = np.load(folder / "shape.npy").reshape(-1, 3)
    by_shape = {"n_node": 2, "n_edge": 2, "target": 2, "weight": 2, "class": 0,
                "sender": 1, "receiver": 1, "distance": 1}
    columns = {}
    for name, resource in by_shape.items():
        values = np.load(folder / f"{name}.npy")
        ends = np.cumsum(shapes[:, resource])
        if ends[-1] != len(values):
            sys.exit(f"{folder.name}: {len(values)} values of {name}, {ends[-1]} expected")
        columns[name] = np.split(values, ends[:-1])
    for batch in range(len(shapes)):
        yield {name: values[batch] for name, values in columns.items()}
