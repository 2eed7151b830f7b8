-- Distinct padded shapes less the first, which an engine that compiles per shape compiles anew.
select setting, model, dataset, batch_size, strategy, avg(n_shape - 1) as recompilations,
       min(n_shape - 1) as min, max(n_shape - 1) as max
from runs where status = 'completed' and n_shape is not null
group by all order by all;
