//! What the time of a real graph is spent on, by the clock.

use serde::Serialize;

/// Mean nanoseconds of training per real graph, and what they were spent on. The parts add up to the
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
    pub device: Option<Device>,
    /// Real graphs in a step.
    pub graphs_per_step: f64,
}

/// Parts of the work on the device, in nanoseconds per real graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Device {
    /// Copying to the device.
    pub upload: f64,
    /// Predictions and loss.
    pub forward: f64,
    /// Gradients.
    pub backward: f64,
    /// Change of the parameters.
    pub optimiser: f64,
}

/// One step. Nanoseconds.
pub(super) struct Sample {
    pub(super) total: f64,
    pub(super) planning: f64,
    pub(super) collation: f64,
    pub(super) waiting: f64,
    pub(super) device: [Option<f64>; 4],
    pub(super) n_graph: f64,
    pub(super) is_new_shape: bool,
}

/// Sums over steps.
#[derive(Default, Clone, Copy)]
struct Sum {
    n_step: f64,
    n_graph: f64,
    total: f64,
    planning: f64,
    collation: f64,
    waiting: f64,
    device: [f64; 4],
}

impl Sum {
    fn add(&mut self, step: &Sample) {
        self.n_step += 1.0;
        self.n_graph += step.n_graph;
        self.total += step.total;
        self.planning += step.planning;
        self.collation += step.collation;
        self.waiting += step.waiting;
        for (sum, ns) in self.device.iter_mut().zip(step.device) {
            *sum += ns.unwrap_or(0.0);
        }
    }
}

/// All steps of a run, and among them those whose shape had appeared before.
#[derive(Default)]
pub(super) struct Sums {
    all: Sum,
    known: Sum,
    has_device: bool,
}

impl Sums {
    pub(super) fn add(&mut self, step: &Sample) {
        self.has_device |= step.device.iter().any(Option::is_some);
        self.all.add(step);
        if !step.is_new_shape {
            self.known.add(step);
        }
    }

    /// None without real graphs.
    pub(super) fn reduce(&self, is_serial: bool) -> Option<Parts> {
        let (all, known) = (&self.all, &self.known);
        if all.n_graph <= 0.0 {
            return None;
        }
        let is_told = known.n_step * 2.0 >= all.n_step && known.n_graph > 0.0;
        let typical = if is_told { known } else { all };
        let per_graph = |sum: f64| sum / typical.n_graph;
        let in_step = |sum: f64| if is_serial { per_graph(sum) } else { 0.0 };
        let total = all.total / all.n_graph;
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
            device: self.has_device.then_some(Device { upload, forward, backward, optimiser }),
            graphs_per_step: all.n_graph / all.n_step,
        })
    }
}
