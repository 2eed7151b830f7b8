"""Batches for other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _batchlab
from .batch import Batch, Views

Convert = Callable[[_batchlab.Arena, Views], Any]
# What the rows of a field belong to.
_PER = {"node_class": "node", "node_feature": "node", "distance": "edge", "displacement": "edge"}


def converter(as_: str, fields: Sequence[str], own: Mapping[str, str], has_target: bool) -> Convert:
    """What turns a batch with these fields into the wanted form; `own` says what the rows of own fields belong to."""
    if as_ == "numpy":
        return Batch
    makers = {"jraph": _jraph, "torch": _torch, "pyg": _pyg}
    if as_ not in makers:
        raise ValueError(f'as_ is {as_!r}; it must be "numpy", "jraph", "torch" or "pyg"')
    per = {**_PER, **own}
    names = {of: [name for name in fields if per.get(name) == of] for of in ("node", "edge", "graph")}
    try:
        return makers[as_](names, has_target)
    except ImportError as error:
        raise ImportError(f"as_={as_!r} needs a package that is not installed: {error}") from error


def _jraph(names: Mapping[str, list[str]], has_target: bool) -> Convert:
    import jraph

    nodes, edges, graphs = (names[of] for of in ("node", "edge", "graph"))
    targets = ["output_target"] if has_target else []

    def convert(_: _batchlab.Arena, of: Views) -> Any:
        return jraph.GraphsTuple(
            nodes={name: of[name] for name in nodes},
            edges={name: of[name] for name in edges},
            globals={
                **{"target": of[name] for name in targets},
                "weight": of["output_weight"],
                "origin": of["origin"],
                **{name: of[name] for name in graphs},
            },
            senders=of["sender"],
            receivers=of["receiver"],
            n_node=of["n_node_of"],
            n_edge=of["n_edge_of"],
        )

    return convert


def _torch(names: Mapping[str, list[str]], has_target: bool) -> Convert:
    import torch

    # Copies: tensors are changed in place, and the memory of a batch is read-only.
    return lambda _, of: {name: torch.from_numpy(array.copy()) for name, array in of.items()}


def _pyg(names: Mapping[str, list[str]], has_target: bool) -> Convert:
    import torch
    from torch_geometric.data import Batch as PygBatch

    # Name in PyTorch Geometric, and ours.
    fields = {name: name for of in names.values() for name in of} | {"weight": "output_weight", "origin": "origin"}
    longs = {"batch": "graph_of", "ptr": "graph_offset"}
    if has_target:
        fields.setdefault("y", "output_target")
    if fields.pop("node_class", None):
        longs["z"] = "node_class"
    if fields.pop("node_feature", None):
        fields["x"] = "node_feature"
    empty = PygBatch()

    def convert(_: _batchlab.Arena, of: Views) -> Any:
        edge_index = np.empty((2, len(of["sender"])), np.int64)
        edge_index[0], edge_index[1] = of["sender"], of["receiver"]
        # A copy: making a `Batch` takes several times as long.
        batch = copy.copy(empty)
        store = batch.stores[0]
        store["edge_index"] = torch.from_numpy(edge_index)
        for name, own in fields.items():
            store[name] = torch.from_numpy(of[own].copy())
        for name, own in longs.items():
            store[name] = torch.from_numpy(of[own].astype(np.int64))
        return batch

    return convert
