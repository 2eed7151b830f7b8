"""Batches for other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .batch import Batch

Convert = Callable[[Batch], Any]
# What the rows of a field belong to.
_PER = {"node_class": "node", "node_feature": "node", "distance": "edge", "displacement": "edge"}


def converter(as_: str, fields: Sequence[str], own: Mapping[str, str], has_target: bool) -> Convert:
    """What turns a batch with these fields into the wanted form; `own` says what the rows of own fields belong to."""
    if as_ == "numpy":
        return lambda batch: batch
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

    def convert(batch: Batch) -> Any:
        return jraph.GraphsTuple(
            nodes={name: getattr(batch, name) for name in names["node"]},
            edges={name: getattr(batch, name) for name in names["edge"]},
            globals={
                **({"target": batch.output_target} if has_target else {}),
                "weight": batch.output_weight,
                "origin": batch.origin,
                **{name: getattr(batch, name) for name in names["graph"]},
            },
            senders=batch.sender,
            receivers=batch.receiver,
            n_node=batch.n_node_of,
            n_edge=batch.n_edge_of,
        )

    return convert


def _torch(names: Mapping[str, list[str]], has_target: bool) -> Convert:
    import torch

    # Copies: tensors are changed in place, and the memory of a batch is read-only.
    return lambda batch: {name: torch.tensor(array) for name, array in batch.arrays().items()}


def _pyg(names: Mapping[str, list[str]], has_target: bool) -> Convert:
    import torch
    from torch_geometric.data import Batch as PygBatch

    fields = [name for of in names.values() for name in of if name not in ("node_class", "node_feature")]

    def long(array: np.ndarray) -> Any:
        return torch.from_numpy(array.astype(np.int64))

    def convert(batch: Batch) -> Any:
        tensors = {name: torch.tensor(getattr(batch, name)) for name in fields}
        if "node_class" in names["node"]:
            tensors["z"] = long(batch.node_class)
        if "node_feature" in names["node"]:
            tensors["x"] = torch.tensor(batch.node_feature)
        if has_target and "y" not in tensors:
            tensors["y"] = torch.tensor(batch.output_target)
        edge_index = np.empty((2, batch.n_edge), np.int64)
        edge_index[0], edge_index[1] = batch.sender, batch.receiver
        return PygBatch(
            edge_index=torch.from_numpy(edge_index),
            weight=torch.tensor(batch.output_weight),
            origin=torch.tensor(batch.origin),
            batch=long(batch.graph_of),
            ptr=long(batch.graph_offset),
            **tensors,
        )

    return convert
