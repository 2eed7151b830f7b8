"""Writes the tables of docs/engines.md from the results of configs/study/engines.toml and of single runs.

    tar -xJf results/engines.tar.xz -C results
    .venv/bin/python crates/bench/pages/engines.py        # needs DuckDB for Python
"""

import argparse
import json
import subprocess

import duckdb

import page
from page import RESULTS, ROOT, digits, table

PAGE = ROOT / "docs" / "engines.md"
ORDER = ["static-64", "dynamic", "static-2^N", "static-constant"]


def report(folder, binary, *options):
    command = [binary, "report", str(folder), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def engine(title):
    if "compile = true" in title:
        return "PyG, compiled"
    return next((name for part, name in [("jax", "JAX"), ("pyg", "PyG, eager")] if part in title), "batchlab")


def said(strategy, only):
    low, high = strategy["interval"]
    if strategy["place"] == "slower":
        # As many digits as it takes to differ from 1.
        n = next(n for n in range(3, 12) if float(digits(low, n)) > 1)
        return f"{digits(low, n)} to {digits(high, 3)}"
    return "the fastest" if only else f"may be fastest, up to {digits(high, 3)}"


def engines(report):
    """Every strategy of every engine and batch size: verdict, and the two numbers behind it."""
    totals = {(total["setting"], total["batch_size"]): total for total in report["total_times"]}
    rows = []
    for verdict in report["verdicts"]:
        setting, batch_size = verdict["setting"], verdict["batch_size"]
        parts = {part["batcher"]: part for part in totals.get((setting, batch_size), {"strategies": []})["strategies"]}
        best = [strategy["place"] for strategy in verdict["strategies"]].count("may_be_fastest")
        for strategy in sorted(verdict["strategies"], key=lambda strategy: ORDER.index(strategy["batcher"])):
            part = parts.get(strategy["batcher"])
            known = f"{part['known_ns']['value'] / 1e3:,.0f}" if part else "–"
            cost = digits(part["shape_s"]["value"]) + " s" if part and part["share"] > 0.01 else "–"
            share = f"{100 * part['share']:.0f} %" if part else "–"
            rows.append([engine(report["settings"][setting]["title"]), str(batch_size), strategy["batcher"], known, cost,
                         share, said(strategy, best == 1)])
    names = ["batchlab", "JAX", "PyG, eager", "PyG, compiled"]
    rows.sort(key=lambda row: (names.index(row[0]), int(row[1])))
    return table(["engine, B", "strategy", "known, us per graph", "a new shape costs", "share of all time",
                  "verdict over all blocks"], [[f"{row[0]}, {row[1]}", *row[2:]] for row in rows])


def lengths(folder, binary):
    """Predicted total times beside those of real runs, for JAX at B = 16."""
    runs = duckdb.sql(f"""
        select batcher, n_step_planned as n_step, list(train_ns / 1e9 order by started_at) as seconds
        from '{RESULTS}/engines-runs/tables/runs/*.parquet' where status = 'completed' and engine like 'jax%' group by all
    """).fetchall()
    rows = []
    for n_step in sorted({run[1] for run in runs}):
        found = report(folder, binary, "--steps", str(n_step))
        total = next(total for total in found["total_times"] if total["batch_size"] == 16
                     and engine(found["settings"][total["setting"]]["title"]) == "JAX")
        for place, strategy in enumerate(total["strategies"]):
            measured = [run[2] for run in runs if run[:2] == (strategy["batcher"], n_step)]
            if measured:
                said = total["asked"]["total_s"][place]
                interval = f"{said['value']:.0f} [{said['low']:.0f}, {said['high']:.0f}]"
                rows.append([f"{n_step:,}", strategy["batcher"], interval,
                             ", ".join(f"{seconds:.0f}" for seconds in measured[0])])
    return table(["steps", "strategy", "predicted, s", "measured, s"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/batchlab"))
    options = parser.parse_args()
    folder = RESULTS / "engines"
    page.fill(PAGE, {"engines": engines(report(folder, options.binary)), "lengths": lengths(folder, options.binary)})


if __name__ == "__main__":
    main()
