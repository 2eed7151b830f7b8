//! The batch of every graph, for each pass through the data.

use std::collections::{HashMap, HashSet};

use batchlab_core::{BatchPlan, Shape};

use crate::shuffle::{ABSENT, Shuffle, autocorrelation, inclusion_by_decile, pair_recurrence};
use crate::totals::outputs;

/// Follows a stream through its epochs.
///
/// A graph that is drawn in one epoch and delivered in the next belongs to the *pass* in which it
/// was drawn; the stream's cursor lists such graphs as carried.
pub(crate) struct Passes {
    /// Index in the view by graph ID; `ABSENT` for other graphs.
    place: Vec<u32>,
    /// Size of each graph of the view, used to form deciles.
    size: Vec<u32>,
    n_pass: u64,
    /// Batch of each graph in each pass.
    label: Vec<Vec<u32>>,
    /// Deliveries of each graph in the first `n_pass` passes.
    included: Vec<u64>,
    epoch: u64,
    /// Graphs carried into this epoch and not delivered yet.
    carried: HashMap<u32, u32>,
    n_batch: u32,
    batches_in_complete_epochs: u64,
    batches_in_epoch: u64,
    shapes_in_epoch: HashSet<Shape>,
    shapes_in_complete_epochs: u64,
    epochs_with_batches: u64,
    mean_size: Vec<f64>,
}

impl Passes {
    pub(crate) fn new(id: &[u32], size: Vec<u32>, n_pass: u64) -> Self {
        let mut place = vec![ABSENT; id.iter().max().map_or(0, |&largest| largest as usize + 1)];
        for (at, &id) in id.iter().enumerate() {
            place[id as usize] = at as u32;
        }
        Self {
            place,
            label: vec![vec![ABSENT; size.len()]; n_pass as usize],
            included: vec![0; size.len()],
            size,
            n_pass,
            epoch: 0,
            carried: HashMap::new(),
            n_batch: 0,
            batches_in_complete_epochs: 0,
            batches_in_epoch: 0,
            shapes_in_epoch: HashSet::new(),
            shapes_in_complete_epochs: 0,
            epochs_with_batches: 0,
            mean_size: Vec::new(),
        }
    }

    /// Adds the next batch of the stream. `counted`: whether it is one of the steps of the
    /// forecast.
    pub(crate) fn add(&mut self, plan: &BatchPlan, real: Shape, counted: bool) {
        if plan.cursor.epoch > self.epoch {
            self.start_epoch(plan);
        }
        self.batches_in_epoch += 1;
        self.shapes_in_epoch.insert(plan.shape);
        if counted {
            self.mean_size.push(f64::from(real.n_node) / f64::from(real.n_output.max(1)));
        }
        if self.epoch < self.n_pass || !self.carried.is_empty() {
            outputs(plan).for_each(|id| self.deliver(id));
        }
        self.n_batch += 1;
    }

    fn deliver(&mut self, id: u32) {
        let was_carried = !self.carried.is_empty() && self.take_carried(id);
        let pass = if was_carried { self.epoch - 1 } else { self.epoch };
        let place = self.place.get(id as usize).copied().unwrap_or(ABSENT);
        if pass < self.n_pass && place != ABSENT {
            self.label[pass as usize][place as usize] = self.n_batch;
            self.included[place as usize] += 1;
        }
    }

    fn take_carried(&mut self, id: u32) -> bool {
        let Some(times) = self.carried.get_mut(&id) else { return false };
        *times -= 1;
        if *times == 0 {
            self.carried.remove(&id);
        }
        true
    }

    fn start_epoch(&mut self, plan: &BatchPlan) {
        self.batches_in_complete_epochs += self.batches_in_epoch;
        self.shapes_in_complete_epochs += self.shapes_in_epoch.len() as u64;
        self.epochs_with_batches += u64::from(self.batches_in_epoch > 0);
        self.batches_in_epoch = 0;
        self.shapes_in_epoch.clear();
        self.epoch = plan.cursor.epoch;
        self.carried.clear();
        for &id in &plan.cursor.carried {
            *self.carried.entry(id).or_default() += 1;
        }
    }

    /// Whether all passes have been followed to their end.
    pub(crate) fn are_complete(&self) -> bool {
        self.epoch > self.n_pass || self.epoch == self.n_pass && self.carried.is_empty()
    }

    /// Batches per epoch, over all complete epochs.
    pub(crate) fn steps_per_epoch(&self) -> f64 {
        self.batches_in_complete_epochs as f64 / self.epoch.max(1) as f64
    }

    /// Distinct shapes per epoch, mean over all complete epochs.
    pub(crate) fn shapes_per_epoch(&self) -> f64 {
        self.shapes_in_complete_epochs as f64 / self.epochs_with_batches.max(1) as f64
    }

    pub(crate) fn shuffle(&self) -> Shuffle {
        let recurrence = pair_recurrence(&self.label);
        Shuffle {
            pair_recurrence: recurrence.map(|(ratio, _)| ratio),
            pair_recurrence_error: recurrence.map(|(_, error)| error),
            size_autocorrelation: autocorrelation(&self.mean_size),
            inclusion_by_decile: inclusion_by_decile(&self.size, &self.included, self.n_pass),
            n_epoch: self.n_pass,
        }
    }
}
