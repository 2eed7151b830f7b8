//! Recorded steps, which the device replays.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use batchlab_core::ModelError;

use crate::batch::Layout;
use crate::matrix::engine;
use crate::{Backend, Buffer};

/// A layout is recorded when it occurs for this time. On an H100, recording a step takes 1.3 to 2 ms
/// longer than the step itself, and a replay saves 0.45 ms: waiting until about as much has been
/// lost never costs more than twice the least, whether or not the layout occurs again.
const RECORDED_AT: u32 = 4;
/// Maximum number of recorded steps.
const MOST_STEPS: usize = 256;
/// Maximum memory of their gradients: each step has its own.
const MOST_BYTES: usize = 1 << 30;
/// A recorded step makes room for another one when it has not been used in this many steps. With
/// more shapes than there is room for, replacing them earlier would record most steps in vain.
const IDLE_STEPS: u64 = 2048;
/// Maximum number of remembered layouts, which are recorded if they recur.
const MOST_LAYOUTS: usize = 4096;

/// Recorded training steps, by the layout of their batch.
pub(super) struct RecordedSteps<D: Backend> {
    steps: HashMap<Layout, Rc<RecordedStep<D>>>,
    last_use: HashMap<Layout, u64>,
    n_use: u64,
    /// How often each layout has occurred.
    met: HashMap<Layout, u32>,
    most_steps: usize,
    is_on: bool,
    // Dropped last, as the steps use it.
    memory: Rc<RefCell<D::RecordingMemory>>,
}

/// Forward and backward of one step, and where they store their results.
pub(super) struct RecordedStep<D: Backend> {
    pub(super) forward: D::Recording,
    pub(super) backward: D::Recording,
    pub(super) loss: D::PendingLoss,
    pub(super) gradients: Rc<Vec<Buffer<D>>>,
}

/// How to process a batch.
pub(super) enum Way<D: Backend> {
    /// A regular pass.
    Plain,
    /// Record first, then launch.
    Record(Layout),
    /// Launch a recorded step.
    Repeat(Rc<RecordedStep<D>>),
}

impl<D: Backend> RecordedSteps<D> {
    /// Steps of a model with `n_parameter` parameters. Records nothing unless `is_on`.
    pub(super) fn new(is_on: bool, n_parameter: usize) -> Self {
        Self {
            steps: HashMap::new(),
            last_use: HashMap::new(),
            n_use: 0,
            met: HashMap::new(),
            most_steps: MOST_STEPS.min(MOST_BYTES / (4 * n_parameter.max(1))),
            is_on,
            memory: Rc::default(),
        }
    }

    pub(super) fn way(&mut self, device: &D, layout: impl FnOnce() -> Option<Layout>) -> Way<D> {
        let is_on = self.is_on && device.records();
        let Some(layout) = is_on.then(layout).flatten() else { return Way::Plain };
        self.n_use += 1;
        if let Some(step) = self.steps.get(&layout) {
            self.last_use.insert(layout, self.n_use);
            return Way::Repeat(Rc::clone(step));
        }
        if self.met.len() == MOST_LAYOUTS {
            self.met.clear();
        }
        let n_time = self.met.entry(layout).or_default();
        *n_time += 1;
        if *n_time < RECORDED_AT || !self.make_room() { Way::Plain } else { Way::Record(layout) }
    }

    /// Whether another step can be recorded, in place of an idle one if need be.
    fn make_room(&mut self) -> bool {
        if self.steps.len() < self.most_steps {
            return true;
        }
        let oldest = self.last_use.iter().min_by_key(|(_, last_use)| **last_use);
        let Some((&oldest, _)) =
            oldest.filter(|(_, last_use)| **last_use + IDLE_STEPS < self.n_use)
        else {
            return false;
        };
        self.steps.remove(&oldest);
        self.last_use.remove(&oldest);
        true
    }

    pub(super) fn memory(&self) -> Rc<RefCell<D::RecordingMemory>> {
        Rc::clone(&self.memory)
    }

    pub(super) fn keep(&mut self, layout: Layout, step: Rc<RecordedStep<D>>) {
        self.steps.insert(layout, step);
        self.last_use.insert(layout, self.n_use);
    }

    /// Stops recording from now on.
    pub(super) fn turn_off(&mut self) {
        self.is_on = false;
    }

    /// Forgets everything: the memory that it uses is gone.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.last_use.clear();
        self.met.clear();
    }
}

/// Records `work` without executing it.
pub(super) fn record<D: Backend, R>(
    device: &D,
    memory: &RefCell<D::RecordingMemory>,
    work: impl FnOnce() -> Result<R, ModelError>,
) -> Result<(R, D::Recording), ModelError> {
    let (mut work, mut result) = (Some(work), None);
    let recording = device.record(&mut memory.borrow_mut(), &mut || {
        let work = work.take().ok_or_else(|| engine("work is recorded once"))?;
        result = Some(work()?);
        Ok(())
    })?;
    let result = result.ok_or_else(|| engine("a device has recorded nothing"))?;
    Ok((result, recording))
}
