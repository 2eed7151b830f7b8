"""Batchers written in Python, for trying an idea."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _batchlab, _toml
from ._arrays import whole


class Size(NamedTuple):
    """Id and size of a graph."""

    id: int
    n_node: int
    n_edge: int


PythonBatcher = Callable[[Iterator[Size]], Iterable[Sequence[int | Size]]]


class PythonPlanner:
    """Plans epochs with a function. Its name in results begins with ``python:``."""

    def __init__(
        self,
        graphs: Sequence[np.ndarray],
        batcher: PythonBatcher,
        batch_size: int,
        seed: int,
        shuffle: bool,
        padding: Any = "none",
        **unknown: Any,
    ):
        if unknown:
            raise TypeError(f"a batcher in Python has only the option 'padding', not {next(iter(unknown))!r}")
        self._graphs = graphs
        self._sizes = [Size(*of) for of in zip(*(column.tolist() for column in graphs))]
        self._batcher, self._batch_size, self._seed, self._shuffle = batcher, batch_size, seed, shuffle
        self._padding = _toml.value(padding)
        self._first: list[list[int]] | None = None
        self.label = f"python:{getattr(batcher, '__name__', type(batcher).__name__)}"

    def epoch(self, number: int) -> _batchlab.Epoch:
        if self._first is None:
            self._first = self._groups(0)
        groups = self._first if number == 0 or not self._shuffle else self._groups(number)
        return _batchlab.Epoch.of_groups(self._graphs, groups, self._first, self._padding, self._batch_size, number)

    def seek(self, start: str) -> None:
        """Every epoch is planned without those before it."""

    def _groups(self, number: int) -> list[list[int]]:
        n = len(self._sizes)
        order = _batchlab.permutation(self._seed, "order", number, n) if self._shuffle else range(n)
        groups = self._batcher(self._sizes[i] for i in order)
        if not isinstance(groups, Iterable):
            raise TypeError(f"{self.label} returned {type(groups).__name__}; it has to yield lists of graphs")
        return [self._ids(f"epoch {number}, batch {batch}", group) for batch, group in enumerate(groups)]

    def _ids(self, at: str, group: Any) -> list[int]:
        if isinstance(group, Size) or not isinstance(group, Iterable):
            raise TypeError(f"{at} is {group!r}; yield lists of graphs, or of their ids")
        ids = []
        for of in group:
            try:
                ids.append(of.id if isinstance(of, Size) else operator.index(of))
            except TypeError:
                raise TypeError(f"{at} holds {of!r}, which is neither a Size nor an id") from None
        if ids and not 0 <= min(ids) <= max(ids) < 2**32:
            raise ValueError(f"{at}: there is no graph {min(ids) if min(ids) < 0 else max(ids)}")
        return ids


def check_batcher(batcher: PythonBatcher, batch_size: int = 8, *, padding: Any = "none", cases: int = 50) -> None:
    """Tests a batcher on random and extreme sizes; for pytest: ``def test_mine(): check_batcher(mine)``.

    Every epoch has to name each graph once, in batches of at most `batch_size` - 1 graphs, and to be the same whenever
    it is planned: a batcher must not remember earlier epochs, or draw random numbers of its own.

    Raises
    ------
    AssertionError
        The first promise that is broken, with the sizes that break it.
    """
    batch_size = whole("batch_size", batch_size, 2, 2**20)
    rng = random.Random(0)
    for case in range(cases):
        n = [1, 2, batch_size - 1, batch_size, rng.randint(1, 60)][min(case, 4)]
        largest = rng.choice([1, 5, 30, 100_000])
        n_node = [rng.randint(1, largest) for _ in range(n)]
        n_edge = [rng.randint(0, nodes * 6) for nodes in n_node]
        ids = rng.sample(range(1000), n)
        graphs = [np.array(column, np.uint32) for column in (ids, n_node, n_edge)]
        told = f"on graphs (id, nodes, edges) {list(zip(ids, n_node, n_edge))}"
        make = lambda: PythonPlanner(graphs, batcher, batch_size, case, True, padding)
        try:
            planner = make()
            planned = [_ids(planner.epoch(number)) for number in (0, 1, 2)]
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{error}; {told}") from error
        for number in (2, 0, 1):
            for of in (planner, make()):
                if _ids(of.epoch(number)) != planned[number]:
                    raise AssertionError(f"epoch {number} differs when it is planned again; {told}")


def _ids(epoch: _batchlab.Epoch) -> list[list[int]]:
    return [epoch.ids(batch) for batch in range(len(epoch))]

