-- Each strategy in numbers: real outputs (graphs, or nodes of one graph) and edges per second, the step time,
-- its share for preparing batches or waiting for them, and the share of padding.
select setting, model, dataset, batch_size, strategy, count(*) as n_run,
       median(outputs_per_s) as outputs_per_s, median(edges_per_s) as edges_per_s,
       avg(batching_mean) / 1e6 as batching_ms, avg(update_mean) / 1e6 as update_ms,
       avg(combined_mean) / 1e6 as combined_ms, median(combined_median) / 1e6 as combined_median_ms,
       100 * median(data_share) as data_percent,
       100 * avg(node_padding) as node_padding_percent, 100 * avg(edge_padding) as edge_padding_percent
from times join runs using (run_id) left join work using (run_id)
where is_timed group by all order by all;
