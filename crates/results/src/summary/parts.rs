//! What the time of an output is spent on.

use batchlab_core::record::StepRecord;
use serde::Serialize;

/// Mean nanoseconds of training per output, and what they were spent on. The parts add up to the
/// whole: all but `new_shapes` are those of steps whose shape had appeared before, and `new_shapes`
/// is what the other steps cost more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parts {
    /// The whole.
    pub total: f64,
    /// Deciding what is in a batch; 0 if another thread does it.
    pub planning: f64,
    /// Copying and padding; 0 if another thread does it.
    pub collation: f64,
    /// Waiting for a batch that another thread prepares.
    pub waiting: f64,
    /// Everything else: the work on the device.
    pub work: f64,
    /// What first uses of shapes cost. None: more than half of the steps had a new shape, so that
    /// there is nothing to compare them with; the cost is in the other parts.
    pub new_shapes: Option<f64>,
    /// Parts of the work; none with `timing = "combined"`.
    pub device: Option<DeviceTimes>,
    /// Outputs in a step.
    pub outputs_per_step: f64,
}

/// Parts of the work on the device, in nanoseconds per output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeviceTimes {
    /// Copying to the device.
    pub upload: f64,
    /// Predictions and loss.
    pub forward: f64,
    /// Gradients.
    pub backward: f64,
    /// Change of the parameters.
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
        // A stage that is not timed on its own adds nothing to its sum.
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

/// All steps of a run, and among them those whose shape had appeared before.
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

    /// None without outputs.
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
