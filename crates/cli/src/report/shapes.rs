//! When strategies meet new padded shapes in a training that is longer than that of their runs.

use std::collections::HashMap;

use anyhow::{Context, Result};
use batchlab_config::StudyFile;
use batchlab_core::{Graphs, View};
use batchlab_forecast::census::ShapeCurve;
use batchlab_forecast::shape_curve;
use batchlab_report::{Forecasts, Run};

use crate::configuration::DEFAULTS;
use crate::plan::training_view;
use crate::say::say;

/// Steps that are planned; beyond, shapes are extrapolated.
const N_STEP: std::ops::RangeInclusive<u64> = 100_000..=1_000_000;

/// Plans the batches of these runs on, from their configurations and data; those of which that is not
/// possible are named, and their shapes extrapolated from the steps of the run.
pub(super) fn forecasts(runs: &[&Run], n_step: Option<u64>) -> Forecasts {
    let n_step = n_step.unwrap_or_default().clamp(*N_STEP.start(), *N_STEP.end());
    let mut loaded = Loaded::default();
    let mut forecasts = Forecasts::new();
    for run in runs {
        let id = &run.run.run_id;
        match loaded.forecast(run, n_step) {
            Ok(curve) => {
                forecasts.insert(id.clone(), curve);
            }
            Err(error) => say!(
                "the shapes of {} are extrapolated from the steps of its runs, as its batches cannot be planned: \
                 {error:#}",
                run.run.batcher
            ),
        }
    }
    forecasts
}

/// The training subsets so far, by data, split and seed.
#[derive(Default)]
struct Loaded(HashMap<String, (Graphs, View)>);

impl Loaded {
    fn forecast(&mut self, run: &Run, n_step: u64) -> Result<ShapeCurve> {
        let path = run.dir.join("runs").join(&run.run.run_id).join("config.toml");
        let file = StudyFile::read(Some(&path), &[], DEFAULTS)?;
        let asked = file.to_forecast(&[], &[])?;
        let asked = asked.first().context("the configuration has no data set")?;
        let batcher = asked.batchers.first().context("the configuration has no batcher")?;
        let of = |key: &str| run.config[key].to_string();
        let key = [of("dataset"), of("split"), asked.seeds.split.to_string()].join(" ");
        if !self.0.contains_key(&key) {
            self.0.insert(key.clone(), training_view(&path, asked)?);
        }
        let (_, view) = &self.0[&key];
        Ok(shape_curve(&**batcher, view, asked.seeds.order, n_step)?)
    }
}
