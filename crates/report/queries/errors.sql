-- Test errors after the last completed step, one number per combination of seeds;
-- scipy.stats.ttest_ind(a, b, equal_var=False) gives t and p.
with by_seeds as (
    select setting, model, dataset, batch_size, strategy, seed_split, seed_order, seed_init,
           avg(rmse) as rmse
    from evals join runs using (run_id)
    where subset = 'test' and step = coalesce(n_step, n_step_planned) and rmse is not null
    group by all
)
select setting, model, dataset, batch_size, strategy,
       list(rmse order by seed_split, seed_order, seed_init) as rmse
from by_seeds group by all order by all;
