//! Queries for `DuckDB` that reproduce the figures from the Parquet files. They are run in the folder of a
//! study.

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

/// The beginning of every query: all runs, with the options that have no column. Of the runs in cells
/// with equal seeds, only the last one counts.
const RUNS: &str = concat!(
    r#"with all_runs as (
    select *, config->'$.model' as model_options, config->'$.split' as split_options,
           json_merge_patch(config->'$.training', '{"seeds": null, "checkpoint": null}') as training_options,
           json_merge_patch(config->'$.batcher', '{"batch_size": null}') as batcher_options,
           status = 'completed' and coalesce(n_attempt, 1) = 1 and coalesce(is_exclusive, true)
               as is_timed
    from 'tables/runs/*.parquet'
), runs as (
    select * replace (is_timed and (cell is null or run_id = max(run_id)
               filter (where is_timed and cell is not null) over (partition by "#,
    setting!(),
    r#", batch_size, batcher, batcher_options, seed_split, seed_order, seed_init)) as is_timed)
    from all_runs
)"#
);

/// Evaluations in the batches that all strategies are evaluated in.
const EVALS: &str =
    "(select e.* exclude (batcher) from 'tables/evals/*.parquet' as e join all_runs using (run_id)
          where coalesce(e.batcher = evaluation_batcher, true))";

/// The steps whose times count: without warm-up, which is the whole first block of a cell.
const STEPS: &str = "\
, steps as (
    select steps.*, prefetch_depth, cell
    from 'tables/steps/*.parquet' as steps join runs using (run_id)
    where is_timed and coalesce(block > 0, not is_warmup)
)
";

/// Time per output of every block of every run in a cell.
const BLOCKS: &str = "\
, blocks as (
    select run_id, block, sum(step_ns) / sum(n_output) as ns_per_output
    from steps where cell is not null and block is not null
    group by all having sum(n_output) > 0
)";

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
        "-- Time per output where the outputs of all runs of a setting are known, else per step.
{RUNS}{STEPS}{TIMES}, graphs as (
    select run_id, sum(step_ns) / nullif(sum(n_output), 0) as graph_ns from steps group by run_id
), means as (
    select {GROUP}, avg(combined_mean) as step_ns, avg(graph_ns) as graph_ns,
           bool_and(graph_ns is not null) as knows_graphs
    from times left join graphs using (run_id) join runs using (run_id)
    where is_timed group by all
), compared as (
    select * exclude (step_ns, graph_ns, knows_graphs),
           if(bool_and(knows_graphs) over (partition by {SETTING}), graph_ns, step_ns) as ns
    from means
)
select *, max(ns) over (partition by {SETTING}, batch_size) / ns as speed_up
from compared order by all;",
        SETTING = setting!()
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
    select run_id, sum(n_output) / (sum(step_ns) / 1e9) as graphs_per_s,
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
    select run_id, 1 - sum(n_node) / sum(n_node_padded) as nodes,
           1 - sum(n_edge) / sum(n_edge_padded) as edges
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
    from (select distinct on (run_id, step, split) * from {EVALS})
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
    select run_id, (step - 1) * least(40, coalesce(n_step_planned, n_step)) // coalesce(n_step_planned, n_step) as stretch,
           avg(step_ns) / 1e6 as step_ms
    from 'tables/steps/*.parquet' join runs using (run_id)
    where is_timed and not coalesce(is_timing_only, false) group by all
)
select {GROUP}, ceil((stretch + 1) * coalesce(n_step_planned, n_step) / least(40, coalesce(n_step_planned, n_step))) as step,
       median(step_ms) as step_ms, min(step_ms) as least, max(step_ms) as most
from stretches join runs using (run_id)
group by all order by all;"
    )
}

pub(crate) fn blocks() -> String {
    format!(
        "{RUNS}{STEPS}{BLOCKS}
select {GROUP}, block, count(*) as n_cell, median(ns_per_output) / 1e3 as us_per_graph,
       min(ns_per_output) / 1e3 as least, max(ns_per_output) / 1e3 as most
from blocks join runs using (run_id) group by all order by all;"
    )
}

pub(crate) fn verdict() -> String {
    format!(
        "-- How many times as long as the strategy that took the least time: over mirrored pairs of blocks
-- (1 and 2, 3 and 4, ...) in which all strategies were trained; from five cells on, cells count the same.
{RUNS}{STEPS}{BLOCKS}, pairs as (
    select run_id, (block + 1) // 2 as pair, avg(ln(ns_per_output)) as ln_ns
    from blocks group by all having count(*) = 2
), counted as (
    select {GROUP}, cell, ln_ns, count(*) over (partition by {SETTING}, batch_size, cell, pair) as n
    from pairs join runs using (run_id)
), shared as (
    from counted qualify n = max(n) over (partition by {SETTING}, batch_size) and n > 1
), cells as (
    select {GROUP}, cell, count(*) as n_pair, avg(ln_ns) as of_cell, sum(ln_ns) as of_pairs
    from shared group by all
), means as (
    select {GROUP}, sum(n_pair) as n_pair, count(*) as n_cell,
           if(count(*) >= 5, avg(of_cell), sum(of_pairs) / sum(n_pair)) as ln_ns
    from cells group by all
)
select * exclude (ln_ns),
       exp(ln_ns - min(ln_ns) over (partition by {SETTING}, batch_size)) as factor
from means order by all;",
        SETTING = setting!()
    )
}

