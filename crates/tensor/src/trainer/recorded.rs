//! Recorded steps, which the device replays.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use batchlab_core::ModelError;
use batchlab_core::model::{Mode, Slot};

use super::{Forward, NetworkTrainer};
use crate::batch::Layout;
use crate::matrix::engine;
use crate::pass::backward;
use crate::{Backend, Buffer, Network};

/// A layout is recorded at this occurrence. On an H100, recording a step takes 1.3 to 2 ms longer
/// than the step itself, and a replay saves 0.45 ms. Waiting until about that much has been lost
/// never costs more than twice the minimum, whether or not the layout occurs again.
const RECORDED_AT: u32 = 4;
/// Maximum number of recorded steps.
const MOST_STEPS: usize = 256;
/// Maximum memory of their gradients: each step has its own.
const MOST_BYTES: usize = 1 << 30;
/// A recorded step may be replaced if it has not been used in this many steps. With more shapes
/// than there is room for, replacing them earlier would waste most recordings.
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

impl<N: Network, D: Backend> NetworkTrainer<N, D> {
    /// Records a step and keeps it.
    pub(super) fn record(
        &mut self,
        slot: Slot,
        key: u64,
        layout: Layout,
    ) -> Result<Option<Rc<RecordedStep<D>>>, ModelError> {
        let begin = Instant::now();
        let Some(step) = self.recording_of(slot, key)?.map(Rc::new) else { return Ok(None) };
        self.recorded.keep(layout, Rc::clone(&step));
        self.recording_ns = u64::try_from(begin.elapsed().as_nanos()).ok();
        Ok(Some(step))
    }

    /// Records forward and backward without executing either. Both must be recorded together: dfdx
    /// writes to memory that it hands out, even if the recorded work still needs the previous content.
    fn recording_of(&self, slot: Slot, key: u64) -> Result<Option<RecordedStep<D>>, ModelError> {
        let (device, memory) = (self.parameters.device(), self.recorded.memory());
        let pass = || self.pass(slot, Mode::Training, key);
        let (Forward { loss, tape, .. }, forward) = record(device, &memory, pass)?;
        let Some(tape) = tape else { return Ok(None) };
        let follow = || backward(tape, &self.parameters);
        let (gradients, backward) = record(device, &memory, follow)?;
        Ok(Some(RecordedStep { forward, backward, loss, gradients: Rc::new(gradients) }))
    }

    /// Records again what is about to be replayed, and compares: a recording must not depend on the
    /// values of the batch that it was made with.
    #[cfg(feature = "cuda-check")]
    pub(super) fn check_recording(
        &self,
        slot: Slot,
        key: u64,
        known: &RecordedStep<D>,
    ) -> Result<(), ModelError> {
        let Some(now) = crate::emulation::uncounted(|| self.recording_of(slot, key))? else {
            return Err(ModelError::Engine("a recorded step can no longer be recorded".into()));
        };
        let pieces = [
            ("forward", &known.forward, &now.forward),
            ("backward", &known.backward, &now.backward),
        ];
        for (piece, known, now) in pieces {
            if let Some(difference) = D::difference(known, now) {
                let message = format!("a recorded step, {piece}, is not what it was: {difference}");
                return Err(ModelError::Engine(message));
            }
        }
        Ok(())
    }
}

/// Records `work` without executing it.
fn record<D: Backend, R>(
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
