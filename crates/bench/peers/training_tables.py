"""Prints the results of compare_training.py --json as Markdown tables.

    training_tables.py steps.json [more.json ...]
"""

import itertools
import json
import pathlib
import sys

MODELS = ["schnet", "mpeu", "painn"]
AS_INSTALLED = ", as installed"


def interval(low, high):
    return f"{low:.2f}-{high:.2f}" if high < 9.95 else f"{low:.1f}-{high:.1f}"


def over_floor(figures):
    """How many times as long as the floor a step takes."""
    low, high = (1 / ratio for ratio in reversed(figures["ratio_interval"]))
    return f"{1 / figures['ratio']:.2f} x ({interval(low, high)})"


def cell(table, row):
    if row not in table["rows"]:
        return ""
    figures = table["rows"][row]
    if row == "batchlab":
        low, high = figures["interval"]
        return f"**{figures['median']:.1f}** ({low:.1f}-{high:.1f})"
    if row == "floor":
        return f"{figures['median']:.1f}, batchlab takes {over_floor(figures)}"
    return (f"{figures['median']:.1f}, {figures['ratio']:.1f} x "
            f"({interval(*figures['ratio_interval'])})")


def steps_table(tables):
    """One table for all batch sizes of one model, data set and number of threads."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(t["rows"] for t in tables)))
    yield "| | " + " | ".join(f"B = {t['batch_size']}" for t in tables) + " |"
    yield "|---|" + "---|" * len(tables)
    yield "| padded edges (real) | " + " | ".join(
        f"{t['sizes']['padded']['n_edge']:,} ({t['sizes']['real']['n_edge']:,})"
        for t in tables) + " |"
    for name in names:
        yield f"| {name} | " + " | ".join(cell(t, name) for t in tables) + " |"


def steps(results):
    every = itertools.chain.from_iterable(result["steps"] for result in results)
    size = lambda table: table["options"].get("latent_size")
    of = lambda table: (-table["threads"], table["structures"] != "qm9", MODELS.index(table["model"]), size(table) or 0)
    for (threads, *_), tables in itertools.groupby(sorted(every, key=lambda t: (of(t), t["batch_size"])), of):
        tables = list(tables)
        loads = [load for table in tables for load in table["load"]]
        features = f", {size(tables[0])} features" if size(tables[0]) else ""
        yield (f"**{tables[0]['model']}**{features}, {tables[0]['structures']}, {-threads} thread{'s' if threads < -1 else ''}; "
               f"load {min(loads):.1f} to {max(loads):.1f}:\n\n" + "\n".join(steps_table(tables)))


def padding(result):
    yield "| | time against edges with padding | largest deviation | half padding / none |"
    yield "|---|---|---|---|"
    for line, half in zip(result["linearity"], result["half_padding"]):
        yield (f"| {line['model']} | {line['intercept_ms']:.1f} ms + {line['ns_per_edge'] / 1e3:.2f} us per edge | "
               f"{100 * max(map(abs, line['deviation'])):.1f} % | {half['ratio']:.2f} ({interval(*half['ratio_interval'])}) |")


def memory(result):
    """MB at the peak; as installed in parentheses."""
    cases = result["memory"]
    systems = list(dict.fromkeys(name.removesuffix(AS_INSTALLED) for case in cases for name in case["bytes_before_and_peak"]))
    yield "| | " + " | ".join(f"{case['model']}, B = {case['batch_size']}" for case in cases) + " |"
    yield "|---|" + "---|" * len(cases)
    for name in systems:
        peaks = [[f"{case['bytes_before_and_peak'][row][1] / 1e6:,.0f}" for row in (name, name + AS_INSTALLED)
                  if row in case["bytes_before_and_peak"]] for case in cases]
        yield f"| {name} | " + " | ".join(" ".join([*peak[:1], *(f"({other})" for other in peak[1:])]) for peak in peaks) + " |"


def steady(result):
    for row in result["steady"]:
        first, *_, last = row["now_bytes"]
        yield f"{row['model']}: {first / 1e6:.1f} MB after {row['n_step']} steps, {last / 1e6:.1f} MB after {row['n_step'] * len(row['now_bytes'])}"


def main():
    results = [json.loads(pathlib.Path(path).read_text()) for path in sys.argv[1:]]
    print("\n\n".join(steps(results)))
    for result in (result for result in results if result["memory"]):
        for part in (padding, memory, steady):
            print("\n" + "\n".join(part(result)))


if __name__ == "__main__":
    main()
