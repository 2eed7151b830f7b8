"""Runs the query of every figure and compares its numbers with the figure's.

usage: figures.py FOLDER < report.json

The folder holds one setting. Prints how many numbers were compared.
"""

import json
import math
import os
import sys

import duckdb

# Which column holds the numbers of a panel, by the panel's title or for all panels of a figure.
COLUMNS = {
    "throughput": {"graphs per second": "graphs_per_s", "real edges per second": "edges_per_s"},
    "padding": {
        "padding among edges": "padding_edges_percent",
        "padding among nodes": "padding_nodes_percent",
    },
    "times": {
        f"{part}, {centre}": f"{part}_{centre}_ms"
        for part in ["batching", "update", "combined"]
        for centre in ["mean", "median"]
    },
    "waiting": "percent",
    "recompilations": "recompilations",
    "speed-up": "speed_up",
    "what-if": "with_compilation_us",
    "blocks": ("block", "us_per_graph"),
    "course": ("step", "step_ms"),
    "curves": ("step", "rmse"),
    "target": "seconds",
}
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}
CAUSES = {
    "planning": "planning_us",
    "collation": "collation_us",
    "waiting": "waiting_us",
    "new shapes": "new_shapes_us",
    "padded work": "padded_work_us",
    "real graphs per step": "graphs_per_step_us",
    "grouping": "grouping_us",
    "padding and graphs per step": "both_us",
}


def rows_of(query):
    result = duckdb.sql(query)
    return [dict(zip(result.columns, row)) for row in result.fetchall()]


def size_of(title):
    return int(title.split("B = ")[1].split(",")[0])


class Comparison:
    def __init__(self, figure, rows):
        self.figure, self.rows, self.n = figure, rows, 0

    def equal(self, value, column, **key):
        """The value is that of the only row with this key."""
        found = [row for row in self.rows if all(row[name] == k for name, k in key.items())]
        if len(found) != 1:
            sys.exit(f"{self.figure}: {len(found)} rows have {key}")
        other = found[0][column] or 0
        if not math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9):
            sys.exit(f"{self.figure}, {key}: {value} in the figure, {column} = {other} in the query")
        self.n += 1


def compare(figure, rows):
    comparison = Comparison(figure["id"], rows)
    columns = COLUMNS.get(figure["id"])
    for panel in figure["panels"]:
        plot = panel["plot"]
        if plot["kind"] in ("lines", "bars") and columns:
            column = columns if isinstance(columns, str) else columns[panel["title"]]
            for series in plot["series"]:
                for size, point in zip(plot["x"], series["points"]):
                    key = {"batcher": series["batcher"], "batch_size": int(size)}
                    unit = SECONDS.get(plot["unit"], 1)
                    comparison.equal(point["value"] * unit, column, **key)
        elif plot["kind"] == "curves":
            x, column = columns
            for curve in plot["curves"]:
                for at, point in curve["points"]:
                    key = {"batcher": curve["batcher"], "batch_size": size_of(panel["title"]), x: at}
                    for value, name in [("value", column), ("low", "least"), ("high", "most")]:
                        comparison.equal(point[value], name, **key)
        elif plot["kind"] == "forest":
            for row in plot["rows"]:
                key = {"batcher": row["batcher"], "batch_size": size_of(panel["title"])}
                comparison.equal(row["value"], "factor", **key)
        elif plot["kind"] == "heat" and panel["title"].startswith("t "):
            comparison.n += compare_errors(plot, rows)
        elif figure["id"] == "stages":
            for bar in plot["bars"]:
                key = {"batcher": bar["batcher"], "batch_size": size_of(panel["title"])}
                for part, value in zip(plot["parts"], bar["parts"]):
                    comparison.equal(value, part.replace(" ", "_") + "_us", **key)
        elif figure["id"] == "attribution":
            for bar in plot["bars"]:
                key = {"strategy": bar["batcher"], "batch_size": size_of(panel["title"])}
                key["reference"] = panel["title"].split("over ")[1]
                for part, value in zip(plot["parts"], bar["parts"]):
                    comparison.equal(value, CAUSES[part], **key)
    return comparison.n


def welch_t(a, b):
    means = [sum(sample) / len(sample) for sample in (a, b)]
    errors = [
        sum((x - mean) ** 2 for x in sample) / (len(sample) - 1) / len(sample)
        for sample, mean in zip((a, b), means)
    ]
    return (means[0] - means[1]) / math.sqrt(sum(errors))


def compare_errors(plot, rows):
    """The samples of the query give t of the figure. Returns how many."""
    n = 0
    for pair, cells in zip(plot["rows"], plot["cells"]):
        for size, cell in zip(plot["columns"], cells):
            if cell is None:
                continue
            samples = []
            for batcher in pair.split(" / "):
                found = [r["rmse"] for r in rows if (r["batcher"], r["batch_size"]) == (batcher, size_of(size))]
                if len(found) != 1:
                    sys.exit(f"errors: {len(found)} rows have {batcher}, {size}")
                samples += found
            t = welch_t(*samples)
            if not math.isclose(t, cell["value"], rel_tol=1e-9, abs_tol=1e-9):
                sys.exit(f"errors, {pair}, {size}: t is {cell['value']} in the figure, {t} by the query")
            n += 1
    return n


os.chdir(sys.argv[1])
report = json.load(sys.stdin)
for figure in report["figures"]:
    print(figure["id"], compare(figure, rows_of(figure["query"])))