/// Parts of the time per real graph of every run, see `attribution`. Only cells with all strategies
/// count.
const PARTS: &str = "\
, marked as (
    select steps.*, 2 * count(*) filter (where not is_new_shape) over (partition by run_id)
                        >= count(*) over (partition by run_id) as is_known
    from steps
), parts as (
    select run_id, any_value(is_known) as is_known,
           any_value(prefetch_depth = 0) as is_serial,
           sum(step_ns) / sum(n_output) as total,
           sum(n_output) filter (where not (is_known and is_new_shape)) as n,
           sum(step_ns) filter (where not (is_known and is_new_shape)) / n as typical,
           if(is_serial, sum(plan_ns) filter (where not (is_known and is_new_shape)) / n, 0)
               as planning,
           if(is_serial, sum(collate_ns) filter (where not (is_known and is_new_shape)) / n, 0)
               as copying,
           coalesce(sum(wait_ns) filter (where not (is_known and is_new_shape)) / n, 0) as waiting,
           sum(upload_ns) filter (where not (is_known and is_new_shape)) / n as upload,
           sum(forward_ns) filter (where not (is_known and is_new_shape)) / n as forward,
           sum(backward_ns) filter (where not (is_known and is_new_shape)) / n as backward,
           sum(optimiser_ns) filter (where not (is_known and is_new_shape)) / n as optimiser
    from marked group by run_id having sum(n_output) > 0
), compared as (
    select *, json_merge_patch(batcher_options, '{\"padding\": null}') as grouping_options,
           config->'$.batcher.padding' as padding,
           typical - planning - copying - waiting as work, total - typical as new_shapes
    from parts join runs using (run_id)
    qualify cell is null
         or count(*) over (partition by cell, batch_size) = n_strategy
), strategies as (
    select GROUP_COLUMNS, grouping_options, padding, avg(total) as total,
           avg(planning) as planning, avg(copying) as copying, avg(waiting) as waiting,
           avg(work) + if(bool_and(is_known), 0, avg(new_shapes)) as work,
           if(bool_and(is_known), avg(new_shapes), 0) as new_shapes, avg(upload) as upload,
           avg(forward) as forward, avg(backward) as backward, avg(optimiser) as optimiser
    from compared group by all
)";

pub(crate) fn stages() -> String {
    let parts = parts();
    format!(
        "{RUNS}{STEPS}{parts}
select {GROUP}, total / 1e3 as total_us, upload / 1e3 as upload_us, planning / 1e3 as planning_us,
       copying / 1e3 as collation_us, forward / 1e3 as forward_us, backward / 1e3 as backward_us,
       optimiser / 1e3 as optimiser_us,
       (work - coalesce(upload + forward + backward + optimiser, 0)) / 1e3 as other_work_us,
       new_shapes / 1e3 as new_shapes_us, waiting / 1e3 as waiting_us
from strategies order by all;"
    )
}

pub(crate) fn attribution() -> String {
    let parts = parts();
    let of_strategy = setting!().split(", ").map(|column| format!("s.{}", column.trim()));
    let of_strategy: Vec<String> = of_strategy.collect();
    format!(
        "-- Every strategy (s) over every other one as the reference (r). Where a grouping was not
-- measured without padding, padded_work_us and graphs_per_step_us are null and their sum is in
-- grouping_us (one rule of padding for both) or both_us.
{RUNS}{STEPS}{parts}, numbered as (
    select *, dense_rank() over (order by {SETTING}, batch_size) as place from strategies
), unpadded as (
    select place, grouping_options, any_value(work) as unpadded
    from numbered where padding->>'$' = 'none' group by all
), with_unpadded as (
    select numbered.*, unpadded
    from numbered left join unpadded using (place, grouping_options)
), pairs as (
    select {S}, s.batch_size, r.batcher as reference, s.batcher as strategy,
           r.total - s.total as saved, r.total / s.total as speed_up,
           r.planning - s.planning as planning, r.copying - s.copying as copying,
           r.waiting - s.waiting as waiting, r.new_shapes - s.new_shapes as new_shapes,
           r.work - s.work as work,
           r.grouping_options = s.grouping_options as same_grouping,
           coalesce(r.padding = s.padding, false) as same_padding,
           r.unpadded - s.unpadded as unpadded
    from with_unpadded r join with_unpadded s using (place)
    where (r.batcher, r.batcher_options) <> (s.batcher, s.batcher_options)
)
select * exclude (planning, copying, waiting, new_shapes, work, unpadded, saved),
       saved / 1e3 as saved_us, planning / 1e3 as planning_us, copying / 1e3 as collation_us,
       waiting / 1e3 as waiting_us, new_shapes / 1e3 as new_shapes_us,
       case when same_grouping then work when unpadded is not null then work - unpadded
       end / 1e3 as padded_work_us,
       case when same_grouping then 0 when unpadded is not null then unpadded
       end / 1e3 as graphs_per_step_us,
       if(same_grouping or unpadded is not null or not same_padding, 0, work) / 1e3 as grouping_us,
       if(same_grouping or unpadded is not null or same_padding, 0, work) / 1e3 as both_us
from pairs order by all;",
        SETTING = setting!(),
        S = of_strategy.join(", ")
    )
}

