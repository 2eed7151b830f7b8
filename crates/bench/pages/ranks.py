"""Trains on two ranks of this machine, and prints the times beside the forecast of `plan --ranks 2` (docs/ranks.md).

    cargo build --release --features mpi
    .venv/bin/python crates/bench/pages/ranks.py         # needs DuckDB for Python, two idle processors and half an hour
    .venv/bin/python crates/bench/pages/ranks.py --config configs/smoke.toml --batch-sizes 33 --batchers exact

A run takes as many epochs as the forecast, with one thread per rank. The forecast of waiting is 1 - efficiency for
batches without padding, where a step takes as long as its edges; ranks that agree on a padded shape compute the same.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import duckdb

from page import ROOT, table

ASSIGNMENTS = ["fixed", "lpt", "lpt-equal", "sorted-rotated"]
MEASURED = """
select median(step_ns) / 1e6 as step_ms, sum(n_graph) / sum(step_ns) as graphs_per_ns,
    100 * sum(rank_wait_ns) / sum(step_ns) as waiting, 100 * sum(all_reduce_ns) / sum(step_ns) as all_reduce
from '{out}/tables/steps/*.parquet' where not is_warmup
"""
# Also of the steps that are not timed, as in the forecast.
EFFICIENCY = "select 100 * sum(n_edge) / (2 * sum(n_edge_rank)) as efficiency from '{out}/tables/steps/*.parquet'"


def row(query, out):
    found = duckdb.sql(query.format(out=out))
    return dict(zip(found.columns, found.fetchall()[0]))


def run(binary, settings, n_epoch, ranks):
    with tempfile.TemporaryDirectory() as out:
        length = [f"training.epochs={n_epoch}", "training.prefetch=0"]
        subprocess.run([binary, "run", *settings, *length, *ranks, "--threads", "1", "--out", out, "--quiet"],
                       cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return row(MEASURED, out) | (row(EFFICIENCY, out) if ranks else {})


def rows(binary, config, batcher, batch_size):
    settings = [config, f"batcher={batcher}", f"batcher.batch_size={batch_size}"]
    plan = subprocess.run([binary, "plan", *settings, "--ranks", "1,2", "--json"], cwd=ROOT, check=True,
                          capture_output=True)
    [strategy] = json.loads(plan.stdout)["plans"][0]["strategies"]
    forecasts = {forecast["assignment"]: forecast for forecast in strategy["ranks"] if forecast["n_rank"] == 2}
    n_epoch = strategy["ranks"][0]["n_epoch"]
    head = [pathlib.Path(config).stem, batcher, str(batch_size)]
    one = run(binary, settings, n_epoch, [])
    yield [*head, "one rank", f"{one['step_ms']:.2f}", *6 * ["-"], "1", "1"]
    for assignment in ASSIGNMENTS:
        forecast = forecasts[assignment]
        two = run(binary, settings, n_epoch, [f'ranks={{ local = 2, assignment = "{assignment}" }}'])
        efficiency = 100 * forecast["efficiency"]
        waiting = f"{100 - efficiency:.1f}" if strategy["edge_fill"] == 1 else "0"
        yield [*head, f"`{assignment}`", f"{two['step_ms']:.2f}", f"{two['all_reduce']:.1f}",
               f"{two['waiting']:.1f}", waiting, f"{two['efficiency']:.1f}", f"{efficiency:.1f}",
               f"{two['efficiency'] - efficiency:+.1f}", f"{two['graphs_per_ns'] / one['graphs_per_ns']:.2f}",
               f"{forecast['speed_up']:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/batchlab"))
    parser.add_argument("--config", nargs="+", default=["configs/smoke.toml", "configs/aflow_sizes.toml"])
    parser.add_argument("--batchers", nargs="+", default=["exact", "dynamic"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[9, 33])
    options = parser.parse_args()
    found = [row for config in options.config for batcher in options.batchers for batch_size in options.batch_sizes
             for row in rows(options.binary, config, batcher, batch_size)]
    print(table(["data", "strategy", "B", "assignment", "step, ms", "all-reduce, %", "waiting, %", "forecast",
                 "efficiency, %", "forecast", "difference", "speed-up", "forecast"], found))


if __name__ == "__main__":
    main()
