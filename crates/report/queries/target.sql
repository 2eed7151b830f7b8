-- Seconds of training until the lowest error that every strategy of a setting and batch size reaches in
-- the median of its runs.
with validations as (
    from evals where subset = 'validation' and rmse is not null
), best as (
    select run_id, min(rmse) filter (where isfinite(rmse)) as least
    from validations group by all having count(*) > 1 and least is not null
), of_strategies as (
    select run_id, setting, batch_size, strategy,
           median(least) over (partition by setting, batch_size, strategy) as least
    from best join runs using (run_id)
), targets as (
    select run_id, max(least) over (partition by setting, batch_size) as goal
    from of_strategies
    qualify count(distinct strategy) over (partition by setting, batch_size) > 1
), reached as (
    select run_id, goal, min(step) as step
    from validations join targets using (run_id) where rmse <= goal group by all
)
select setting, model, dataset, batch_size, strategy, goal, count(*) as n_run,
       median(step * combined_mean) / 1e9 as seconds, min(step * combined_mean) / 1e9 as min,
       max(step * combined_mean) / 1e9 as max
from reached join times using (run_id) join runs using (run_id)
where is_timed group by all order by all;
