-- Distinct padded shapes (an engine that compiles per shape compiles each once), means over runs.
select setting, model, dataset, batch_size, strategy, count(*) as n_run, avg(n_shape) as shapes
from runs where status = 'completed' and n_shape is not null
group by all order by all;
