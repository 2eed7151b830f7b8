-- Training time per output and its parts, in us.
select setting, model, dataset, batch_size, strategy, total / 1e3 as total_us, upload / 1e3 as upload_us,
       planning / 1e3 as planning_us, copying / 1e3 as collation_us, forward / 1e3 as forward_us,
       backward / 1e3 as backward_us, optimiser / 1e3 as optimiser_us,
       (work - coalesce(upload + forward + backward + optimiser, 0)) / 1e3 as other_work_us,
       new_shapes / 1e3 as new_shapes_us, waiting / 1e3 as waiting_us
from strategies
qualify count(*) over (partition by setting, batch_size) > 1
order by all;
