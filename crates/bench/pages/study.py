"""Fills the tables in "Our own measurements" of docs/study.md from the tables of the runs.

    tar -xJf results/study.tar.xz -C results
    python3 -m venv .venv && .venv/bin/pip install duckdb scipy
    .venv/bin/python crates/bench/pages/study.py --binary target/release/batchlab

Verdicts come from `batchlab report --json`; errors are compared here, seed by seed.
"""

import argparse
import json
import math
import statistics
import subprocess

import duckdb
from scipy.stats import t as student

import page
from page import RESULTS, ROOT, table

PAGE = ROOT / "docs" / "study.md"
STRATEGIES = ["exact", "dynamic-exact", "static-64", "dynamic", "static-2^N", "static-constant"]


def verdicts(folder, binary):
    """One row per comparison; strategies that may be the fastest are bold."""
    done = subprocess.run([binary, "report", str(folder), "--json"], check=True, capture_output=True)
    report = json.loads(done.stdout)
    rows = []
    for verdict in report["verdicts"]:
        setting = report["settings"][verdict["setting"]]
        of = {strategy["batcher"]: strategy for strategy in verdict["strategies"]}
        rows.append([f"{setting['dataset']}, {setting['model']}, {verdict['batch_size']}",
                     f"{verdict['unit']['n_cell']}, {verdict['unit']['n_pair']}",
                     *(factor(of[name]) for name in STRATEGIES)])
    return table(["data, model, B", "cells, pairs", *(f"`{name}`" for name in STRATEGIES)], sorted(rows))


def factor(strategy):
    low, high = strategy["interval"]
    text = f"{strategy['factor']:.3f}"
    if strategy["place"] != "slower":
        text = f"**{text}**"
    return f"{text} [{low:.3f}, {high:.3f}]"


def work(folder):
    """The share of real edges and the mean number of padded shapes of a run, for each strategy."""
    rows = duckdb.sql(f"""
        with work as (
            select runs.dataset, batch_size, batcher, run_id, sum(n_edge) as real, sum(n_edge_padded) as padded,
                count(distinct (n_node_padded, n_edge_padded, n_graph_padded)) as shapes
            from '{folder}/tables/steps/*.parquet' join '{folder}/tables/runs/*.parquet' as runs using (run_id)
            where step <= n_step_planned and model = 'schnet'
            group by all
        )
        select dataset, batch_size, batcher, sum(real) / sum(padded), avg(shapes) from work group by all
    """).fetchall()
    of = {(data, size, name): f"{100 * share:.1f} %, {shapes:.1f}" for data, size, name, share, shapes in rows}
    return table(["data, B", *(f"`{name}`" for name in STRATEGIES)],
                 [[f"{data}, {size}", *(of[data, size, name] for name in STRATEGIES)]
                  for data, size in sorted({key[:2] for key in of})])


def times_to_error(folder, binary, rmse):
    """Times and steps until the validation error is at most `rmse`, and ratios of times to those of `exact` with the same
    seeds; strategies that may be the soonest are bold."""
    command = [binary, "report", str(folder), "--error", str(rmse), "--json"]
    done = subprocess.run(command, check=True, capture_output=True)
    [found] = json.loads(done.stdout)["reaches"]
    seconds, steps = {}, {}
    for batcher, repeat, time, step in duckdb.sql(f"""
        select batcher, repeat, (prepare_ns + min(evals.train_ns)) / 1e9, min(step)
        from '{folder}/tables/evals/*.parquet' as evals join '{folder}/tables/runs/*.parquet' as runs using (run_id)
        where subset = 'validation' and rmse <= {rmse} and status = 'completed'
        group by batcher, repeat, prepare_ns
    """).fetchall():
        seconds.setdefault(batcher, {})[repeat] = time
        steps.setdefault(batcher, {})[repeat] = step
    rows = []
    for strategy in sorted(found["strategies"], key=lambda strategy: strategy["median"]):
        name, (low, high, _) = strategy["batcher"], strategy["interval"]
        median = f"{strategy['median']:.1f}"
        if strategy["may_be_soonest"]:
            median = f"**{median}**"
        ratios = [math.log(time / seconds["exact"][repeat]) for repeat, time in seconds[name].items()]
        n_same = sum(step == steps["exact"][repeat] for repeat, step in steps[name].items())
        rows.append([f"`{name}`", f"{strategy['n_reached']} of {strategy['n_run']}",
                     f"{min(steps[name].values())} to {max(steps[name].values())}",
                     f"{n_same} of {len(steps[name])}", f"{median} [{low:.1f}, {high:.1f}]",
                     "1" if name == "exact" else mean_ratio(ratios, n_ratio=len(found["strategies"]) - 1)[0]])
    return table(["strategy", "runs that get there", "steps", "as many as `exact`", f"seconds to {rmse:g} {found['unit']}",
                  "times those of `exact`"], rows)


def mean_ratio(logs, n_ratio):
    """The geometric mean with its interval, one of `n_ratio` that hold jointly, as text and numbers."""
    mean, sd, n = statistics.mean(logs), statistics.stdev(logs), len(logs)
    reach = student.ppf(1 - LEVEL / n_ratio / 2, n - 1) * sd / math.sqrt(n)
    low, high = math.exp(mean - reach), math.exp(mean + reach)
    return f"{math.exp(mean):.3f} [{low:.3f}, {high:.3f}]", low, high, sd


# Fixed in configs/study/learning.toml before the study ran.
MARGIN, LEVEL, N_RATIO = 0.05, 0.05, 6
# Name of a ratio, and the two ways of training whose errors it divides.
RATIOS = [
    ("groups of equal budget over groups of equal count", "dynamic-exact", "exact"),
    ("every B-th graph dropped over none", "dropped", "exact"),
    ("graphs of equal weight over batches of equal weight", "per-graph", "dynamic-exact"),
]


def learned(folder):
    """Ratios of test errors after the last step, paired by seed, with Student's intervals."""
    errors = {(size, way, repeat): rmse for size, way, repeat, rmse in duckdb.sql(f"""
        select runs.batch_size,
            case when weighting = 'per-graph' then 'per-graph'
                when config->>'$.batcher.compat_drop_overflow' = 'true' then 'dropped' else runs.batcher end as way,
            runs.repeat, rmse
        from '{folder}/tables/evals/*.parquet' join '{folder}/tables/runs/*.parquet' as runs using (run_id)
        where subset = 'test' and step = n_step_planned and status = 'completed'
    """).fetchall()}
    rows = []
    for size in sorted({key[0] for key in errors}):
        for name, first, second in RATIOS:
            logs = [math.log(rmse / errors[size, second, repeat])
                    for (of, way, repeat), rmse in errors.items() if (of, way) == (size, first)]
            if len(logs) < 2:
                continue
            text, low, high, sd = mean_ratio(logs, N_RATIO)
            equal = 1 - MARGIN < low and high < 1 + MARGIN
            rows.append([f"{name}, B = {size}", str(len(logs)), text, f"{100 * sd:.1f} %", "equal within 5 %" if equal else
                         "not told apart" if low <= 1 <= high else "different"])
    return table(["ratio of errors", "seeds", "mean and interval", "deviation of one seed", ""], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/batchlab"))
    options = parser.parse_args()
    tables = {"quick": verdicts(RESULTS / "quick", options.binary), "work": work(RESULTS / "quick")}
    tables["error"] = times_to_error(RESULTS / "error", options.binary, rmse=2)
    if (RESULTS / "learning" / "tables").exists():
        tables["learned"] = learned(RESULTS / "learning")
    page.fill(PAGE, tables)


if __name__ == "__main__":
    main()
