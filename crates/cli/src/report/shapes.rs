//! When strategies meet new padded shapes in a training that is longer than that of their runs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use batchlab_config::Config;
use batchlab_core::{Batcher, Dataset, View};
use batchlab_forecast::census::ShapeCurve;
use batchlab_forecast::shape_curve;
use batchlab_report::{Forecasts, Run};
use serde_json::Value;

use crate::plan::training_view;
use crate::say::say;

/// Steps that are planned; beyond, shapes are extrapolated.
const N_STEP: std::ops::RangeInclusive<u64> = 100_000..=1_000_000;

/// Plans the batches of these runs on, from their configurations and data. Where that is not possible,
/// it is said why, and shapes are extrapolated from the steps of the runs.
pub(super) fn forecasts(runs: &[&Run], n_step: Option<u64>) -> Forecasts {
    let n_step = n_step.unwrap_or_default().clamp(*N_STEP.start(), *N_STEP.end());
    let mut views = Views::default();
    let mut forecasts = Forecasts::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs {
        match views.forecast(run, n_step) {
            Ok(curve) => {
                forecasts.insert(run.run.run_id.clone(), curve);
            }
            Err(error) => *reasons.entry(format!("{error:#}")).or_default() += 1,
        }
    }
    for (reason, n) in reasons {
        say!(
            "note: shapes are extrapolated from the steps of {n} of the runs, as they cannot be planned: {reason}"
        );
    }
    forecasts
}

/// The training subsets so far, by data, split and seed.
#[derive(Default)]
struct Views(HashMap<String, View>);

impl Views {
    fn forecast(&mut self, run: &Run, n_step: u64) -> Result<ShapeCurve> {
        let Config { dataset, batcher, split, training, .. } = serde_json::from_value::<
            Config<Box<dyn Dataset>, Value, Box<dyn Batcher>, Value>,
        >(run.config.clone())?;
        let of = |key: &str| run.config[key].to_string();
        let key = [of("dataset"), of("split"), training.seeds.split.to_string()].join(" ");
        let view = match self.0.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let (_, view) =
                    training_view(Path::new(""), &*dataset, split, training.seeds.split)?;
                place.insert(view)
            }
        };
        Ok(shape_curve(&*batcher, view, training.seeds.order, n_step)?)
    }
}
