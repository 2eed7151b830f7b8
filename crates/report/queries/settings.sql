-- The settings. Compare times within a setting only.
select setting, model, dataset, dataset_hash[:8] as data, study, device, cpu_model, n_thread, host, engine,
       n_step_planned, n_epoch_planned, timing, prefetch_depth, count(*) as n_run,
       count(*) filter (where is_timed) as n_timed
from runs group by all order by all;
