-- Time of a step: means of the means of all runs, and medians of their medians.
select setting, model, dataset, batch_size, strategy, count(*) as n_run,
       avg(batching_mean) / 1e6 as batching_mean_ms,
       avg(update_mean) / 1e6 as update_mean_ms,
       avg(combined_mean) / 1e6 as combined_mean_ms,
       median(batching_median) / 1e6 as batching_median_ms,
       median(update_median) / 1e6 as update_median_ms,
       median(combined_median) / 1e6 as combined_median_ms
from times join runs using (run_id)
where is_timed group by all order by all;
