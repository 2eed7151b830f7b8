"""Which strategy trains fastest, on a training step of your own."""

from __future__ import annotations

import contextlib
import csv
import html
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import _batchlab, _toml
from ._arrays import whole
from .data import Graphs
from .loader import Loader
from .python_batcher import PythonBatcher


COLUMNS = ("strategy", "seconds", "n_output", "cell", "block")


class Comparison:
    """Times of a comparison, and the verdict on each training step and batch size.

    `print` shows the verdicts, a notebook the same with bars. `times` has a row per strategy and block, as
    ``batchlab verdict`` reads them; `texts` and `verdicts` are the verdicts by cell, such as ``"jax B=32"``, as text and
    as a dictionary.
    """

    def __init__(self) -> None:
        self.times: list[dict[str, Any]] = []
        self.texts: dict[str, str] = {}
        self.verdicts: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return "\n".join(f"{cell}\n{text}" for cell, text in self.texts.items())

    def _repr_html_(self) -> str:
        parts = (
            f"<h4>{html.escape(cell)}</h4>{_bars([row for row in self.times if row['cell'] == cell])}"
            f"<pre>{html.escape(text)}</pre>"
            for cell, text in self.texts.items()
        )
        return "".join(parts)


def compare(
    data: Graphs,
    steps: Mapping[str, Callable[[Any], Any]] | Callable[[Any], Any],
    batchers: Sequence[str | Mapping[str, Any] | PythonBatcher] = ("static-64", "static-2^N", "static-constant", "dynamic"),
    batch_sizes: Sequence[int] = (32,),
    *,
    pairs: int = 10,
    steps_per_block: int = 50,
    seed: int = 0,
    as_: str = "numpy",
    out: str | os.PathLike[str] | None = None,
    margin: float | None = None,
    progress: Callable[[str], None] | None = print,
    **loader_options: Any,
) -> Comparison:
    """Trains with every strategy in turns, and judges their times as ``batchlab sweep`` does.

    Each strategy trains blocks of `steps_per_block` steps. After a warm-up, blocks come in mirrored pairs (A B C, then
    C B A), so that what slows the machine down slows every strategy; pairs that were disturbed are repeated.

    Parameters
    ----------
    steps
        A training step, called with one batch; or several by name, for example of two libraries. It has to wait for
        its result: return the loss as a number (``float(loss)``, ``loss.item()``).
    batchers, batch_sizes
        Strategies to compare, and batch sizes at which to compare them; there is one verdict per batch size and step.
    pairs
        Mirrored pairs of blocks.
    out
        A new CSV file for the times, which ``batchlab verdict`` reads; written as they are measured.
    margin
        Differences up to this share count as equal; 0.02 by default.
    loader_options
        Passed to `Loader`, for example ``fields`` and ``members``.

    """
    named = {"": steps} if callable(steps) else dict(steps)
    for name, step in named.items():
        if not callable(step):
            raise TypeError(f"steps[{name!r}] is {type(step).__name__}, not a function")
    if isinstance(batchers, str) or len(batchers) < 2:
        raise ValueError("name at least two batchers to compare, in a list")
    if not named or not batch_sizes or len(set(batch_sizes)) < len(batch_sizes):
        raise ValueError("give at least one training step and batch size, and each batch size once")
    pairs, steps_per_block = whole("pairs", pairs, 1, 10_000), whole("steps_per_block", steps_per_block, 1, 2**31)
    if margin is not None and not 0 < margin < 1:
        raise ValueError(f"margin is {margin}; it must be between 0 and 1")
    cells = {
        f"{name} B={size}".strip(): (step, [_loader(data, of, size, seed, as_, loader_options) for of in batchers])
        for name, step in named.items()
        for size in batch_sizes
    }
    found = Comparison()
    with open(out, "x", newline="") if out is not None else contextlib.nullcontext() as file:
        writer = csv.DictWriter(file, COLUMNS) if file else None
        if writer:
            writer.writeheader()

        def keep(row: dict[str, Any]) -> None:
            found.times.append(row)
            if writer and file:
                writer.writerow(row)
                file.flush()

        for cell, (step, loaders) in cells.items():
            _train(loaders, step, pairs, steps_per_block, seed, cell, keep, progress)
            rows = [
                (of["strategy"], of["seconds"], float(of["n_output"]), cell, of["block"])
                for of in found.times
                if of["cell"] == cell
            ]
            found.texts[cell], verdict = _batchlab.verdict(rows, margin=margin)
            found.verdicts[cell] = json.loads(verdict)
    return found


def _loader(data: Graphs, batcher: Any, size: int, seed: int, as_: str, options: Mapping[str, Any]) -> Loader:
    # As in a sweep: an incomplete batch waits for the next epoch.
    of = batcher if callable(batcher) else _toml.batcher(batcher, {}, "carry-over")
    return Loader(data, of, size, seed=seed, as_=as_, **options)


def _train(
    loaders: list[Loader],
    step: Callable[[Any], Any],
    pairs: int,
    steps_per_block: int,
    seed: int,
    cell: str,
    keep: Callable[[dict[str, Any]], None],
    progress: Callable[[str], None] | None,
) -> None:
    labels = [loader.sampler.label for loader in loaders]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two of the batchers are the same: {', '.join(labels)}")
    streams = [_endless(loader) for loader in loaders]
    n_turn = itertools.count(1)

    def train(arm: int, block: int) -> float:
        n_output = 0
        start = time.perf_counter()
        for batch, n_graph in (next(streams[arm]) for _ in range(steps_per_block)):
            step(batch)
            n_output += n_graph
        seconds = time.perf_counter() - start
        keep(dict(zip(COLUMNS, (labels[arm], seconds, n_output, cell, block))))
        if next(n_turn) % len(loaders) == 0 and block % 2 == 0 and block > 0 and progress:
            progress(f"{cell}: {block // 2} of {pairs} pairs")
        return seconds / n_output

    _batchlab.turns(len(loaders), pairs, seed, train)


def _endless(loader: Loader) -> Iterator[tuple[Any, int]]:
    """Batches of epoch after epoch, with the number of real graphs."""
    while True:
        real = loader.sampler.real_shapes()[:, 2]
        yield from zip(loader, real.tolist())


def _bars(times: list[dict[str, Any]]) -> str:
    """Time per graph of each strategy, without the warm-up."""
    seconds: dict[str, float] = {}
    graphs: dict[str, int] = {}
    for row in times:
        if row["block"] > 0:
            seconds[row["strategy"]] = seconds.get(row["strategy"], 0.0) + row["seconds"]
            graphs[row["strategy"]] = graphs.get(row["strategy"], 0) + row["n_output"]
    cost = {label: 1e6 * seconds[label] / graphs[label] for label in seconds}
    longest = max(cost.values(), default=1.0)
    rows = "".join(
        f"<tr><td style='text-align:left'>{html.escape(label)}</td>"
        f"<td style='width:20em'><div style='background:#4477aa;height:1em;width:{100 * of / longest:.1f}%'></div></td>"
        f"<td>{of:,.0f} us per graph</td></tr>"
        for label, of in sorted(cost.items(), key=lambda item: item[1])
    )
    return f"<table>{rows}</table>"
