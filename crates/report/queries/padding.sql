-- Share of padding in what is computed: means over runs.
select setting, model, dataset, batch_size, strategy, count(*) as n_run,
       100 * avg(node_padding) as node_padding_percent, 100 * avg(edge_padding) as edge_padding_percent
from work join runs using (run_id)
group by all order by all;
