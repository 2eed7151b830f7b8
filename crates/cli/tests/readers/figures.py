"""Runs the query of every figure, or its equivalent for another tool, and compares the numbers with the figure's.

usage: figures.py FOLDER [TOOL CODE] < report.json

A folder may hold several settings: the numbers of each strategy and batch size are compared as a sorted list
over all settings, so that a query that pools two settings gives too few of them. Prints how many numbers
were compared.
"""

import json
import math
import os
import sys
from collections import defaultdict

# The columns with the points of curves.
COLUMNS = {
    "course": ("step", "step_ms"),
    "curves": ("step", "rmse"),
}
# Columns with other names in the equivalents.
TWINS = {
    "outputs_per_s": "n_output_per_s",
    "edges_per_s": "n_edge_per_s",
    "edge_padding_percent": "edge",
    "node_padding_percent": "node",
    "strategy": "batcher",
}
# The frames in which the equivalents have the numbers of strategies.
PARTS = {
    "throughput": ["outputs_per_s", "edges_per_s"],
    "padding": ["edge_padding_percent", "node_padding_percent"],
}
# The column with the total of a bar.
SUMS = {"shapes": "shapes"}
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


def size_of(title):
    return int(title.split("B = ")[1].split(",")[0])


def welch_t(a, b):
    means = [sum(sample) / len(sample) for sample in (a, b)]
    errors = [
        sum((x - mean) ** 2 for x in sample) / (len(sample) - 1) / len(sample)
        for sample, mean in zip((a, b), means)
    ]
    return (means[0] - means[1]) / math.sqrt(sum(errors))


def expected(figure):
    """The numbers of a figure: lists by column and key."""
    numbers = defaultdict(list)

    def add(value, column, **key):
        numbers[column, tuple(key.items())].append(value)

    if figure["id"] == "total-time":
        for total in figure["total_times"]:
            for one in total["strategies"]:
                add(one["shape_s"]["value"], "shape_s", strategy=one["batcher"], batch_size=total["batch_size"])
        return numbers
    columns = COLUMNS.get(figure["id"])
    for panel in figure.get("panels", []):
        plot, title = panel["plot"], panel["title"]
        if plot["kind"] == "curves":
            x, column = columns
            for curve in plot["curves"]:
                for at, point in curve["points"]:
                    key = {"strategy": curve["batcher"], "batch_size": size_of(title), x: at}
                    if figure["id"] == "curves":
                        key["subset"] = title.split()[0]
                    for value, name in [("value", column), ("low", "min"), ("high", "max")]:
                        add(point[value], name, **key)
        elif plot["kind"] == "forest":
            for row in plot["rows"]:
                column = "seconds" if figure["id"] == "target" else "factor"
                add(row["value"], column, strategy=row["batcher"], batch_size=size_of(title))
        elif plot["kind"] == "heat" and title.startswith("t "):
            for pair, cells in zip(plot["rows"], plot["cells"]):
                for size, cell in zip(plot["columns"], cells):
                    if cell is not None:
                        add(cell["value"], "t", pair=pair, batch_size=size_of(size))
        elif figure["id"] in SUMS:
            for bar in plot["bars"]:
                add(sum(bar["parts"]), SUMS[figure["id"]], strategy=bar["batcher"], batch_size=size_of(title))
        elif figure["id"] in ("stages", "attribution"):
            for bar in plot["bars"]:
                key = {"strategy": bar["batcher"], "batch_size": size_of(title)}
                if figure["id"] == "attribution":
                    key["reference"] = title.split("over ")[1]
                for part, value in zip(plot["parts"], bar["parts"]):
                    add(value, CAUSES[part] if "reference" in key else part.replace(" ", "_") + "_us", **key)
    for row in figure.get("rows", []):
        for column, value in row["values"].items():
            add(value, column, strategy=row["batcher"], batch_size=row["batch_size"])
    return numbers


def only(row, columns):
    return {**row, "values": {column: row["values"][column] for column in columns}}


def t_of_pairs(rows, name):
    """The samples of the query give the figure's t."""
    pairs = []
    for a in rows:
        for b in rows:
            if (a["setting"], a["batch_size"]) == (b["setting"], b["batch_size"]) and a is not b:
                pair = f"{a[name]} / {b[name]}"
                pairs.append({"pair": pair, "batch_size": a["batch_size"], "t": welch_t(a["rmse"], b["rmse"])})
    return pairs


def compare(figure, rows, names):
    rows = t_of_pairs(rows, names.get("strategy", "strategy")) if figure["id"] == "errors" else rows
    n = 0
    for (column, key), values in expected(figure).items():
        column = names.get(column, column)
        if names and column in ("min", "max"):
            continue
        found = [row for row in rows if all(row[names.get(name, name)] == value for name, value in key)]
        found = sorted(float(row[column] or 0) for row in found)
        is_close = [math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(sorted(values), found)]
        if len(found) != len(values) or not all(is_close):
            sys.exit(f"{figure['id']}, {column} of {dict(key)}: {sorted(values)} in the figure, {found} in the query")
        n += len(values)
    return n


def rows_of_frame(frame):
    if hasattr(frame, "to_dicts"):
        return frame.to_dicts()
    if hasattr(frame, "collect"):
        return [row.asDict() for row in frame.collect()]
    return frame.to_dict("records")


def main(folder, tool=None, code=None):
    report = json.load(sys.stdin)
    figures = [*report["figures"], {"id": "numbers", **report["numbers"]}]
    next(f for f in figures if f["id"] == "total-time")["total_times"] = report["total_times"]
    os.chdir(folder)
    if tool:
        frames = {}
        exec(open(code).read(), frames)
        for figure in figures:
            if figure["id"] == "numbers":
                for name, columns in PARTS.items():
                    part = {"id": name, "rows": [only(row, columns) for row in figure["rows"]]}
                    print(name, compare(part, rows_of_frame(frames[name]), TWINS))
            elif figure["id"] in ("verdict", "curves", "errors"):
                print(figure["id"], compare(figure, rows_of_frame(frames[figure["id"]]), TWINS))
        return
    import duckdb

    duckdb.execute(report["views"])
    for figure in figures:
        try:
            result = duckdb.sql(figure["query"])
            rows = [dict(zip(result.columns, row)) for row in result.fetchall()]
        except duckdb.Error as error:
            sys.exit(f"{figure['id']}: {error}")
        print(figure["id"], compare(figure, rows, {}))


main(*sys.argv[1:])
