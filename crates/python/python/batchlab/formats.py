"""Batches for other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .batch import Batch

Convert = Callable[[Batch, dict[str, str]], Any]
_PER = {"node_class": "node", "node_feature": "node", "distance": "edge", "displacement": "edge"}


def converter(as_: str) -> Convert:
    """What turns a batch, given what the rows of its own fields belong to, into the wanted form."""
    if as_ == "numpy":
        return lambda batch, own: batch
    makers = {"jraph": _jraph, "torch": _torch, "pyg": _pyg}
    if as_ not in makers:
        raise ValueError(f'as_ is {as_!r}; it must be "numpy", "jraph", "torch" or "pyg"')
    try:
        return makers[as_]()
    except ImportError as error:
        raise ImportError(f"as_={as_!r} needs a package that is not installed: {error}") from error


def _rows(batch: Batch, own: dict[str, str], per: str) -> dict[str, np.ndarray]:
    """The fields with a row per node, edge or graph."""
    arrays = batch.arrays()
    return {name: arrays[name] for name, of in {**_PER, **own}.items() if of == per and name in arrays}


def _jraph() -> Convert:
    import jraph

    def convert(batch: Batch, own: dict[str, str]) -> Any:
        return jraph.GraphsTuple(
            nodes=_rows(batch, own, "node"),
            edges=_rows(batch, own, "edge"),
            globals={
                "target": batch.output_target,
                "weight": batch.output_weight,
                "origin": batch.origin,
                **_rows(batch, own, "graph"),
            },
            senders=batch.sender,
            receivers=batch.receiver,
            n_node=batch.n_node_of,
            n_edge=batch.n_edge_of,
        )

    return convert


def _torch() -> Convert:
    import torch

    # Copies: tensors are changed in place, and the memory of a batch is read-only.
    return lambda batch, own: {name: torch.tensor(array) for name, array in batch.arrays().items()}


def _pyg() -> Convert:
    import torch
    from torch_geometric.data import Batch as PygBatch

    def long(array: np.ndarray) -> Any:
        return torch.from_numpy(array.astype(np.int64))

    def convert(batch: Batch, own: dict[str, str]) -> Any:
        fields = {name: torch.tensor(array) for per in ("node", "edge", "graph") for name, array in _rows(batch, own, per).items()}
        if "node_class" in fields:
            fields["z"] = long(batch.node_class)
            del fields["node_class"]
        if "node_feature" in fields:
            fields["x"] = fields.pop("node_feature")
        return PygBatch(
            edge_index=torch.stack([long(batch.sender), long(batch.receiver)]),
            y=torch.tensor(batch.output_target),
            weight=torch.tensor(batch.output_weight),
            origin=torch.tensor(batch.origin),
            batch=long(batch.graph_of),
            ptr=long(batch.graph_offset),
            **fields,
        )

    return convert
