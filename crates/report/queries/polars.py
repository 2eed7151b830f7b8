import polars as pl

runs = pl.read_parquet(f"{TABLES}/runs/*.parquet").with_columns(
    setting=pl.struct(pl.all()).map_elements(setting, return_dtype=pl.String),
    options=pl.struct(pl.all()).map_elements(options, return_dtype=pl.String),
    is_whole=pl.col("is_whole").fill_null(pl.col("output").fill_null("graph") == "graph"),
    is_timed=(pl.col("status") == "completed")
    & (pl.col("n_attempt").fill_null(1) == 1)
    & pl.col("parent").is_null()
    & pl.col("is_exclusive").fill_null(True),
)
# A cell retrained with the same seeds is not another replicate: only its last runs count.
in_cell = pl.col("run_id").filter(pl.col("is_timed") & pl.col("cell").is_not_null())
is_last = pl.col("cell").is_null() | (pl.col("run_id") == in_cell.max().over(NAMES + SEEDS))
runs = runs.with_columns(is_timed=pl.col("is_timed") & is_last)
named = runs.select("run_id", *NAMES, "cell", "is_whole", "is_timed")

# Steps whose times count: without the warm-up, which is block 0 in a cell.
steps = pl.scan_parquet(f"{TABLES}/steps/*.parquet").filter(~pl.col("is_warmup"))
steps = steps.join(named.lazy().filter("is_timed"), on="run_id")
ln_ns = (pl.col("step_ns").sum() / pl.col("n_output").sum()).log()

# throughput: real outputs and edges per second, median over runs
seconds = pl.col("step_ns").sum() / 1e9
work = steps.group_by("run_id", *NAMES).agg(
    n_output_per_s=pl.col("n_output").sum() / seconds, n_edge_per_s=pl.col("n_edge").sum() / seconds
)
throughput = work.group_by(NAMES).agg(pl.len().alias("n_run"), pl.col("n_output_per_s", "n_edge_per_s").median())
throughput = throughput.sort(NAMES).collect()
print(throughput)

# padding: share of padding in the computation, mean over runs
percent = {what: 100 - 100 * pl.col(f"n_{what}").sum() / pl.col(f"n_{what}_padded").sum() for what in ["node", "edge"]}
padding = steps.group_by("run_id", *NAMES).agg(**percent).group_by(NAMES).agg(pl.col("node", "edge").mean())
padding = padding.sort(NAMES).collect()
print(padding)

# verdict: time per output relative to the fastest strategy, over the undisturbed mirrored pairs of blocks
# that all strategies share; if there are none, the strategies with the fewest pairs are left out. With five
# or more cells, cells have equal weight. Without blocks: by the means of runs.
together = ["setting", "batch_size"]
whole = steps.filter("is_whole")
disturbed = pl.scan_parquet(f"{TABLES}/events/*.parquet").filter(kind="disturbed").select(
    "run_id", pair=pl.col("payload").str.json_path_match("$.pair").cast(pl.Int64)
)
pairs = (
    whole.filter(pl.col("cell").is_not_null() & pl.col("block").is_not_null())
    .group_by("run_id", *NAMES, "cell", "block", pair=(pl.col("block") + 1) // 2).agg(ln_ns=ln_ns)
    .join(disturbed, on=["run_id", "pair"], how="anti")
    .group_by("run_id", *NAMES, "cell", "pair").agg(pl.len(), pl.col("ln_ns").mean()).filter(pl.col("len") == 2)
    .with_columns(n=pl.len().over(NAMES)).sort(["n", *NAMES], descending=[True, *[False] * len(NAMES)])
    .filter(pl.struct(NAMES).rle_id().over(together) == pl.int_range(pl.len()).over(*together, "cell", "pair"))
    .with_columns(n=pl.len().over(*together, "cell", "pair"))
    .filter(pl.col("n") > 1, pl.col("n") == pl.col("n").max().over(together))
)
cells = pairs.group_by(*NAMES, "cell").agg(pl.len().alias("n_pair"), pl.col("ln_ns").sum())
of_cells = (pl.col("ln_ns") / pl.col("n_pair")).mean()
of_pairs = pl.col("ln_ns").sum() / pl.col("n_pair").sum()
in_turns = cells.group_by(NAMES).agg(ln_ns=pl.when(pl.len() >= 5).then(of_cells).otherwise(of_pairs))
alone = whole.group_by("run_id", *NAMES).agg(ln_ns=ln_ns).group_by(NAMES).agg(pl.col("ln_ns").mean())
alone = alone.join(in_turns, on=together, how="anti", nulls_equal=True)
factor = (pl.col("ln_ns") - pl.col("ln_ns").min().over(together)).exp()
verdict = pl.concat([in_turns, alone]).filter(pl.len().over(together) > 1).select(*NAMES, factor=factor)
verdict = verdict.sort(*together, "factor").collect()
print(verdict)

# One evaluation per state and subset, with the evaluation batcher shared by all strategies.
completed = runs.lazy().filter(status="completed")
evals = (
    pl.scan_parquet(f"{TABLES}/evals/*.parquet")
    .join(completed, on="run_id", suffix="_of_run")
    .filter(pl.col("eval_batcher").is_null() | (pl.col("eval_batcher") == pl.col("evaluation_batcher")))
    .unique(["run_id", "step", "subset"], keep="first", maintain_order=True)
)

# curves: errors on each subset over the steps, median over runs
curves = evals.filter(pl.col("rmse").is_finite(), pl.col("rmse") > 0).group_by(*NAMES, "subset", "step").agg(
    pl.len().alias("n_run"), pl.col("rmse").median()
)
curves = curves.sort(*NAMES, "subset", "step").collect()
print(curves)

# errors: on the test set after the last step, mean over combinations of seeds
last = pl.col("n_step").fill_null(pl.col("n_step_planned"))
errors = evals.filter(pl.col("subset") == "test", pl.col("step") == last, pl.col("rmse").is_not_null())
errors = errors.group_by(*NAMES, *SEEDS).agg(pl.col("rmse").mean()).group_by(NAMES).agg("rmse")
errors = errors.sort(NAMES).collect()
print(errors)
