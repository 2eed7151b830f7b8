"""Ids of batches, for training loops that build their batches themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import _batchlab, _toml
from ._arrays import integers
from .data import sizes_of
from .python_batcher import PythonBatcher, PythonPlanner


class BatchSampler:
    """Plans batches from the sizes of graphs, and yields lists of their ids.

    For ``DataLoader(dataset, batch_sampler=...)`` of PyTorch or PyTorch Geometric, and for any loop::

        sampler = BatchSampler(dataset, "dynamic", batch_size=32, seed=0)
        loader = torch_geometric.loader.DataLoader(dataset, batch_sampler=sampler)
        for epoch in range(100):
            for batch in loader:     # every epoch in a new order
                ...

    Parameters
    ----------
    sizes
        Sizes of all graphs: a pair of arrays ``(n_node, n_edge)``; a sequence of PyTorch Geometric's ``Data``, of
        jraph's ``GraphsTuple`` or of ``ase.Atoms`` (with all pairs of atoms as edges); or `Graphs`.
    batcher
        A strategy: a label such as ``"dynamic"``, ``"static-64"`` or ``"exact"``, as ``batchlab list`` shows them, or a
        dictionary with ``name`` and options. Or an idea of yours: a function that takes an iterator of `Size`, the
        graphs of an epoch in random order, and yields lists of ids or of `Size`, which together name every graph once.
        Its only option is ``padding``; `batchlab.check_batcher` tests it.
    batch_size
        The study's B: a batch has at most B - 1 graphs, because one slot is for padding.
    seed
        Seed of the order; the same seed gives the same batches as ``batchlab run`` with the same options.
    shuffle
        Without it, every epoch is one pass in the given order, for evaluation.
    members
        Ids of the graphs to use, for example a training set; by default all.
    options
        Options of the batcher, as ``batchlab explain batcher.dynamic`` shows them. ``epoch_boundary`` is
        ``"emit-partial"`` here unless you set it: every epoch yields every graph once. With ``"carry-over"``,
        batchlab's default, an incomplete batch waits for the next epoch.

    Examples
    --------
    >>> sampler = BatchSampler(([3, 4, 5], [6, 12, 20]), "static-64", batch_size=3, shuffle=False)
    >>> list(sampler)
    [[0, 1], [2]]
    >>> sampler.shapes().tolist()
    [[64, 64, 3], [64, 64, 3]]
    """

    def __init__(
        self,
        sizes: Any,
        batcher: str | Mapping[str, Any] | PythonBatcher = "dynamic",
        batch_size: int = 32,
        *,
        seed: int = 0,
        shuffle: bool = True,
        members: Any = None,
        **options: Any,
    ):
        n_node, n_edge = sizes_of(sizes)
        ids = np.arange(len(n_node), dtype=np.uint32) if members is None else integers("members", members)
        if (ids >= len(n_node)).any():
            at = np.flatnonzero(ids >= len(n_node))[0]
            raise ValueError(f"members[{at}] is {ids[at]}, but there are {len(n_node)} graphs")
        graphs = [ids, n_node[ids], n_edge[ids]]
        self._planner: _batchlab.Planner | PythonPlanner
        if callable(batcher):
            self._planner = PythonPlanner(graphs, batcher, batch_size, seed, shuffle, **options)
        else:
            text = _toml.batcher(batcher, options, shuffle)
            self._planner = _batchlab.Planner(graphs, text, batch_size, seed, shuffle)
        self._settings = {"label": self._planner.label, "batch_size": batch_size, "seed": seed, "n_graph": len(ids)}
        self._epoch, self._next = 0, 0
        self._plans: _batchlab.Epoch | None = None

    @property
    def label(self) -> str:
        """Name of the strategy in batchlab's results."""
        return self._planner.label

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields; it grows by 1 at the end of each."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields, from its beginning.

        Not needed where epochs simply follow each other. Where an incomplete batch is carried over, and with fixed
        composition, the epochs before it are planned first.
        """
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}; it must be 0 or more")
        self._epoch, self._next, self._plans = epoch, 0, None

    def shapes(self) -> np.ndarray:
        """Padded sizes of the epoch's batches, int32 [n_batch, 3]: nodes, edges and graphs."""
        return self._shapes()[:, 0]

    def real_shapes(self) -> np.ndarray:
        """Sizes of the epoch's batches without padding, int32 [n_batch, 3]: nodes, edges and graphs."""
        return self._shapes()[:, 1]

    def _shapes(self) -> np.ndarray:
        return np.frombuffer(self._planned().shapes(), np.int32).reshape(-1, 2, 3)

    def _planned(self) -> _batchlab.Epoch:
        if self._plans is None:
            self._plans = self._planner.epoch(self._epoch)
        return self._plans

    def __len__(self) -> int:
        """Number of batches in the epoch."""
        return len(self._planned())

    def __iter__(self) -> Iterator[list[int]]:
        plans, epoch, first = self._planned(), self._epoch, self._next
        for batch in range(first, len(plans)):
            self._next = batch + 1
            yield plans.ids(batch)
        self._begin(epoch + 1)

    def _begin(self, epoch: int) -> None:
        self._epoch, self._next, self._plans = epoch, 0, None

    def state_dict(self, batch: int | None = None) -> dict[str, Any]:
        """Where the sampler is, for an exact continuation with `load_state_dict`.

        A `DataLoader` with workers asks for batches ahead of time: give the number of batches of this epoch that you
        have trained as `batch`.
        """
        plans = self._planned()
        batch = self._next if batch is None else batch
        if not 0 <= batch <= len(plans):
            raise ValueError(f"batch is {batch}, but epoch {self._epoch} has {len(plans)}")
        return {**self._settings, "epoch": self._epoch, "batch": batch, "start": plans.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was called: the next iteration yields the rest of that epoch."""
        for key, own in self._settings.items():
            if state.get(key) != own:
                raise ValueError(f"this state is of a sampler with {key} = {state.get(key)!r}; here it is {own!r}")
        self._planner.seek(state["start"])
        self._epoch, self._next, self._plans = state["epoch"], state["batch"], None

