-- Real outputs (graphs, or nodes of one graph) and real edges per second: medians over runs.
select setting, model, dataset, batch_size, strategy, count(*) as n_run,
       median(outputs_per_s) as outputs_per_s, median(edges_per_s) as edges_per_s
from work join runs using (run_id)
group by all order by all;
