-- Time per output relative to the fastest strategy, over the undisturbed mirrored pairs of blocks (1 and 2,
-- 3 and 4, ...) that all strategies share; if there are none, the strategies with the fewest pairs are left
-- out. With five or more cells, cells have equal weight. Without blocks: by the means of runs.
with pairs as (
    select run_id, pair, avg(ln(ns_per_output)) as ln_ns
    from (select *, (block + 1) // 2 as pair from blocks) anti join disturbed using (run_id, pair)
    group by all having count(*) = 2
), named as (
    select setting, model, dataset, batch_size, strategy, cell, pair, ln_ns,
           count(*) over (partition by setting, batch_size, strategy) as n
    from pairs join runs using (run_id) where is_whole
), ranked as (
    select *, dense_rank() over (partition by setting, batch_size order by n desc, strategy) as place
    from named
), compared as (
    select *, count(*) over (partition by setting, batch_size, cell, pair) as n_shared
    from (from ranked qualify place = row_number() over (partition by setting, batch_size, cell, pair order by place))
), cells as (
    select * exclude (pair, ln_ns, n, place, n_shared), count(*) as n_pair, sum(ln_ns) as ln_ns
    from (from compared qualify n_shared > 1 and n_shared = max(n_shared) over (partition by setting, batch_size))
    group by all
), in_turns as (
    select * exclude (cell, n_pair, ln_ns), sum(n_pair) as n_pair, count(*) as n_cell,
           if(count(*) >= 5, avg(ln_ns / n_pair), sum(ln_ns) / sum(n_pair)) as ln_ns
    from cells group by all
), alone as (
    select setting, model, dataset, batch_size, strategy, combined_mean as step_ns, ns_per_output,
           bool_and(ns_per_output is not null) over (partition by setting, batch_size) as knows_outputs
    from times join runs using (run_id) left join work using (run_id)
    where is_whole and is_timed and (setting, batch_size) not in (select (setting, batch_size) from in_turns)
), means as (
    from in_turns union all by name
    select * exclude (step_ns, ns_per_output, knows_outputs), count(*) as n_run,
           avg(ln(if(knows_outputs, ns_per_output, step_ns))) as ln_ns
    from alone group by all
)
select * exclude (ln_ns), exp(ln_ns - min(ln_ns) over (partition by setting, batch_size)) as factor
from means
qualify count(*) over (partition by setting, batch_size) > 1
order by setting, batch_size, factor;
