"""Which strategy trains fastest, on a training step of your own."""

from __future__ import annotations

import csv
import html
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import _batchlab
from .data import Graphs
from .loader import Loader
from .python_batcher import PythonBatcher


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

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the times as CSV, for ``batchlab verdict``."""
        with open(path, "x", newline="") as file:
            writer = csv.DictWriter(file, ["strategy", "seconds", "n_output", "cell", "block"])
            writer.writeheader()
            writer.writerows(self.times)


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
        A CSV file for the times, which ``batchlab verdict`` reads.
    margin
        Differences up to this share count as equal; 0.02 by default.
    loader_options
        Passed to `Loader`, for example ``fields`` and ``members``.

    """
    named = {"": steps} if callable(steps) else dict(steps)
    if not named:
        raise ValueError("steps is empty; give a training step")
    if len(batchers) < 2:
        raise ValueError("name at least two batchers to compare")
    if pairs < 1 or steps_per_block < 1:
        raise ValueError("pairs and steps_per_block must be 1 or more")
    if out is not None and os.path.exists(out):
        raise FileExistsError(f"{os.fspath(out)} exists already; name another file, or remove it")
    found = Comparison()
    for name, step in named.items():
        for size in batch_sizes:
            # As in a sweep: an incomplete batch waits for the next epoch.
            boundary = lambda of: {} if callable(of) else {"epoch_boundary": "carry-over"}
            arms = [
                Loader(data, of, size, seed=seed, as_=as_, **{**boundary(of), **loader_options}) for of in batchers
            ]
            cell = f"{name} B={size}".strip()
            times = _times(arms, step, pairs, steps_per_block, seed, cell, progress)
            rows = [(row["strategy"], row["seconds"], float(row["n_output"]), cell, row["block"]) for row in times]
            found.texts[cell], verdict = _batchlab.verdict(rows, margin=margin)
            found.verdicts[cell] = json.loads(verdict)
            found.times += times
    if out is not None:
        found.write(out)
    return found


def _times(
    loaders: list[Loader],
    step: Callable[[Any], Any],
    pairs: int,
    steps_per_block: int,
    seed: int,
    cell: str,
    progress: Callable[[str], None] | None,
) -> list[dict[str, Any]]:
    labels = [loader.sampler.label for loader in loaders]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two of the batchers are the same: {', '.join(labels)}")
    streams = [_endless(loader) for loader in loaders]
    times: list[dict[str, Any]] = []

    def train(arm: int, block: int) -> float:
        n_output = 0
        start = time.perf_counter()
        for batch, n_graph in (next(streams[arm]) for _ in range(steps_per_block)):
            step(batch)
            n_output += n_graph
        seconds = time.perf_counter() - start
        times.append(dict(strategy=labels[arm], seconds=seconds, n_output=n_output, cell=cell, block=block))
        if progress and block > 0 and len(times) % (2 * len(loaders)) == len(loaders):
            progress(f"{cell}: {block // 2} of {pairs} pairs")
        return seconds / n_output

    _batchlab.turns(len(loaders), pairs, seed, train)
    return times


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
