-- Times as fast as the slowest strategy of the same setting and batch size: by time per output where the
-- outputs of all runs of a setting are known, else by time per step.
with means as (
    select setting, model, dataset, batch_size, strategy, avg(combined_mean) as step_ns,
           avg(ns_per_output) as ns_per_output, bool_and(ns_per_output is not null) as knows_outputs
    from times join runs using (run_id) left join work using (run_id)
    where is_timed group by all
), compared as (
    select * exclude (step_ns, ns_per_output, knows_outputs),
           if(bool_and(knows_outputs) over (partition by setting), ns_per_output, step_ns) as ns,
           count(*) over (partition by setting, batch_size) as n_strategy
    from means
)
select * exclude (ns, n_strategy), max(ns) over (partition by setting, batch_size) / ns as speed_up
from compared
qualify max(n_strategy) over (partition by setting) > 1
order by all;
