import numpy as np
import pandas as pd

pd.set_option("display.max_columns", None)


def table(name):
    return pd.read_parquet(f"{TABLES}/{name}", dtype_backend="pyarrow")


def by(frame, *columns):
    return frame.groupby([*NAMES, *columns], dropna=False)


runs = table("runs")
runs["setting"], runs["options"] = runs.apply(setting, axis=1), runs.apply(options, axis=1)
runs["is_whole"] = runs["is_whole"].fillna(runs["output"].fillna("graph") == "graph")
runs["is_timed"] = (
    (runs["status"] == "completed")
    & (runs["n_attempt"].fillna(1) == 1)
    & runs["parent"].isna()
    & runs["is_exclusive"].fillna(True)
)
# A cell retrained with the same seeds is not another replicate: only its last runs count.
in_cell = runs[runs["is_timed"] & runs["cell"].notna()]
is_last = by(in_cell, *SEEDS)["run_id"].transform("max") == in_cell["run_id"]
runs["is_timed"] &= runs["cell"].isna() | is_last.reindex(runs.index, fill_value=False)

# Steps whose times count: without the warm-up, which is block 0 in a cell.
steps = table("steps")
steps = steps[~steps["is_warmup"]]
steps = steps.merge(runs.loc[runs["is_timed"], ["run_id", *NAMES, "cell", "is_whole"]], on="run_id")
sums = by(steps, "run_id").sum(numeric_only=True).astype(float)

# throughput: real outputs and edges per second, median over runs
per_second = sums[["n_output", "n_edge"]].div(sums["step_ns"] / 1e9, axis=0).add_suffix("_per_s")
throughput = by(per_second).median().reset_index()
print(throughput)

# padding: share of padding in the computation, mean over runs
percent = {what: 100 - 100 * sums[f"n_{what}"] / sums[f"n_{what}_padded"] for what in ["node", "edge"]}
padding = by(pd.DataFrame(percent)).mean().reset_index()
print(padding)

# verdict: time per output relative to the fastest strategy, over the undisturbed mirrored pairs of blocks
# that all strategies share; if there are none, the strategies with the fewest pairs are left out. With five
# or more cells, cells have equal weight. Without blocks: by the means of runs.
TOGETHER = ["setting", "batch_size"]


def ln_ns(frame, *columns):
    sums = by(frame, "run_id", *columns)[["step_ns", "n_output"]].sum().astype(float)
    return np.log(sums["step_ns"] / sums["n_output"]).rename("ln_ns").reset_index()


def over(frame, *columns):
    return frame.groupby([*TOGETHER, *columns], dropna=False)["ln_ns"]


whole = steps[steps["is_whole"]]
blocks = ln_ns(whole[whole["cell"].notna() & whole["block"].notna()], "cell", "block")
blocks["pair"] = (blocks["block"] + 1) // 2
events = table("events")
events = events.loc[events["kind"] == "disturbed", ["run_id", "payload"]]
disturbed = {(run_id, json.loads(payload)["pair"]) for run_id, payload in events.itertuples(index=False)}
blocks = blocks[[pair not in disturbed for pair in zip(blocks["run_id"], blocks["pair"])]]
pairs = by(blocks, "run_id", "cell", "pair")["ln_ns"].agg(["mean", "count"]).query("count == 2")
pairs = pairs["mean"].rename("ln_ns").reset_index()
pairs["n"] = by(pairs)["ln_ns"].transform("count")
pairs = pairs.sort_values(["n", *NAMES], ascending=[False, *[True] * len(NAMES)])
place = pairs[NAMES].drop_duplicates().assign(place=lambda first: first.groupby(TOGETHER, dropna=False).cumcount())
pairs = pairs.merge(place, on=NAMES)
pairs = pairs[pairs["place"] == over(pairs, "cell", "pair").cumcount()]
pairs["n"] = over(pairs, "cell", "pair").transform("count")
pairs = pairs[(pairs["n"] > 1) & (pairs["n"] == pairs.groupby(TOGETHER, dropna=False)["n"].transform("max"))]
cells = by(pairs, "cell")["ln_ns"].agg(["sum", "count", "mean"]).reset_index()
in_turns = by(cells)[["sum", "count"]].sum().join(by(cells)["mean"].agg(["mean", "size"]))
in_turns["ln_ns"] = in_turns["mean"].where(in_turns["size"] >= 5, in_turns["sum"] / in_turns["count"])
in_turns = in_turns["ln_ns"].reset_index()
alone = by(ln_ns(whole))["ln_ns"].mean().reset_index()
alone = alone.merge(in_turns[TOGETHER].drop_duplicates(), how="left", indicator="is_in_turns")
alone = alone[alone.pop("is_in_turns") == "left_only"]
verdict = pd.concat([in_turns, alone])
verdict["factor"] = np.exp(verdict["ln_ns"] - over(verdict).transform("min"))
verdict = verdict[over(verdict).transform("count") > 1].drop(columns="ln_ns")
print(verdict.sort_values([*TOGETHER, "factor"]))

# One evaluation per state and subset, with the evaluation batcher shared by all strategies.
evals = table("evals").merge(runs[runs["status"] == "completed"], on="run_id")
evals = evals[evals["eval_batcher"].isna() | (evals["eval_batcher"] == evals["evaluation_batcher"])]
evals = evals.drop_duplicates(["run_id", "step", "subset"])

# curves: errors on each subset over the steps, median over runs
finite = evals[np.isfinite(evals["rmse"].astype(float)) & (evals["rmse"] > 0)]
curves = by(finite, "subset", "step")["rmse"].median().reset_index()
print(curves)

# errors: on the test set after the last step, mean over combinations of seeds
last = evals["n_step"].fillna(evals["n_step_planned"])
errors = evals[(evals["subset"] == "test") & (evals["step"] == last) & evals["rmse"].notna()]
errors = by(errors, *SEEDS)["rmse"].mean().groupby(NAMES, dropna=False).agg(list).reset_index()
print(errors)
