//! Breakdown of the time per output.

use batchlab_core::record::StepRecord;
use serde::Serialize;

/// Mean training time per output in nanoseconds, and its breakdown. The parts add up to the total:
/// all parts except `new_shapes` are taken from steps with a known shape, and `new_shapes` is the
/// excess of the other steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parts {
    /// Total.
    pub total: f64,
    /// Deciding the content of a batch; 0 if done by another thread.
    pub planning: f64,
    /// Copying and padding; 0 if done by another thread.
    pub collation: f64,
    /// Waiting for a batch prepared by another thread.
    pub waiting: f64,
    /// Everything else: work on the device.
    pub work: f64,
    /// Cost of first uses of shapes. `None`: more than half of the steps had a new shape, so that
    /// there is no basis for comparison; the cost is included in the other parts.
    pub new_shapes: Option<f64>,
    /// Breakdown of the work; `None` with `timing = "combined"`.
    pub device: Option<DeviceTimes>,
    /// Mean number of outputs per step.
    pub outputs_per_step: f64,
}

/// Breakdown of the work on the device, in nanoseconds per output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeviceTimes {
    /// Copying to the device.
    pub upload: f64,
    /// Computing predictions and loss.
    pub forward: f64,
    /// Computing gradients.
    pub backward: f64,
    /// Updating the parameters.
    pub optimiser: f64,
}

/// Sums over steps.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    n_step: f64,
    n_output: f64,
    total: f64,
    planning: f64,
    collation: f64,
    waiting: f64,
    device: [f64; 4],
}

impl Sum {
    fn add(&mut self, step: &StepRecord) {
        // A stage without its own timing adds nothing.
        let ns = |time: Option<i64>| time.unwrap_or(0) as f64;
        self.n_step += 1.0;
        self.n_output += step.n_output as f64;
        self.total += step.step_ns as f64;
        self.planning += ns(step.plan_ns);
        self.collation += ns(step.collate_ns);
        self.waiting += ns(step.wait_ns);
        for (sum, time) in self.device.iter_mut().zip(device_times(step)) {
            *sum += ns(time);
        }
    }
}

fn device_times(step: &StepRecord) -> [Option<i64>; 4] {
    [step.upload_ns, step.forward_ns, step.backward_ns, step.optimiser_ns]
}

/// Sums over all steps of a run, and over those with a known shape.
#[derive(Debug, Clone, Default)]
pub(super) struct PartSums {
    all: Sum,
    known: Sum,
    has_device: bool,
}

impl PartSums {
    pub(super) fn add(&mut self, step: &StepRecord) {
        self.has_device |= device_times(step).iter().any(Option::is_some);
        self.all.add(step);
        if !step.is_new_shape {
            self.known.add(step);
        }
    }

    /// `None` without outputs.
    pub(super) fn reduce(&self, is_serial: bool) -> Option<Parts> {
        let (all, known) = (&self.all, &self.known);
        if all.n_output <= 0.0 {
            return None;
        }
        let is_told = known.n_step * 2.0 >= all.n_step && known.n_output > 0.0;
        let typical = if is_told { known } else { all };
        let per_graph = |sum: f64| sum / typical.n_output;
        let in_step = |sum: f64| if is_serial { per_graph(sum) } else { 0.0 };
        let total = all.total / all.n_output;
        let (planning, collation) = (in_step(typical.planning), in_step(typical.collation));
        let waiting = per_graph(typical.waiting);
        let [upload, forward, backward, optimiser] = typical.device.map(per_graph);
        Some(Parts {
            total,
            planning,
            collation,
            waiting,
            work: per_graph(typical.total) - planning - collation - waiting,
            new_shapes: is_told.then(|| total - per_graph(typical.total)),
            device: self.has_device.then_some(DeviceTimes { upload, forward, backward, optimiser }),
            outputs_per_step: all.n_output / all.n_step,
        })
    }
}
