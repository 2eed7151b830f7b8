//! Plans when strategies meet new padded shapes in a training longer than their runs.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use batchlab_config::Config;
use batchlab_core::{Batcher, Dataset, View};
use batchlab_forecast::census::ShapeCurve;
use batchlab_forecast::shape_curve;
use batchlab_report::Run;
use serde_json::Value;

use crate::plan::training_view;
use crate::say::say;

/// Range of the number of steps to plan; beyond it, shapes are extrapolated.
const N_STEP: std::ops::RangeInclusive<u64> = 100_000..=1_000_000;

/// Plans further batches of runs, from their configurations and data.
pub(super) struct Planner {
    n_step: u64,
    /// Cached training subsets, by data, split and seed.
    views: RefCell<HashMap<String, View>>,
    /// Reasons why runs could not be planned, with the number of runs.
    failed: RefCell<BTreeMap<String, usize>>,
}

impl Planner {
    pub(super) fn new(n_step: Option<u64>) -> Self {
        let n_step = n_step.unwrap_or_default().clamp(*N_STEP.start(), *N_STEP.end());
        Self { n_step, views: RefCell::default(), failed: RefCell::default() }
    }

    pub(super) fn plan(&self, run: &Run) -> Option<ShapeCurve> {
        let note = |error| *self.failed.borrow_mut().entry(format!("{error:#}")).or_default() += 1;
        self.curve(run).map_err(note).ok()
    }

    pub(super) fn say_what_failed(&self) {
        for (reason, n) in &*self.failed.borrow() {
            say!(
                "note: the shapes of {n} strategies are extrapolated from the steps of their runs, as their batches \
                 cannot be planned: {reason}"
            );
        }
    }

    fn curve(&self, run: &Run) -> Result<ShapeCurve> {
        let Config { dataset, batcher, split, training, .. } = serde_json::from_value::<
            Config<Box<dyn Dataset>, Value, Box<dyn Batcher>, Value>,
        >(run.config.clone())?;
        let of = |key: &str| run.config[key].to_string();
        let key = [of("dataset"), of("split"), training.seeds.split.to_string()].join(" ");
        let mut views = self.views.borrow_mut();
        let view = match views.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let (_, view) =
                    training_view(Path::new(""), &*dataset, split, training.seeds.split)?;
                place.insert(view)
            }
        };
        Ok(shape_curve(&*batcher, view, training.seeds.order, self.n_step)?)
    }
}
