//! The same message on both devices.

use batchlab_core::model::{Loss, Mode, ModelContext, NamedTensor, Precision, Slot};
use batchlab_core::plan::Shape;
use batchlab_core::random::{self, below};
use batchlab_core::{BatchBuffer, Trainer};
use batchlab_tensor::open;

use super::case::Case;
use super::probe::Probe;
use crate::common::{N_CLASS, batch_of, context, graphs, needs, numbers};

/// Graphs with these numbers of nodes and edges, padded by one graph of three nodes and `padding`
/// edges. Node 0 of each receives at least `hub` of its edges; the last node has none.
pub(super) fn batch(sizes: &[(u32, u32)], hub: u32, padding: u32) -> BatchBuffer {
    let mut rng = random::stream(7, "edges", 0);
    let (mut sender, mut receiver) = (Vec::new(), Vec::new());
    for &(n_node, n_edge) in sizes {
        let mut draw = || below(&mut rng, u64::from(n_node.max(2) - 1)) as u32;
        for edge in 0..n_edge {
            sender.push(draw());
            receiver.push(if edge < hub { 0 } else { draw() });
        }
    }
    let n = sender.len();
    let distance: Vec<f32> = numbers("distance", n).iter().map(|d| 0.1 + 4.0 * d).collect();
    let along = numbers("along", 3 * n);
    let (along, _) = along.as_chunks::<3>();
    let displacement: Vec<[f32; 3]> = along.iter().map(|along| along.map(|x| x - 0.4)).collect();
    let [n_node, n_edge]: [Vec<u32>; 2] =
        [sizes.iter().map(|size| size.0).collect(), sizes.iter().map(|size| size.1).collect()];
    let n: u32 = n_node.iter().sum();
    let class = (0..n).map(|_| below(&mut rng, N_CLASS as u64) as u32).collect();
    let target = (0..sizes.len()).map(|i| 1.0 - i as f64).collect();
    let ends = [&sender[..], &receiver];
    let graphs = graphs(&n_node, &n_edge, ends, &distance, &displacement, class, target);
    let ids: Vec<u32> = (0..sizes.len() as u32).collect();
    let padding = Shape { n_node: 3, n_edge: padding, n_graph: 1, n_output: 1 };
    batch_of(&graphs, &ids, Vec::new(), padding)
}

pub(super) fn run(case: &Case, device: &str, buffer: &BatchBuffer) -> (Vec<f32>, Vec<NamedTensor>) {
    run_in(Precision::F32, case, device, buffer)
}

pub(super) fn run_in(
    precision: Precision,
    case: &Case,
    device: &str,
    buffer: &BatchBuffer,
) -> (Vec<f32>, Vec<NamedTensor>) {
    let context = ModelContext { device: device.into(), precision, ..context(Loss::Mse, 1) };
    let mut trainer: Box<dyn Trainer> =
        open(&context, needs(), |p| Probe::new(case, p)).expect("the device is there");
    trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).expect("predict");
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    trainer.backward(1.0).expect("backward");
    (prediction, trainer.gradients().expect("the device works"))
}

pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

pub(super) fn check(case: &Case, buffer: &BatchBuffer) {
    check_in(Precision::F32, case, buffer);
}

/// Compares results on a GPU in this precision with single precision on a CPU.
pub(super) fn check_in(precision: Precision, case: &Case, buffer: &BatchBuffer) {
    let tolerance = match precision {
        Precision::F32 => 1e-4,
        Precision::Tf32 => 5e-3,
        Precision::Bf16 => 4e-2,
    };
    let (cpu, cuda) = (run(case, "cpu", buffer), run_in(precision, case, "cuda:0", buffer));
    let near = |a: &[f32], b: &[f32], scale: f32, what: &str| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!(
                b.is_finite() && (a - b).abs() <= tolerance * scale,
                "{what}: {a} and {b} in {precision:?}; {case:?}"
            );
        }
    };
    near(&cuda.0, &cpu.0, largest(&cpu.0), "the prediction");
    let all = cpu.1.iter().map(|gradient| largest(&gradient.data)).fold(0.0, f32::max);
    for (cuda, cpu) in cuda.1.iter().zip(&cpu.1) {
        // A gradient that is mere rounding is compared at the scale of the others.
        let scale = largest(&cpu.data).max(1e-3 * all);
        near(&cuda.data, &cpu.data, scale, &cpu.name);
    }
}

pub(super) fn small() -> BatchBuffer {
    batch(&[(5, 17), (9, 40), (4, 1)], 3, 9)
}
