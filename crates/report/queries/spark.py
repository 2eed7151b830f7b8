from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

spark = SparkSession.builder.getOrCreate()


def over(*columns):
    return Window.partitionBy(*columns)


def ln_ns():
    return f.log(f.sum("step_ns") / f.sum("n_output")).alias("ln_ns")


runs = spark.read.parquet(f"{TABLES}/runs")
runs = (
    runs.withColumn("setting", f.udf(setting)(f.struct("*")))
    .withColumn("options", f.udf(options)(f.struct("*")))
    .withColumn("is_whole", f.coalesce("is_whole", f.coalesce("output", f.lit("graph")) == "graph"))
    .withColumn("is_timed", f.expr("status = 'completed' and coalesce(n_attempt, 1) = 1 and parent is null"
                                   " and coalesce(is_exclusive, true)"))
)
# A cell retrained with the same seeds is not another replicate: only its last runs count.
in_cell = f.when(f.col("is_timed") & f.col("cell").isNotNull(), f.col("run_id"))
runs = runs.withColumn("last", f.max(in_cell).over(over(*NAMES, *SEEDS)))
runs = runs.withColumn("is_timed", f.expr("is_timed and (cell is null or run_id = last)")).cache()

# Steps whose times count: without the warm-up, which is block 0 in a cell.
steps = spark.read.parquet(f"{TABLES}/steps").where("not is_warmup")
steps = steps.join(runs.where("is_timed").select("run_id", *NAMES, "cell", "is_whole"), "run_id")

# throughput: real outputs and edges per second, median over runs
seconds = f.sum("step_ns") / 1e9
throughput = steps.groupBy("run_id", *NAMES).agg(
    (f.sum("n_output") / seconds).alias("n_output_per_s"), (f.sum("n_edge") / seconds).alias("n_edge_per_s")
)
throughput = throughput.groupBy(NAMES).agg(
    f.count("*").alias("n_run"), *[f.median(name).alias(name) for name in ["n_output_per_s", "n_edge_per_s"]]
)
throughput.sort(NAMES).show()

# padding: share of padding in the computation, mean over runs
padding = steps.groupBy("run_id", *NAMES).agg(
    *[f.expr(f"100 - 100 * sum(n_{what}) / sum(n_{what}_padded) as {what}") for what in ["node", "edge"]]
)
padding = padding.groupBy(NAMES).agg(f.mean("node").alias("node"), f.mean("edge").alias("edge"))
padding.sort(NAMES).show()

# verdict: time per output relative to the fastest strategy, over the undisturbed mirrored pairs of blocks
# that all strategies share; if there are none, the strategies with the fewest pairs are left out. With five
# or more cells, cells have equal weight. Without blocks: by the means of runs.
TOGETHER = ["setting", "batch_size"]
whole = steps.where("is_whole")
disturbed = spark.read.parquet(f"{TABLES}/events").where("kind = 'disturbed'")
disturbed = disturbed.select("run_id", f.expr("bigint(get_json_object(payload, '$.pair'))").alias("pair"))
pairs = (
    whole.where("cell is not null and block is not null")
    .withColumn("pair", f.expr("(block + 1) div 2"))
    .join(disturbed, ["run_id", "pair"], "anti")
    .groupBy("run_id", *NAMES, "cell", "pair", "block").agg(ln_ns())
    .groupBy("run_id", *NAMES, "cell", "pair").agg(f.count("*").alias("n"), f.mean("ln_ns").alias("ln_ns"))
    .where("n = 2")
    .withColumn("n", f.count("*").over(over(*NAMES)))
    .withColumn("place", f.dense_rank().over(over(*TOGETHER).orderBy(f.desc("n"), *NAMES)))
    .withColumn("row", f.row_number().over(over(*TOGETHER, "cell", "pair").orderBy("place")))
    .where("place = row")
    .withColumn("n", f.count("*").over(over(*TOGETHER, "cell", "pair")))
    .withColumn("most", f.max("n").over(over(*TOGETHER)))
    .where("n > 1 and n = most")
)
cells = pairs.groupBy(*NAMES, "cell").agg(f.count("*").alias("n_pair"), f.sum("ln_ns").alias("ln_ns"))
in_turns = cells.groupBy(NAMES).agg(
    f.expr("if(count(*) >= 5, mean(ln_ns / n_pair), sum(ln_ns) / sum(n_pair)) as ln_ns")
)
alone = whole.groupBy("run_id", *NAMES).agg(ln_ns()).groupBy(NAMES).agg(f.mean("ln_ns").alias("ln_ns"))
is_in_turns = f.expr("a.setting = t.setting and a.batch_size <=> t.batch_size")
alone = alone.alias("a").join(in_turns.alias("t"), is_in_turns, "left_anti")
verdict = (
    in_turns.unionByName(alone)
    .withColumn("factor", f.exp(f.col("ln_ns") - f.min("ln_ns").over(over(*TOGETHER))))
    .withColumn("n", f.count("*").over(over(*TOGETHER)))
    .where("n > 1").drop("ln_ns", "n")
)
verdict.sort(*TOGETHER, "factor").show()

# One evaluation per state and subset, with the evaluation batcher shared by all strategies.
evals = spark.read.parquet(f"{TABLES}/evals")
evals = evals.join(runs.where("status = 'completed'"), "run_id")
evals = evals.where("eval_batcher is null or eval_batcher = evaluation_batcher")
evals = evals.dropDuplicates(["run_id", "step", "subset"])

# curves: errors on each subset over the steps, median over runs
finite = evals.where("rmse > 0 and rmse < double('infinity')")
curves = finite.groupBy(*NAMES, "subset", "step").agg(f.count("*").alias("n_run"), f.median("rmse").alias("rmse"))
curves.sort(*NAMES, "subset", "step").show()

# errors: on the test set after the last step, mean over combinations of seeds
errors = evals.where("subset = 'test' and step = coalesce(n_step, n_step_planned) and rmse is not null")
errors = errors.groupBy(*NAMES, *SEEDS).agg(f.mean("rmse").alias("rmse"))
errors = errors.groupBy(NAMES).agg(f.collect_list("rmse").alias("rmse"))
errors.sort(NAMES).show()
