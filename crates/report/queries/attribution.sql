-- Time that each strategy (s) saves per output over every other one as the reference (r), in us. If the
-- grouping was not measured without padding, padded_work_us and graphs_per_step_us are null, and their sum
-- is in grouping_us (same padding rule for both) or both_us.
with unpadded as (
    select setting, batch_size, grouping, any_value(work) as unpadded
    from strategies where padding->>'$' = 'none' group by all
), measured as (
    select * from strategies left join unpadded using (setting, batch_size, grouping)
), pairs as (
    select setting, s.model, s.dataset, batch_size, r.strategy as reference, s.strategy, r.total / s.total as speed_up, (r.total - s.total) / 1e3 as saved_us,
           (r.planning - s.planning) / 1e3 as planning_us, (r.copying - s.copying) / 1e3 as collation_us,
           (r.waiting - s.waiting) / 1e3 as waiting_us, (r.new_shapes - s.new_shapes) / 1e3 as new_shapes_us,
           (r.work - s.work) / 1e3 as work, (r.unpadded - s.unpadded) / 1e3 as unpadded,
           r.grouping = s.grouping as same_grouping, coalesce(r.padding = s.padding, false) as same_padding
    from measured r join measured s using (setting, batch_size)
    where r.strategy <> s.strategy
)
select * exclude (work, unpadded, same_grouping, same_padding),
       if(same_grouping, work, work - unpadded) as padded_work_us,
       if(same_grouping, 0, unpadded) as graphs_per_step_us,
       if(same_grouping or unpadded is not null or not same_padding, 0, work) as grouping_us,
       if(same_grouping or unpadded is not null or same_padding, 0, work) as both_us
from pairs order by all;
