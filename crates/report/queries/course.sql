-- Mean step time over each fortieth of training, including the warm-up.
with lengths as (
    select *, coalesce(n_step_planned, n_step) as n, least(40, n) as n_stretch from runs
), stretches as (
    select run_id, (step - 1) * n_stretch // n as stretch, avg(step_ns) / 1e6 as step_ms
    from all_steps join lengths using (run_id)
    where not coalesce(is_timing_only, false) group by all
)
select setting, model, dataset, batch_size, strategy, ceil((stretch + 1) * n / n_stretch) as step,
       median(step_ms) as step_ms, min(step_ms) as min, max(step_ms) as max
from stretches join lengths using (run_id)
group by all order by all;
