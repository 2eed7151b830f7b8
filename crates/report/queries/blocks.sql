-- Time per output, block by block of the runs in cells.
select setting, model, dataset, batch_size, strategy, block, count(*) as n_cell,
       median(ns_per_output) / 1e3 as us_per_output, min(ns_per_output) / 1e3 as min,
       max(ns_per_output) / 1e3 as max
from blocks join runs using (run_id)
group by all order by all;
