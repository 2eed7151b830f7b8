"""Padded batches, ready for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import _batchlab, formats
from ._arrays import whole
from .batch import Layout, layout, views
from .data import Graphs
from .python_batcher import PythonBatcher
from .sampler import BatchSampler, Pass


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
        As for `BatchSampler`, with ``rank``, ``world_size`` and ``assignment``. ``padding`` is one of the options:
        ``"none"``, ``"constant"``, ``{"multiple": 64}``, ``{"power": 2}``, ``{"shapes": 8}``.
    as_
        ``"numpy"``: `Batch`. ``"jraph"``: ``GraphsTuple`` with NumPy arrays, padded as by ``jraph.pad_with_graphs``;
        ``globals`` has ``target`` and ``weight``, which is 0 for padding (with ``padding="none"`` there is no padding
        graph, and jraph's masks of padding must not be used). ``"torch"``: a dictionary of tensors.
        ``"pyg"``: PyTorch Geometric's ``Batch`` with ``z``, ``x``, ``pos``, ``edge_index``, ``distance``, ``y``,
        ``weight``; padding nodes belong to extra graphs at the end whose ``weight`` is 0, and there are none with
        ``padding="none"``. The last two copy. Edges are sorted by receiver in all forms, and their fields with them.
    fields
        Fields of the batch besides sizes, edges and targets; by default all that the data have. `Graphs.fields`
        lists them.
    prefetch
        Batches that are ready before they are asked for; 0 collates in the loop itself.
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
        self._data = data
        if isinstance(fields, str):
            raise TypeError(f"fields is the string {fields!r}; give a list of names")
        # The order by senders serves kernels.
        self._fields = [of for of in data.fields if of != "sender_order"] if fields is None else list(fields)
        for name in self._fields:
            if name not in data.fields:
                raise ValueError(f"the data have no field {name!r}; their fields are {', '.join(data.fields)}")
        self._targets = [] if data.target is None else ["output_target"]
        self._convert = formats.converter(as_, self._fields, dict(data._store.own()), bool(self._targets))
        self._prefetch = whole("prefetch", prefetch, 0, 1024)
        self._layout: Layout | None = None
        self.sampler = BatchSampler(data, batcher, batch_size, seed=seed, shuffle=shuffle, members=members, **options)

    def __len__(self) -> int:
        """Number of batches in the epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        """A pass over the epoch, from its beginning unless a state has just been loaded."""
        return self._batches(Pass(self.sampler))

    def _batches(self, of: Pass) -> Iterator[Any]:
        def convert(arena: _batchlab.Arena) -> Any:
            if self._layout is None:
                self._layout = layout(arena, [*self._fields, *self._targets])
            of.batch += 1
            return self._convert(arena, views(arena, self._layout))

        # Nothing here holds a batch that the caller has let go: its memory is used again at once.
        yield from map(convert, self._data._store.collate(of.plans, of.batch, self._fields, self._prefetch))
        of.end()

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
