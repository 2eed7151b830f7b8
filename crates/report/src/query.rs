//! The queries, for `DuckDB`, that give the numbers of the figures from the Parquet files. They are
//! run in the folder of a study.

/// Times of every run, from its steps or as published. With batches prepared ahead, a step contains
/// waiting for them, not their preparation.
const TIMES: &str = "\
, times as (
    select run_id, avg(batching_ns) as batching_mean, median(batching_ns) as batching_median,
           avg(step_ns - if(prefetch_depth = 0, batching_ns, waiting_ns)) as update_mean,
           if(any_value(prefetch_depth) = 0, median(step_ns) - median(batching_ns),
              median(step_ns - waiting_ns)) as update_median,
           avg(step_ns) as combined_mean, median(step_ns) as combined_median
    from (select *, coalesce(plan_ns, 0) + coalesce(collate_ns, 0) as batching_ns,
                 coalesce(wait_ns, 0) as waiting_ns
          from steps) group by run_id
    union all
    select run_id, batching_mean, batching_median, combined_mean - batching_mean,
           combined_median - batching_median, combined_mean, combined_median
    from (pivot (from 'tables/metrics/*.parquet' where name like 'published.%')
          on replace(replace(name, 'published.', ''), '_ns', '')
             in ('batching_mean', 'batching_median', 'combined_mean', 'combined_median')
          using max(value) group by run_id)
)
";

/// What must be equal for runs to be compared: hardware, data, and options without seeds.
macro_rules! setting {
    () => {
        "study, device, cpu_model, n_thread, host, build_profile, version, dataset, dataset_hash, model, \
         n_step_planned, timing, prefetch_depth, model_options, split_options, training_options"
    };
}

/// The columns by which runs are grouped.
const GROUP: &str = concat!(setting!(), ", batch_size, batcher, batcher_options");

/// All runs, with the options that no column holds. Stands before the other parts of a query. Columns
/// that older files do not have are null.
const RUNS: &str = r#"with runs as (
    select *, config->'$.model' as model_options, config->'$.split' as split_options,
           json_merge_patch(config->'$.training', '{"seeds": null, "checkpoint": null}') as training_options,
           json_merge_patch(config->'$.batcher', '{"batch_size": null}') as batcher_options,
           status = 'completed' and coalesce(n_attempt, 1) = 1 and coalesce(is_exclusive, true)
               as is_timed
    from (from read_parquet('tables/runs/*.parquet', union_by_name = true)
          union all by name
          select null::text as cell, null::bigint as n_attempt, null::boolean as is_exclusive
          where false)
)"#;

/// The steps whose times count: without warm-up, which is the whole first block of a cell.
const STEPS: &str = "\
, steps as (
    select steps.*, prefetch_depth, cell
    from (from read_parquet('tables/steps/*.parquet', union_by_name = true)
          union all by name select null::bigint as block where false) as steps
    join runs using (run_id)
    where is_timed and not is_warmup and coalesce(block, 1) > 0
)
";

pub(crate) fn times() -> String {
    format!(
        "{RUNS}{STEPS}{TIMES}select {GROUP}, count(*) as n_run,
       avg(batching_mean) / 1e6 as batching_mean_ms,
       avg(update_mean) / 1e6 as update_mean_ms,
       avg(combined_mean) / 1e6 as combined_mean_ms,
       median(batching_median) / 1e6 as batching_median_ms,
       median(update_median) / 1e6 as update_median_ms,
       median(combined_median) / 1e6 as combined_median_ms
from times join runs using (run_id)
where is_timed group by all order by all;"
    )
}

pub(crate) fn speed_up() -> String {
    format!(
        "{RUNS}{STEPS}{TIMES}, means as (
    select {GROUP}, avg(combined_mean) as ns
    from times join runs using (run_id)
    where is_timed group by all
)
select *, max(ns) over (partition by {}, batch_size) / ns as speed_up
from means order by all;",
        setting!()
    )
}

pub(crate) fn recompilations() -> String {
    format!(
        "{RUNS}
select {GROUP}, avg(n_shape - 1) as recompilations,
       min(n_shape - 1) as least, max(n_shape - 1) as most
from runs where status = 'completed' and n_shape is not null
group by all order by all;"
    )
}

