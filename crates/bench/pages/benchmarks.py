"""Fills the tables of batching, training steps and neighbour lists in docs/benchmarks.md from what the comparisons have
written with --json.

    python3 crates/bench/pages/benchmarks.py
"""

import json
import sys

import page
from page import RESULTS, ROOT, digits, table

sys.path.append(str(ROOT / "crates" / "bench" / "peers"))
import training_tables

PAGE = ROOT / "docs" / "benchmarks.md"
DATA = RESULTS / "benchmarks"
RULES = {"radius": "within {} angstrom", "nearest": "{} nearest"}


def read(name):
    return json.loads((DATA / name).read_text())


def batching(result, strategy):
    """Microseconds per batch; rows of others with their ratio to ours."""
    tables = [found for found in result["tables"] if found["strategy"] == strategy]
    cold = ", cold caches" if result["is_cold"] else ""
    rows = []
    for name in tables[0]["rows"]:
        figures = [found["rows"][name] for found in tables]
        rows.append([name, *map(time_of if name.startswith("batchlab") else ratio_of, figures)])
    return table([f"{strategy}{cold}", *(f"B = {found['batch_size']}" for found in tables)], rows)


def time_of(figures):
    return digits(figures["median"], 3)


def ratio_of(figures):
    low, high = figures["ratio_interval"]
    n = 2 if low < 10 else 0
    return f"{digits(figures['median'], 3)}, {figures['ratio']:.{n}f} x ({low:.{n}f}-{high:.{n}f})"


def alone():
    """batchlab without peers, B = 32, dynamic: microseconds, and the time for a consumer that copies each batch."""
    data = {"alone.json": "2,000 molecules", "alone-repeated.json": "128,000 molecules (`--repeat 64`)",
            "alone-radius.json": "stored edges (`--radius 5`)"}
    rows = []
    for file, name in data.items():
        for row in read(file):
            parts = ("plan", "prepare", "copy", "one_thread", "ahead")
            rows.append([f"{name}, {row['fields']}", f"{row['n_byte'] / 1e3:.0f}",
                         *(microseconds(row[part]) for part in parts)])
    return table(["", "kB", "plan", "plan + collate", "copy", "prepared and copied, same thread", "other thread"], rows)


def microseconds(figures):
    low, high = (digits(figures[key], 3) for key in ("low_us", "high_us"))
    return f"{digits(figures['median_us'], 3)} ({low}-{high})"


def above_floor():
    """The time of a step, the floor, and their ratio."""
    rows = []
    for step in read("training-floor.json")["steps"]:
        features = step["options"].get("latent_size")
        ours, floor = (f"{step['rows'][name]['median']:.1f}" for name in ("batchlab", "floor"))
        rows.append([step["model"] + (f", {features} features" if features else ""), str(step["batch_size"]), ours, floor,
                     training_tables.over_floor(step["rows"]["floor"])])
    return table(["", "B", "batchlab, ms", "floor, ms", "ratio"], rows)


def neighbours():
    rows = []
    for row in read("neighbors.json")["rows"]:
        [(rule, number)] = row["rule"].items()
        rows.append([f"{row['structures']}, {RULES[rule].format(f'{number:g}')}", f"{digits(row['ours_us'], 3)} us",
                     f"{1e6 / row['ours_us']:,.0f}", *(ratio_range(row, peer) for peer in ("ase", "matscipy"))])
    return table(["", "batchlab, per structure", "structures per second", "ASE", "matscipy"], rows)


def ratio_range(row, peer):
    low, high = row[f"{peer}_range"]
    return f"{digits(row[f'{peer}_ratio'], 3)} x ({digits(low, 3)}-{digits(high, 3)})"


def main():
    warm, cold = read("batching.json"), read("batching-cold.json")
    page.fill(PAGE, {
        "batching dynamic": batching(warm, "dynamic"),
        "batching static": batching(warm, "static-64"),
        "batching cold": batching(cold, "dynamic") + "\n\n" + batching(cold, "static-64"),
        "batching alone": alone(),
        "training steps": "\n\n".join(training_tables.steps([read("training.json")])),
        "training floor": above_floor(),
        "training padding": "\n".join(training_tables.padding(read("training-memory.json"))),
        "training memory": "\n".join(training_tables.memory(read("training-memory.json"))),
        "neighbours": neighbours(),
    })


if __name__ == "__main__":
    main()