fn parts() -> String {
    let n_strategy = format!(
        "count(distinct batcher || batcher_options::text) over (partition by {}, batch_size)",
        setting!()
    );
    PARTS.replace("GROUP_COLUMNS", GROUP).replace("n_strategy", &n_strategy)
}

pub(crate) fn what_if(compile_cost: f64) -> String {
    format!(
        "-- An assumption, not a measurement: {compile_cost} s for every padded shape.
{RUNS}{STEPS}, measured as (
    select run_id, sum(step_ns) / sum(n_output) as ns_per_output, avg(n_output) as graphs_per_step
    from steps group by run_id having sum(n_output) > 0
)
select {GROUP}, avg(n_shape) as shapes, avg(ns_per_output) / 1e3 as measured_us,
       avg(ns_per_output + {compile_cost} * 1e9 * n_shape / (coalesce(n_step_planned, n_step) * graphs_per_step)) / 1e3
           as with_compilation_us
from measured join runs using (run_id) group by all order by all;"
    )
}

pub(crate) fn waiting() -> String {
    format!(
        "{RUNS}{STEPS}, shares as (
    select run_id, 100 * sum(if(prefetch_depth = 0, coalesce(plan_ns, 0) + coalesce(collate_ns, 0),
                                coalesce(wait_ns, 0))) / sum(step_ns) as percent
    from steps group by run_id
)
select {GROUP}, count(*) as n_run, median(percent) as percent, min(percent) as least,
       max(percent) as most
from shares join runs using (run_id) group by all order by all;"
    )
}

pub(crate) fn final_errors() -> String {
    format!(
        "-- The samples of the tests, one number for each combination of seeds (those of published
-- runs are unknown: each counts); scipy.stats.ttest_ind(a, b) gives t and p.
{RUNS}, by_seeds as (
    select {GROUP}, seed_split, seed_order, seed_init,
           if((config->'$.imported') is null, null, run_id) as published, avg(rmse) as rmse
    from (select distinct on (run_id, step, split) * from {EVALS})
    join runs using (run_id)
    where status = 'completed' and split = 'test' and step = coalesce(n_step_planned, n_step) and rmse is not null
    group by all
)
select {GROUP}, list(rmse order by seed_split, seed_order, seed_init, published) as rmse
from by_seeds group by all order by all;"
    )
}

pub(crate) fn time_to_target() -> String {
    format!(
        "-- The target is the least error that every strategy of a setting and batch size reaches in
-- the median of its runs.
{RUNS}{STEPS}{TIMES}, validations as (
    select distinct on (run_id, step) run_id, step, rmse
    from {EVALS} where split = 'validation' and rmse is not null
), of_runs as (
    select run_id, min(rmse) filter (where isfinite(rmse)) as least
    from validations group by all having count(*) > 1 and least is not null
), of_strategies as (
    select run_id, {GROUP}, median(least) over (partition by {GROUP}) as least
    from of_runs join runs using (run_id) where status = 'completed'
), targets as (
    select run_id, max(least) over (partition by {SETTING}, batch_size) as goal
    from of_strategies
    qualify count(distinct batcher || batcher_options::text)
            over (partition by {SETTING}, batch_size) > 1
), reached as (
    select run_id, goal, min(step) as step
    from validations join targets using (run_id) where rmse <= goal group by all
)
select {GROUP}, goal, count(*) as n_run, median(step * combined_mean) / 1e9 as seconds,
       min(step * combined_mean) / 1e9 as least, max(step * combined_mean) / 1e9 as most
from reached join times using (run_id) join runs using (run_id)
where is_timed group by all order by all;",
        SETTING = setting!()
    )
}

/// Accuracies of the validation set, with the time of preparation and training until then.
pub(crate) fn accuracy() -> String {
    format!(
        "{RUNS}, validations as (
    select distinct on (run_id, step) run_id, step, accuracy, train_ns
    from {EVALS} where split = 'validation' and accuracy is not null
)
select {GROUP}, run_id, step, accuracy, (coalesce(prepare_ns, 0) + validations.train_ns) / 1e9 as seconds
from validations join runs using (run_id)
where is_timed and status = 'completed' order by all;"
    )
}
