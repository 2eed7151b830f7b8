"""Results of studies, and forecasts, as tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from . import _batchlab, _toml
from ._arrays import whole
from .data import Graphs


class Study:
    """The six tables of a study: `runs`, `steps`, `evals`, `events`, `metrics` and `blocks`.

    Each is taken without a copy, and without pyarrow, by anything that knows Arrow's PyCapsule interface::

        study = batchlab.read("results/smoke")
        polars.DataFrame(study.steps)
        pandas.DataFrame.from_arrow(study.steps)        # pandas 3, which needs pyarrow for it
        pyarrow.table(study.steps)
        steps = study.steps; duckdb.sql("select run_id, count(*) from steps group by all")

    docs/records.md defines the columns. Runs whose files are damaged are left out, with a warning.
    """

    runs: _batchlab.Table
    steps: _batchlab.Table
    evals: _batchlab.Table
    events: _batchlab.Table
    metrics: _batchlab.Table
    blocks: _batchlab.Table

    def __init__(self, folder: str | os.PathLike[str]):
        tables, damaged = _batchlab.read(os.fspath(folder))
        self.folder = os.fspath(folder)
        for name, table in tables:
            setattr(self, name, table)
        for reason in damaged:
            warnings.warn(f"a run is left out: {reason}", stacklevel=3)

    def __repr__(self) -> str:
        return f"<Study {self.folder}: {len(self.runs)} runs, {len(self.steps)} steps>"


def read(folder: str | os.PathLike[str]) -> Study:
    """The tables of a study, for example ``read("results/smoke")``."""
    return Study(folder)


def plan(
    data: Graphs,
    batchers: Sequence[str | Mapping[str, Any]] = ("static-64", "static-2^N", "static-constant", "dynamic"),
    batch_sizes: Sequence[int] = (16, 32, 64, 128),
    *,
    steps: int = 10_000,
    seed: int = 0,
) -> _batchlab.Table:
    """How each strategy would batch these graphs, one row per strategy and batch size.

    Nothing is collated: batches follow from sizes alone and are those of a run with this seed. Columns: strategy,
    batch_size, steps_per_epoch, graphs_per_step, node_fill and edge_fill (real rows as a share of padded ones),
    shapes (padded shapes met in `steps` steps; what an engine that compiles per shape compiles), and peak_bytes (memory
    of the largest batch).
    """
    if not isinstance(data, Graphs):
        raise TypeError(f"data is {type(data).__name__}; make Graphs of it, for example with batchlab.from_arrays")
    if isinstance(batchers, str):
        raise TypeError(f"batchers is the string {batchers!r}; give a list")
    tables = [_toml.value(_toml.batcher(batcher, {}, None)) for batcher in batchers]
    sizes = [whole("batch_size", size, 2, 2**20) for size in batch_sizes]
    return data._store.forecast(tables, sizes, whole("steps", steps, 1, 10**9), whole("seed", seed, 0, 2**64 - 1))


def strategies() -> list[str]:
    """Labels of the strategies that come along, such as ``"static-64"``; each is a batcher with options."""
    return _batchlab.labels()
