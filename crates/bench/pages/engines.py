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
STRATEGIES = ["static-64", "dynamic", "exact", "static-2^N", "static-constant"]
DATA = {"qm9": "molecules", "aflow-sizes": "crystals", "structures": "alloys"}
ENGINES = ["batchlab", "JAX", "PyG, eager", "PyG, compiled", "MACE, forces"]


def report(folder, binary, *options):
    command = [binary, "report", str(folder), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def engine(title):
    if "compiled)" in title or "compile = true" in title:
        return "PyG, compiled"
    names = [("jax", "JAX"), ("pyg", "PyG, eager"), ("mace", "MACE, forces")]
    return next((name for part, name in names if f"({part} " in title), "batchlab")


def data(title):
    return next(name for part, name in DATA.items() if f" on {part}" in title)


def comparisons(report, strategies, key):
    """Rows of a table: data, engine and batch size, and what `key` makes of each strategy of a comparison."""
    rows = []
    for comparison in report[strategies]:
        title = report["settings"][comparison["setting"]]["title"]
        parts = {part["batcher"]: key(part) for part in comparison["strategies"]}
        place = (list(DATA.values()).index(data(title)), ENGINES.index(engine(title)), comparison["batch_size"])
        head = f"{data(title)}, {engine(title)}, {comparison['batch_size']}"
        rows.append((place, [head, *(parts.get(strategy, "") for strategy in STRATEGIES)]))
    return table(["data, engine, B", *STRATEGIES], [row for _, row in sorted(rows)])


def factor(strategy):
    """The interval of a strategy's time over the fastest's; bold if it may be the fastest."""
    low, high = strategy["interval"]
    if strategy["place"] != "slower":
        return f"**1 to {digits(high, 3)}**" if high > 1 else "**the fastest**"
    # As many digits as it takes to differ from 1.
    n = next(n for n in range(3, 12) if float(digits(low, n)) > 1)
    return f"{digits(low, n)} to {digits(high, 3)}"


def cost(strategy):
    """Time per graph with known shapes, what a new shape costs, and the share of that in all time."""
    known = f"{strategy['known_ns']['value'] / 1e3:,.0f}"
    if strategy["share"] <= 0.01:
        return known
    return f"{known} + {digits(strategy['shape_s']['value'])} s, {100 * strategy['share']:.0f} %"


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
    found, installed = (report(RESULTS / name, options.binary) for name in ("engines", "engines-installed"))
    page.fill(PAGE, {
        "engines": comparisons(found, "verdicts", factor), "costs": comparisons(found, "total_times", cost),
        "costs-installed": comparisons(installed, "total_times", cost),
        "lengths": lengths(RESULTS / "engines-installed", options.binary)})


if __name__ == "__main__":
    main()
