"""Padded batches, ready for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import formats
from .batch import Batch, Layout, layout
from .data import Graphs
from .python_batcher import PythonBatcher
from .sampler import BatchSampler


class Loader:
    """Batches that are collated and padded in Rust, one epoch per iteration::

        data = batchlab.load("qm9", target="U0_atom")
        loader = batchlab.Loader(data, "static-64", batch_size=32, seed=0)
        for epoch in range(100):
            for batch in loader:                   # every epoch in a new order
                loss = step(batch.node_class, batch.sender, batch.receiver, batch.distance, batch.output_target)

    A thread collates ahead of the loop, without Python's lock. Arrays are read-only views of a batch's memory, which is
    used again only when none of them lives; so batches and arrays can be kept as long as you like.

    Parameters
    ----------
    data
        `Graphs`, from `load`, `from_arrays`, `from_pyg`, `from_jraph` or `from_ase`.
    batcher, batch_size, seed, shuffle, members, options
        As for `BatchSampler`. ``padding`` is one of the options: ``"none"``, ``"constant"``, ``{"multiple": 64}``,
        ``{"power": 2}``, ``{"shapes": 8}``.
    as_
        ``"numpy"``: `Batch`. ``"jraph"``: ``GraphsTuple`` with NumPy arrays, padded as by ``jraph.pad_with_graphs``;
        ``globals`` has ``target`` and ``weight``, which is 0 for padding. ``"torch"``: a dictionary of tensors.
        ``"pyg"``: PyTorch Geometric's ``Batch`` with ``z``, ``x``, ``edge_index``, ``distance``, ``y``, ``weight``,
        where padding nodes belong to extra graphs at the end whose ``weight`` is 0. The last two copy.
    fields
        Fields of the batch besides sizes, edges and targets; by default all that the data have. `Graphs.fields`
        lists them.
    prefetch
        Batches that are ready before they are asked for.
    """

    def __init__(
        self,
        data: Graphs,
        batcher: str | Mapping[str, Any] | PythonBatcher = "dynamic",
        batch_size: int = 32,
        *,
        seed: int = 0,
        shuffle: bool = True,
        as_: str = "numpy",
        fields: Sequence[str] | None = None,
        prefetch: int = 2,
        members: Any = None,
        **options: Any,
    ):
        if not isinstance(data, Graphs):
            raise TypeError(
                f"data is {type(data).__name__}; make Graphs of it with batchlab.from_arrays, from_pyg, from_jraph or "
                "from_ase"
            )
        if prefetch < 0:
            raise ValueError(f"prefetch is {prefetch}; it must be 0 or more")
        self._data = data
        self._fields = list(data.fields if fields is None else fields)
        self._convert = formats.converter(as_, self._fields, dict(data._store.own()))
        self._prefetch = prefetch
        self._layout: Layout | None = None
        self.sampler = BatchSampler(data, batcher, batch_size, seed=seed, shuffle=shuffle, members=members, **options)

    def __len__(self) -> int:
        """Number of batches in the epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        sampler = self.sampler
        epoch, first = sampler.epoch, sampler._next
        plans = sampler._planned()
        arenas = self._data._store.collate(plans, first, self._fields, self._prefetch)
        for number, arena in enumerate(arenas, first + 1):
            if self._layout is None:
                self._layout = layout(arena, self._fields)
            sampler._next = number
            yield self._convert(Batch(arena, self._layout))
        sampler._begin(epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields; see `BatchSampler.set_epoch`."""
        self.sampler.set_epoch(epoch)

    def shapes(self) -> np.ndarray:
        """Padded sizes of the epoch's batches, int32 [n_batch, 3]: nodes, edges and graphs."""
        return self.sampler.shapes()

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, counted in batches that it has yielded, for `load_state_dict`."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was called."""
        self.sampler.load_state_dict(state)