pub(crate) fn throughput() -> String {
    format!(
        "{RUNS}{STEPS}, work as (
    select run_id, sum(n_graph) / (sum(step_ns) / 1e9) as graphs_per_s,
           sum(n_edge) / (sum(step_ns) / 1e9) as edges_per_s
    from steps group by run_id
)
select {GROUP}, count(*) as n_run, median(graphs_per_s) as graphs_per_s,
       median(edges_per_s) as edges_per_s
from work join runs using (run_id)
group by all order by all;"
    )
}

pub(crate) fn padding() -> String {
    format!(
        "{RUNS}{STEPS}, waste as (
    select run_id, 1 - sum(n_node) / sum(padded_n_node) as nodes,
           1 - sum(n_edge) / sum(padded_n_edge) as edges
    from steps group by run_id
)
select {GROUP}, 100 * avg(nodes) as padding_nodes_percent, 100 * avg(edges) as padding_edges_percent
from waste join runs using (run_id)
group by all order by all;"
    )
}

pub(crate) fn curves() -> String {
    format!(
        "-- As the figure, of each setting and batch size the first of test, validation and training set
-- that was evaluated twice.
{RUNS}, points as (
    select {GROUP}, split, step, count(*) as n_run, median(rmse) as rmse, min(rmse) as least,
           max(rmse) as most
    from (select distinct on (run_id, step, split) * from 'tables/evals/*.parquet')
    join runs using (run_id)
    where status = 'completed' and isfinite(rmse) and rmse > 0
    group by all
), curves as (
    select *, list_position(['test', 'validation', 'train'], split) as place
    from points qualify count(*) over (partition by {GROUP}, split) > 1
)
select * exclude (place)
from curves qualify place = min(place) over (partition by {SETTING}, batch_size)
order by all;",
        SETTING = setting!()
    )
}

pub(crate) fn course() -> String {
    format!(
        "{RUNS}, stretches as (
    select run_id, (step - 1) * least(40, n_step_planned) // n_step_planned as stretch,
           avg(step_ns) / 1e6 as step_ms
    from 'tables/steps/*.parquet' join runs using (run_id)
    where is_timed group by all
)
select {GROUP}, ceil((stretch + 1) * n_step_planned / least(40, n_step_planned)) as step,
       median(step_ms) as step_ms, min(step_ms) as least, max(step_ms) as most
from stretches join runs using (run_id)
group by all order by all;"
    )
}

pub(crate) fn blocks() -> String {
    format!(
        "-- Every pair of blocks that a factor of the verdict is made of.
{RUNS}{STEPS}, blocks as (
    select run_id, cell, block, sum(step_ns) / sum(n_graph) as ns_per_graph
    from steps where cell is not null and block is not null
    group by all having sum(n_graph) > 0
), strategies as (
    select cell, block, ns_per_graph, batcher, {SETTING}, batch_size
    from blocks join runs using (run_id, cell)
)
select cell, a.batcher as slower, b.batcher as than, count(*) as n_block,
       exp(avg(ln(a.ns_per_graph / b.ns_per_graph))) as factor
from strategies a join strategies b using (cell, block)
where a.batcher <> b.batcher
group by all order by all;",
        SETTING = setting!()
    )
}

pub(crate) fn final_errors() -> String {
    format!(
        "-- The samples of the tests; scipy.stats.ttest_ind(a, b) gives t and p.
{RUNS}
select {GROUP}, list(rmse order by run_id) as rmse
from (select distinct on (run_id, step, split) * from 'tables/evals/*.parquet') join runs using (run_id)
where status = 'completed' and split = 'test' and step = n_step_planned and rmse is not null
group by all order by all;"
    )
}

pub(crate) fn time_to_target() -> String {
    format!(
        "-- The target is the least error that every strategy of a setting and batch size reaches in
-- the median of its runs; here for a target of 0.2.
{RUNS}{STEPS}{TIMES}, reached as (
    select run_id, min(step) as step from 'tables/evals/*.parquet'
    where split = 'validation' and rmse <= 0.2 group by run_id
)
select {GROUP}, count(*) as n_run, median(step * combined_mean) / 1e9 as seconds
from reached join times using (run_id) join runs using (run_id)
where is_timed group by all order by all;"
    )
}
