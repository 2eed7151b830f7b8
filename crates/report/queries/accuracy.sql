-- Validation accuracy, and the seconds of preparation and training up to then.
select setting, model, dataset, batch_size, strategy, run_id, step, accuracy,
       (coalesce(prepare_ns, 0) + evals.train_ns) / 1e9 as seconds
from evals join runs using (run_id)
where is_timed and subset = 'validation' and accuracy is not null
order by all;
