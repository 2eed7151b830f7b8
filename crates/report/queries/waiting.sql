-- Share of a step for planning and copying its batch, or for waiting for one that is prepared ahead.
select setting, model, dataset, batch_size, strategy, prefetch_depth, count(*) as n_run,
       100 * median(data_share) as percent, 100 * min(data_share) as min, 100 * max(data_share) as max
from work join runs using (run_id)
group by all order by all;
