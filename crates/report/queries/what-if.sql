-- An assumption, not a measurement: every padded shape costs {compile_cost} s.
with measured as (
    select setting, model, dataset, batch_size, strategy, avg(n_shape) as shapes,
           avg(ns_per_output) / 1e3 as measured_us,
           avg(ns_per_output + {compile_cost} * 1e9 * n_shape
               / (coalesce(n_step_planned, n_step) * outputs_per_step)) / 1e3 as with_compilation_us
    from work join runs using (run_id)
    where ns_per_output is not null and n_shape is not null
    group by all
)
from measured qualify count(*) over (partition by setting, batch_size) > 1
order by all;
