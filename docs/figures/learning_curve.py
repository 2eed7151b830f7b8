"""Draws the learning curves of a study: RMSE of every evaluated subset against steps.

    pip install duckdb matplotlib
    batchlab run configs/schnet_qm9_20k.toml
    python docs/figures/learning_curve.py results/schnet_qm9_20k docs/figures/learning_curve.svg
"""

import sys

import duckdb
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "batchlab"
import matplotlib.pyplot as plt

QUERY = """
    select subset, step, avg(rmse) as rmse, any_value(target_unit) as unit,
           any_value(rmse_of_mean) as of_mean
    from '{0}/tables/evals/*.parquet' join '{0}/tables/runs/*.parquet' using (run_id)
    group by all
    order by step
"""


def main(study, picture):
    rows = duckdb.sql(QUERY.format(study)).fetchall()
    figure, axes = plt.subplots(figsize=(7, 4))
    for subset in ["train", "validation", "test"]:
        points = [(step, rmse) for name, step, rmse, _, _ in rows if name == subset]
        if points:
            axes.plot(*zip(*points), label=subset, linewidth=1.3)
    unit, of_mean = next((unit, mean) for name, _, _, unit, mean in rows if name == "test")
    axes.axhline(of_mean, color="grey", linewidth=0.8, linestyle=":")
    axes.annotate("predicting the mean (test)", (axes.get_xlim()[1], of_mean), ha="right", va="bottom",
                  color="grey", fontsize=8)
    axes.set(xlabel="training step", ylabel=f"RMSE [{unit}]", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})


main(*sys.argv[1:])
