"""Prints the results of compare_training.py --json as Markdown tables.

    training_tables.py steps.json [more.json ...]
"""

import itertools
import json
import pathlib
import sys

MODELS = ["schnet", "mpeu", "painn"]


def interval(low, high):
    return f"{low:.2f}-{high:.2f}" if high < 9.95 else f"{low:.1f}-{high:.1f}"


def cell(table, row):
    if row not in table["rows"]:
        return ""
    figures = table["rows"][row]
    if row == "batchlab":
        low, high = figures["interval"]
        return f"**{figures['median']:.1f}** ({low:.1f}-{high:.1f})"
    return (f"{figures['median']:.1f}, {figures['ratio']:.1f} x "
            f"({interval(*figures['ratio_interval'])})")


def floor_cell(table, name):
    floor = table["floors"][name]
    return f"{floor['ms']:.1f}, {table['rows']['batchlab']['median'] / floor['ms']:.2f} x"


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
    for name in ("all products", "with savings"):
        yield f"| floor, {name} | " + " | ".join(floor_cell(t, name) for t in tables) + " |"


def main():
    results = [json.loads(pathlib.Path(path).read_text()) for path in sys.argv[1:]]
    every = lambda key: itertools.chain.from_iterable(result[key] for result in results)
    size = lambda table: table.get("options", {}).get("latent_size")
    of = lambda table: (-table["threads"], table["structures"] != "qm9", MODELS.index(table["model"]),
                        size(table) or 0)
    steps = sorted(every("steps"), key=lambda table: (of(table), table["batch_size"]))
    for (threads, *_), tables in itertools.groupby(steps, of):
        tables = list(tables)
        loads = [load for table in tables for load in table["load"]]
        features = f", {size(tables[0])} features" if size(tables[0]) else ""
        print(f"\n**{tables[0]['model']}**{features}, {tables[0]['structures']}, {-threads} thread"
              f"{'s' if threads < -1 else ''}; load {min(loads):.1f} to {max(loads):.1f}:\n")
        print("\n".join(steps_table(tables)))
    print("\n| padding | line | largest deviation | half padding / none | least / least |")
    print("|---|---|---|---|---|")
    for line, half in zip(every("linearity"), every("half_padding")):
        print(f"| {line['model']}, {line['threads']} threads | {line['intercept_ms']:.1f} ms + "
              f"{line['ns_per_edge'] / 1e3:.2f} us per edge | "
              f"{100 * max(map(abs, line['deviation'])):.1f} % | {half['ratio']:.2f} "
              f"({interval(*half['ratio_interval'])}) | {half['least_ratio']:.2f} |")
    print("\n| memory | batch | MB at the peak, by system |\n|---|---|---|")
    for row in every("memory"):
        peaks = ", ".join(f"{name} {peak / 1e6:.0f}"
                          for name, (_, peak) in row["bytes_before_and_peak"].items())
        print(f"| {row['model']} | B = {row['batch_size']} | {peaks} |")
    for row in every("steady"):
        first, *_, last = row["now_bytes"]
        print(f"\n{row['model']}: {first / 1e6:.1f} MB after {row['n_step']} steps, {last / 1e6:.1f}"
              f" MB after {row['n_step'] * len(row['now_bytes'])}")


if __name__ == "__main__":
    main()
