-- Extra time of the first use of a padded shape compared with the mean step whose shape is not new, including
-- the warm-up. The number of shapes in a longer training is not in the tables.
with known as (
    select run_id, avg(step_ns) as known_ns, sum(step_ns) / sum(n_output) / 1e3 as known_us
    from steps where not is_new_shape group by run_id
)
select setting, model, dataset, batch_size, strategy, count(*) filter (is_new_shape) as n_first_use,
       greatest(avg(step_ns - known_ns) filter (is_new_shape) / 1e9, 0) as shape_s,
       avg(known_us) as known_us
from all_steps join known using (run_id) join parts using (run_id) join runs using (run_id)
where is_known
group by all order by all;
