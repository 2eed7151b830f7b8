"""Ids of batches, for training loops that build their batches themselves."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import _batchlab, _toml
from ._arrays import integers, whole
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
        A strategy: a label such as ``"dynamic"``, ``"static-64"`` or ``"exact"`` (`strategies` lists them), or a
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
    rank, world_size
        Which of how many processes this is, in data-parallel training. Each gets its share of every step, and all have
        equally many steps. ``batch_size`` counts per rank.
    assignment
        How the graphs of a step are shared among ranks (docs/ranks.md). ``"lpt"``: about equally many edges on each.
        ``"lpt-equal"``: besides, numbers of graphs that differ by at most one. ``"fixed"`` and ``"sorted-rotated"``: a
        batch for each rank, as planned for one device.
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
        rank: int = 0,
        world_size: int = 1,
        assignment: str = "lpt",
        **options: Any,
    ):
        n_node, n_edge = sizes_of(sizes)
        ids = np.arange(len(n_node), dtype=np.uint32) if members is None else integers("members", members)
        if (ids >= len(n_node)).any():
            at = np.flatnonzero(ids >= len(n_node))[0]
            raise ValueError(f"members[{at}] is {ids[at]}, but there are {len(n_node)} graphs")
        batch_size = whole("batch_size", batch_size, 2, 2**20)
        seed = whole("seed", seed, 0, 2**64 - 1)
        graphs = [ids, n_node[ids], n_edge[ids]]
        world_size = whole("world_size", world_size, 1, 2**20)
        if world_size > len(ids):
            raise ValueError(f"world_size is {world_size}, but there are {len(ids)} graphs; each rank needs one")
        if assignment not in _batchlab.assignments():
            raise ValueError(f"assignment is {assignment!r}; it must be one of {', '.join(_batchlab.assignments())}")
        ranks = (whole("rank", rank, 0, world_size - 1), world_size, assignment)
        self._arguments = (graphs, batcher, batch_size, seed, bool(shuffle), ranks, options)
        self._open()

    def _open(self) -> None:
        graphs, batcher, batch_size, seed, shuffle, (_, world_size, assignment), options = self._arguments
        self._planner: _batchlab.Planner | PythonPlanner
        if callable(batcher):
            self._planner = PythonPlanner(graphs, batcher, batch_size, seed, shuffle, **options)
        else:
            text = _toml.value(_toml.batcher(batcher, options, "emit-partial" if shuffle else None))
            self._planner = _batchlab.Planner(graphs, text, batch_size, seed, shuffle)
        checksum = zlib.crc32(b"".join(of.tobytes() for of in graphs))
        self._settings = {
            "label": self._planner.label, "batch_size": batch_size, "seed": seed, "shuffle": shuffle, "graphs": checksum,
            "world_size": world_size, "assignment": assignment,
        }  # fmt: skip
        # The epoch of the next pass, and how many of its batches have been trained already.
        self._epoch, self._resume = 0, 0
        self._plans: _batchlab.Epoch | None = None
        self._pass: Pass | None = None

    @property
    def label(self) -> str:
        """Name of the strategy in batchlab's results."""
        return self._planner.label

    @property
    def epoch(self) -> int:
        """The epoch that the next pass yields: one more after each complete pass."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next pass yields, from its beginning.

        Not needed where epochs simply follow each other. Where an incomplete batch is carried over, and with fixed
        composition, the epochs before it are planned first.
        """
        self._epoch, self._resume = whole("epoch", epoch, 0, 2**53), 0
        self._plans, self._pass = None, None

    def shapes(self) -> np.ndarray:
        """Padded sizes of the epoch's batches, int32 [n_batch, 3]: nodes, edges and graphs."""
        return self._shapes()[:, 0]

    def real_shapes(self) -> np.ndarray:
        """Sizes of the epoch's batches without padding, int32 [n_batch, 3]: nodes, edges and graphs."""
        return self._shapes()[:, 1]

    def graphs_per_step(self) -> np.ndarray:
        """Graphs of each step that the next pass yields, on all ranks together, int32 [n_batch]: by this number the
        sum of all ranks' gradients is divided."""
        return np.frombuffer(self._planned().graphs_per_step(), np.int32)[self._resume :]

    def _shapes(self) -> np.ndarray:
        return np.frombuffer(self._planned().shapes(), np.int32).reshape(-1, 2, 3)

    def _planned(self) -> _batchlab.Epoch:
        if self._plans is None:
            graphs, *_, ranks, _ = self._arguments
            self._plans = self._planner.epoch(self._epoch)
            if ranks[1] > 1:
                self._plans = self._plans.share(graphs, *ranks)
        return self._plans

    def __len__(self) -> int:
        """Number of batches in the epoch, the same on every rank."""
        return len(self._planned())

    def __iter__(self) -> Iterator[list[int]]:
        """A pass over the epoch, from its beginning unless a state has just been loaded."""
        return self._batches(Pass(self))

    def _batches(self, of: Pass) -> Iterator[list[int]]:
        for batch in range(of.batch, len(of.plans)):
            of.batch = batch + 1
            yield of.plans.ids(batch)
        of.end()

    def state_dict(self, batch: int | None = None) -> dict[str, Any]:
        """Where the newest pass is, for an exact continuation with `load_state_dict`.

        A `DataLoader` with workers asks for batches ahead of time: give the number of batches of this pass that you
        have trained as `batch`. The state of one rank is that of all.
        """
        of = self._pass or Pass(self, is_new=False)
        batch = of.batch if batch is None else whole("batch", batch, 0, len(of.plans))
        return {**self._settings, "epoch": of.epoch, "batch": batch, "start": of.plans.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was called: the next pass yields the rest of that epoch."""
        missing = [key for key in (*self._settings, "epoch", "batch", "start") if key not in state]
        if missing:
            raise ValueError(f"this is no state of a sampler: it has no {missing[0]!r}")
        for key, own in self._settings.items():
            if state[key] != own:
                raise ValueError(f"this state is of a sampler with {key} = {state[key]!r}; here it is {own!r}")
        self.set_epoch(state["epoch"])
        self._planner.seek(state["start"])
        batch = whole("batch", state["batch"], 0, len(self))
        if batch == len(self):
            self.set_epoch(self._epoch + 1)
        else:
            self._resume = batch

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self._arguments, "state": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._arguments = state["arguments"]
        self._open()
        self.load_state_dict(state["state"])


class Pass:
    """One iteration over an epoch, or the rest of it."""

    def __init__(self, sampler: BatchSampler, is_new: bool = True):
        self.sampler, self.epoch, self.plans = sampler, sampler._epoch, sampler._planned()
        self.batch = sampler._resume
        if is_new:
            sampler._resume, sampler._pass = 0, self

    def end(self) -> None:
        """After the last batch, the next epoch follows, unless another pass has begun or an epoch was chosen."""
        if self.sampler._pass is self:
            self.sampler._epoch, self.sampler._plans = self.epoch + 1, None
