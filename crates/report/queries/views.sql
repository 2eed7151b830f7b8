-- Shared by all queries: which runs, steps and evaluations count, and what is compared with what. Times
-- are compared within a setting, never across settings. A strategy is named by its label, plus a mark of
-- its options if strategies with the same label differ in them.
create or replace view described as
select * replace (coalesce(is_whole, coalesce(output, 'graph') = 'graph') as is_whole),
       md5(row(study, device, cpu_model, n_thread, host, build_profile, engine, dataset, dataset_hash, model,
               n_step_planned, timing, prefetch_depth, config->'$.model', config->'$.split',
               json_merge_patch(config->'$.training', '{"seeds": null, "checkpoint": null}')
              )::text)[:8] as setting,
       json_merge_patch(config->'$.batcher', '{"batch_size": null}') as options,
       status = 'completed' and coalesce(n_attempt, 1) = 1 and parent is null and coalesce(is_exclusive, true)
           as is_timed
from '{folder}/tables/runs/*.parquet';

create or replace view named as
select *, if(count(distinct options::text) over (partition by setting, batcher) > 1,
             batcher || ' ' || md5(options::text)[:8], batcher) as strategy
from described;

-- A cell retrained with the same seeds is not another replicate: only its last runs count.
create or replace view runs as
select * replace (is_timed and (cell is null or run_id = max(run_id) filter (where is_timed and cell is not null)
                  over (partition by setting, batch_size, strategy, seed_split, seed_order, seed_init))
                  as is_timed)
from named;

create or replace view all_steps as
select steps.*, prefetch_depth, cell, coalesce(plan_ns, 0) + coalesce(collate_ns, 0) as batching_ns
from '{folder}/tables/steps/*.parquet' as steps join runs using (run_id)
where is_timed;

-- Steps whose times count: without the warm-up, which is block 0 in a cell.
create or replace view steps as
from all_steps where not is_warmup;

-- One evaluation per state and subset, with the evaluation batcher shared by all strategies.
create or replace view evals as
select distinct on (run_id, step, subset) evals.*
from '{folder}/tables/evals/*.parquet' as evals join runs using (run_id)
where status = 'completed' and coalesce(eval_batcher = evaluation_batcher, true);

-- Each run as a whole.
create or replace view work as
select run_id, sum(step_ns) / nullif(sum(n_output), 0) as ns_per_output, avg(n_output) as outputs_per_step,
       sum(n_output) / (sum(step_ns) / 1e9) as outputs_per_s, sum(n_edge) / (sum(step_ns) / 1e9) as edges_per_s,
       1 - coalesce(sum(n_node) / nullif(sum(n_node_padded), 0), 1) as node_padding,
       1 - coalesce(sum(n_edge) / nullif(sum(n_edge_padded), 0), 1) as edge_padding,
       sum(if(prefetch_depth = 0, batching_ns, coalesce(wait_ns, 0))) / sum(step_ns) as data_share
from steps group by run_id having sum(step_ns) > 0;

-- A typical step of each run. With prefetched batches, a step includes waiting for them, but not their
-- preparation.
create or replace view times as
select run_id, avg(batching_ns) as batching_mean,
       avg(step_ns - if(prefetch_depth = 0, batching_ns, coalesce(wait_ns, 0))) as update_mean,
       avg(step_ns) as combined_mean, median(step_ns) as combined_median
from steps group by run_id;

create or replace view blocks as
select run_id, block, sum(step_ns) / sum(n_output) as ns_per_output
from steps where cell is not null and block is not null
group by all having sum(n_output) > 0 and sum(step_ns) > 0;

-- Mirrored pairs of blocks that a sweep found disturbed.
create or replace view disturbed as
select run_id, (payload::json->>'$.pair')::bigint as pair from '{folder}/tables/events/*.parquet'
where kind = 'disturbed';

-- Breakdown of the time per output: of steps whose shape is not new, and the extra cost of the others,
-- unless those are the majority.
create or replace view parts as
with marked as (
    select *, 2 * count(*) filter (where not is_new_shape) over (partition by run_id)
                  >= count(*) over (partition by run_id) as is_known,
           not (is_known and is_new_shape) as is_typical
    from steps
)
select run_id, any_value(is_known) as is_known, sum(step_ns) / sum(n_output) as total,
       sum(n_output) filter (where is_typical) as n, sum(step_ns) filter (where is_typical) / n as typical,
       coalesce(sum(plan_ns) filter (where is_typical and prefetch_depth = 0), 0) / n as planning,
       coalesce(sum(collate_ns) filter (where is_typical and prefetch_depth = 0), 0) / n as copying,
       coalesce(sum(wait_ns) filter (where is_typical), 0) / n as waiting,
       sum(upload_ns) filter (where is_typical) / n as upload,
       sum(forward_ns) filter (where is_typical) / n as forward,
       sum(backward_ns) filter (where is_typical) / n as backward,
       sum(optimiser_ns) filter (where is_typical) / n as optimiser
from marked group by run_id having sum(n_output) > 0;

-- The same for each strategy, over its runs in the cells with all strategies, if there are any.
create or replace view strategies as
with compared as (
    select parts.*, setting, model, dataset, batch_size, strategy,
           json_merge_patch(options, '{"padding": null}')::text as grouping,
           config->'$.batcher.padding' as padding, typical - planning - copying - waiting as work,
           total - typical as new_shapes,
           cell is not null and count(distinct strategy) over (partition by setting, batch_size, cell)
               = count(distinct strategy) over (partition by setting, batch_size) as is_complete
    from parts join runs using (run_id)
), counted as (
    from compared qualify is_complete or not bool_or(is_complete) over (partition by setting, batch_size)
)
select setting, model, dataset, batch_size, strategy, grouping, padding, avg(total) as total,
       avg(planning) as planning, avg(copying) as copying, avg(waiting) as waiting,
       avg(work) + if(bool_and(is_known), 0, avg(new_shapes)) as work,
       if(bool_and(is_known), avg(new_shapes), 0) as new_shapes,
       avg(upload) as upload, avg(forward) as forward, avg(backward) as backward, avg(optimiser) as optimiser
from counted group by all;
