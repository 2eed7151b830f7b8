-- Errors over the steps: for each setting and batch size on the first of test, validation and training set
-- that was evaluated twice.
with points as (
    select setting, model, dataset, batch_size, strategy, subset, step, count(*) as n_run,
           median(rmse) as rmse, min(rmse) as min, max(rmse) as max,
           list_position(['test', 'validation', 'train'], subset) as place
    from evals join runs using (run_id)
    where isfinite(rmse) and rmse > 0
    group by all
), curves as (
    from points qualify count(*) over (partition by setting, batch_size, strategy, subset) > 1
)
select * exclude (place)
from curves qualify place = min(place) over (partition by setting, batch_size)
order by all;
