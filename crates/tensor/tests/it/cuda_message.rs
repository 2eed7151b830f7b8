//! Compares messages on a real or emulated GPU with the same messages on the CPU.
//!
//! `cargo test -p batchlab-tensor --features cuda-check --test it cuda_message::`

#![cfg(feature = "cuda")]

use crate::common::{FEATURE_WIDTH, N_CLASS, batch_of, context, graphs, needs, numbers};
use batchlab_core::model::{Loss, Mode, ModelContext, NamedTensor, Precision, Slot};
use batchlab_core::plan::Shape;
use batchlab_core::random::{self, below};
use batchlab_core::{BatchBuffer, ModelError, Trainer};
use batchlab_tensor::{
    Activation, Aggregate, Backend, DeviceBatch, Direction, EdgeValue, GaussianBasis, Initial,
    Linear, Matrix, Message, Network, Parameter, ParameterBuilder, Pass, open,
};

#[derive(Debug, Clone)]
enum Step {
    Gaussians(usize),
    From(usize),
    To(usize),
    Stored(usize),
    Linear { input: usize, width: usize, bias: bool, activation: Activation },
    Sum(Vec<usize>, Activation),
    Product(usize, usize),
    Scale(usize),
    Equivariant(usize),
}

#[derive(Debug, Clone)]
struct Case {
    steps: Vec<Step>,
    message: usize,
    edge: Option<usize>,
    aggregate: Aggregate,
    direction: Direction,
}

impl Case {
    fn new(steps: Vec<Step>) -> Self {
        let message = steps.len() - 1;
        let (aggregate, direction) = (Aggregate::Mean, Direction::ToReceiver);
        Self { steps, message, edge: None, aggregate, direction }
    }

    fn width(&self, v: usize) -> usize {
        match &self.steps[v] {
            Step::Gaussians(width)
            | Step::From(width)
            | Step::To(width)
            | Step::Stored(width)
            | Step::Linear { width, .. } => *width,
            Step::Sum(terms, _) => self.width(terms[0]),
            Step::Product(input, _) | Step::Scale(input) => self.width(*input),
            Step::Equivariant(input) => self.width(*input) / 3 * 4,
        }
    }

    fn tracked(&self, v: usize) -> bool {
        match &self.steps[v] {
            Step::Gaussians(_) => false,
            Step::Scale(input) => self.tracked(*input),
            Step::Sum(terms, _) => terms.iter().any(|&term| self.tracked(term)),
            Step::Product(a, b) => self.tracked(*a) || self.tracked(*b),
            _ => true,
        }
    }

    /// A random message of up to a dozen steps.
    fn random(seed: u64) -> Self {
        const WIDTHS: [usize; 6] = [1, 3, 6, 7, 20, 33];
        const ACTIVATIONS: [Activation; 4] =
            [Activation::Identity, Activation::ShiftedSoftplus, Activation::Silu, Activation::Relu];
        let mut rng = random::stream(seed, "program", 0);
        let mut draw = |n: usize| below(&mut rng, n as u64) as usize;
        let mut case = Self::new(vec![Step::Gaussians(WIDTHS[draw(6)])]);
        while case.steps.len() < 12 && (case.steps.len() < 4 || draw(9) > 0) {
            let n = case.steps.len();
            let alike: Vec<usize> = {
                let width = case.width(draw(n));
                (0..n).filter(|&v| case.width(v) == width).collect()
            };
            let one = alike[draw(alike.len())];
            let step = match draw(12) {
                0 => Step::Gaussians(WIDTHS[draw(6)]),
                1 => Step::From(case.width(one)),
                2 => Step::To(case.width(one)),
                3 => Step::Stored(case.width(one)),
                4..=6 => Step::Linear {
                    input: draw(n),
                    width: WIDTHS[draw(6)],
                    bias: draw(2) == 0,
                    activation: ACTIVATIONS[draw(4)],
                },
                7 | 8 => {
                    let terms = (0..=draw(3)).map(|_| alike[draw(alike.len())]).collect();
                    Step::Sum(terms, ACTIVATIONS[draw(4)])
                }
                9 => Step::Product(one, alike[draw(alike.len())]),
                10 if case.width(one).is_multiple_of(3) => Step::Equivariant(one),
                _ => Step::Scale(one),
            };
            case.steps.push(step);
        }
        let tracked: Vec<usize> = (0..case.steps.len()).filter(|&v| case.tracked(v)).collect();
        if let Some(&last) = tracked.last() {
            // Mostly the last step, so that all others may contribute to it.
            case.message = if draw(4) > 0 { last } else { tracked[draw(tracked.len())] };
        } else {
            case.steps.push(Step::From(6));
            case.message = case.steps.len() - 1;
        }
        case.edge = (draw(2) == 0).then(|| draw(case.steps.len()));
        case.aggregate = if draw(2) == 0 { Aggregate::Mean } else { Aggregate::Sum };
        case.direction = if draw(2) == 0 { Direction::ToReceiver } else { Direction::ToSender };
        case
    }
}

struct Probe {
    case: Case,
    embedding: Parameter,
    features: Linear,
    /// For each step that needs one: the layer that produces the rows that it looks up, or its own.
    layers: Vec<Option<Linear>>,
    output: Linear,
    of_edge: Option<Linear>,
}

const WIDTH: usize = 5;

impl Probe {
    fn new(case: &Case, p: &mut ParameterBuilder) -> Self {
        let layers = case.steps.iter().enumerate().map(|(v, step)| {
            let name = format!("step.{v}");
            let mut layer = |n_in, n_out, activation| {
                Linear::with_initial(p, &name, [n_in, n_out], activation, Initial::XavierUniform)
            };
            match step {
                Step::From(width) | Step::To(width) | Step::Stored(width) => {
                    Some(layer(WIDTH, *width, Activation::Identity))
                }
                Step::Equivariant(input) => {
                    Some(layer(1, case.width(*input) / 3, Activation::Identity))
                }
                Step::Linear { input, width, bias, activation } => {
                    let layer = layer(case.width(*input), *width, *activation);
                    Some(if *bias { layer.with_bias(p) } else { layer })
                }
                _ => None,
            }
        });
        let layers = layers.collect();
        let linear = |p: &mut ParameterBuilder, name: &str, n_in, n_out| {
            Linear::new(p, name, n_in, n_out, Activation::Identity)
        };
        Self {
            embedding: p.matrix("embedding", [N_CLASS, WIDTH], Initial::XavierUniform),
            features: linear(p, "features", FEATURE_WIDTH, WIDTH),
            layers,
            output: linear(p, "output", case.width(case.message), 1),
            of_edge: case.edge.map(|edge| linear(p, "edge", case.width(edge), 1)),
            case: case.clone(),
        }
    }

    fn step<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
        edge: &mut Message<D>,
        values: &[EdgeValue],
    ) -> Result<EdgeValue, ModelError> {
        let v = values.len();
        let layer = self.layers[v].as_ref();
        Ok(match &self.case.steps[v] {
            Step::Gaussians(n) => edge.gaussians(batch.distance()?, &basis(*n)),
            Step::From(_) => edge.from(&layer.expect("a layer").forward(pass, node)?),
            Step::To(_) => edge.to(&layer.expect("a layer").forward(pass, node)?),
            Step::Stored(_) => {
                let rows = pass.gaussians(batch.distance()?, &basis(WIDTH))?;
                edge.stored(&layer.expect("a layer").forward(pass, &rows)?)
            }
            Step::Linear { input, .. } => {
                layer.expect("a layer").on_edges(pass, edge, values[*input])
            }
            Step::Sum(terms, activation) => {
                let terms: Vec<EdgeValue> = terms.iter().map(|&term| values[term]).collect();
                edge.sum(&terms, *activation)
            }
            Step::Product(a, b) => edge.product(values[*a], values[*b]),
            Step::Scale(input) => edge.scale(values[*input], batch.distance()?),
            Step::Equivariant(input) => {
                let n = 3 * node.n_row();
                let component = numbers("vector", n).iter().map(|v| 4.0 * v - 1.0).collect();
                let component = Matrix::constant(pass.device(), component, [n, 1])?;
                let vectors = layer.expect("a layer").forward(pass, &component)?;
                let vectors = edge.vectors_from(&vectors);
                edge.equivariant(values[*input], vectors, batch.displacement()?)
            }
        })
    }
}

/// With few Gaussians, they are wide enough to be non-zero for all distances: rectified values
/// would be noise around 0. With many, they are those of the study, most of which are 0 at any
/// distance.
fn basis(n: usize) -> GaussianBasis {
    let (spacing, coefficient) =
        if n < 100 { (4.0 / n as f32, 0.1 * n as f32) } else { (0.1, 10.0) };
    GaussianBasis { n, first: 0.0, spacing, coefficient }
}

impl Network for Probe {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        let features = self.features.forward(pass, batch.node_feature()?)?;
        let node = pass.add(&node, &features)?;
        let mut edge = Message::new(batch, self.case.direction)?;
        let mut values = Vec::new();
        for _ in &self.case.steps {
            let value = self.step(pass, batch, &node, &mut edge, &values)?;
            values.push(value);
        }
        let (message, aggregate) = (values[self.case.message], self.case.aggregate);
        let Some(given) = self.case.edge else {
            let received = pass.message(edge, message, aggregate)?;
            let output = self.output.forward(pass, &received)?;
            return pass.segment_mean(&output, batch.graph());
        };
        let (received, given) = pass.message_and_edges(edge, message, aggregate, values[given])?;
        let output = self.output.forward(pass, &received)?;
        let of_edge = self.of_edge.as_ref().expect("a layer").forward(pass, &given)?;
        let of_edge = pass.segment_mean(&of_edge, batch.sender()?)?;
        let sum = pass.add(&output, &of_edge)?;
        pass.segment_mean(&sum, batch.graph())
    }
}

/// Graphs with these numbers of nodes and edges, padded by one graph of three nodes and `padding`
/// edges. Node 0 of each receives at least `hub` of its edges; the last node has none.
fn batch(sizes: &[(u32, u32)], hub: u32, padding: u32) -> BatchBuffer {
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

fn run(case: &Case, device: &str, buffer: &BatchBuffer) -> (Vec<f32>, Vec<NamedTensor>) {
    run_in(Precision::F32, case, device, buffer)
}

fn run_in(
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

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn check(case: &Case, buffer: &BatchBuffer) {
    check_in(Precision::F32, case, buffer);
}

/// Compares results on a GPU in this precision with single precision on a CPU.
fn check_in(precision: Precision, case: &Case, buffer: &BatchBuffer) {
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

fn linear(input: usize, width: usize, activation: Activation) -> Step {
    Step::Linear { input, width, bias: true, activation }
}

fn schnet(n_gaussian: usize, width: usize) -> Case {
    Case::new(vec![
        Step::Gaussians(n_gaussian),
        linear(0, width, Activation::ShiftedSoftplus),
        linear(1, width, Activation::ShiftedSoftplus),
        Step::Scale(2),
        Step::From(width),
        Step::Product(3, 4),
    ])
}

/// A step of a message-passing network with edge updates: the first, on distances.
fn edge_updates(n_gaussian: usize, width: usize) -> Case {
    edge_updates_of(Step::Gaussians(n_gaussian), width)
}

fn edge_updates_of(edge: Step, width: usize) -> Case {
    let steps = vec![
        edge,
        linear(0, 2 * width, Activation::Identity),
        Step::From(2 * width),
        Step::To(2 * width),
        Step::Sum(vec![1, 2, 3], Activation::ShiftedSoftplus),
        linear(4, width, Activation::Identity),
        linear(5, width, Activation::ShiftedSoftplus),
        linear(6, width, Activation::ShiftedSoftplus),
        Step::From(width),
        Step::Product(7, 8),
    ];
    Case { edge: Some(5), ..Case::new(steps) }
}

fn painn(n_gaussian: usize, width: usize, activation: Activation) -> Case {
    let steps = vec![
        Step::Gaussians(n_gaussian),
        linear(0, 3 * width, activation),
        Step::Scale(1),
        Step::From(3 * width),
        Step::Product(2, 3),
        Step::Equivariant(4),
    ];
    let (aggregate, direction) = (Aggregate::Sum, Direction::ToSender);
    Case { aggregate, direction, ..Case::new(steps) }
}

fn small() -> BatchBuffer {
    batch(&[(5, 17), (9, 40), (4, 1)], 3, 9)
}

/// Number of random programs to try: compiling one takes seconds for an emulated GPU.
const N_PROGRAM: &str = "BATCHLAB_TEST_PROGRAMS";

#[test]
fn random_programs() {
    let n = std::env::var(N_PROGRAM).map_or(20, |n| n.parse().expect("a number of programs"));
    let buffer = small();
    (0..n).for_each(|seed| check(&Case::random(seed), &buffer));
}

#[test]
fn the_models_at_their_widths() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    check(&schnet(150, 64), &buffer);
    check(&edge_updates(150, 64), &buffer);
    let middle = edge_updates_of(Step::Stored(64), 64);
    check(&Case { edge: None, ..middle.clone() }, &buffer);
    check(&middle, &buffer);
    check(&painn(20, 256, Activation::Identity), &buffer);
    // As in the study: layers without biases, no cutoff.
    let mut plain = [schnet(150, 64), edge_updates(150, 64), middle.clone(), middle];
    plain[3].edge = None;
    for case in &mut plain {
        for step in &mut case.steps {
            match step {
                Step::Linear { bias, .. } => *bias = false,
                Step::Scale(_) => *step = Step::Sum(vec![2], Activation::Identity),
                _ => {}
            }
        }
        check(case, &buffer);
    }
}

#[test]
fn the_models_on_tensor_cores() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    let middle = edge_updates_of(Step::Stored(64), 64);
    let painn = painn(20, 256, Activation::Identity);
    for precision in [Precision::Tf32, Precision::Bf16] {
        for case in [&schnet(150, 64), &edge_updates(150, 64), &middle, &painn] {
            check_in(precision, case, &buffer);
        }
    }
}

/// Widths that are not multiples of the tile sizes of tensor cores, and programs of all kinds,
/// except steps whose gradient jumps where a sum changes sign.
#[test]
fn all_widths_on_tensor_cores() {
    let buffer = small();
    let n = std::env::var(N_PROGRAM).map_or(8, |n| n.parse().expect("a number of programs"));
    let mut cases: Vec<Case> = (0..n).map(Case::random).collect();
    for step in cases.iter_mut().flat_map(|case| &mut case.steps) {
        if let Step::Linear { activation, .. } | Step::Sum(_, activation) = step
            && *activation == Activation::Relu
        {
            *activation = Activation::Silu;
        }
    }
    cases.extend([schnet(150, 33), edge_updates(100, 3), painn(40, 131, Activation::Silu)]);
    for (case, precision) in cases.iter().zip([Precision::Tf32, Precision::Bf16].iter().cycle()) {
        check_in(*precision, case, &buffer);
    }
}

/// Errors within the tolerance of the other tests.
#[test]
fn gaussians_are_left_out_where_they_are_nothing() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    let [cpu, cuda] = ["cpu", "cuda:0"].map(|device| run(&schnet(150, 64), device, &buffer).0);
    let scale = largest(&cpu);
    for (cuda, cpu) in cuda.iter().zip(&cpu) {
        assert!((cuda - cpu).abs() <= 2e-6 * scale, "{cuda} and {cpu}");
    }
}

#[test]
fn wide_messages() {
    let buffer = small();
    check(&schnet(150, 384), &buffer);
    check(&edge_updates(7, 150), &buffer);
    // Split into blocks of columns, the last of them partial; with and without kept sums.
    for activation in [Activation::Silu, Activation::Relu, Activation::Identity] {
        for width in [128, 130, 131] {
            check(&painn(40, width, activation), &buffer);
        }
    }
}

#[test]
fn widths_around_the_shared_memory_that_everyone_has() {
    // Tiles plus other shared memory of the kernels: just below, at and just above 48 KiB.
    let buffer = batch(&[(5, 17)], 3, 2);
    for n_gaussian in [17, 18, 20, 269, 273, 276] {
        check(&schnet(n_gaussian, 64), &buffer);
    }
    for width in [61, 62, 67] {
        check(&edge_updates(150, width), &buffer);
    }
    for n_gaussian in [45, 49, 52] {
        check(&painn(n_gaussian, 96, Activation::Identity), &buffer);
    }
}

#[test]
fn numbers_of_edges_around_a_tile() {
    for n_edge in [0, 1, 2, 31, 32, 33, 63, 64, 65, 96] {
        for direction in [Direction::ToReceiver, Direction::ToSender] {
            let buffer = batch(&[(7, n_edge)], 0, 0);
            check(&Case { direction, ..schnet(100, 7) }, &buffer);
            check(&Case { direction, ..edge_updates(100, 3) }, &buffer);
        }
    }
}

#[test]
fn a_hub() {
    let buffer = batch(&[(40, 12_000), (5, 20)], 11_000, 700);
    for direction in [Direction::ToReceiver, Direction::ToSender] {
        for aggregate in [Aggregate::Mean, Aggregate::Sum] {
            check(&Case { aggregate, direction, ..edge_updates(100, 4) }, &buffer);
        }
    }
}

/// Bits of everything.
fn digest(case: &Case, buffer: &BatchBuffer) -> Vec<u32> {
    let (prediction, gradients) = run(case, "cuda:0", buffer);
    let gradients = gradients.iter().flat_map(|gradient| &gradient.data);
    prediction.iter().chain(gradients).map(|x| x.to_bits()).collect()
}

#[test]
fn the_same_bits_every_time() {
    let buffer = batch(&[(40, 900), (5, 20)], 500, 100);
    let cases = || [schnet(100, 16), edge_updates(20, 8), painn(20, 128, Activation::Identity)];
    let all: Vec<u32> = cases().iter().flat_map(|case| digest(case, &buffer)).collect();
    let again: Vec<u32> = cases().iter().flat_map(|case| digest(case, &buffer)).collect();
    assert!(all == again);
    let sum = all.iter().fold(17_u64, |sum, &x| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(x));
    // Blocks and threads in other orders, if the GPU is emulated.
    match std::env::var("BATCHLAB_TEST_BITS") {
        Ok(expected) => assert_eq!(expected, sum.to_string()),
        Err(_) => {
            for (seed, blocks) in [("2", "one"), ("3", "random"), ("4", "barriers")] {
                let set = [
                    ("BATCHLAB_TEST_BITS", sum.to_string()),
                    ("EMULATED_CUDA_SEED", seed.into()),
                    ("EMULATED_CUDA_BLOCKS", blocks.into()),
                ];
                again_with("the_same_bits_every_time", set);
            }
        }
    }
}

#[test]
fn with_more_blocks_on_a_processor() {
    let variables = [("BATCHLAB_CUDA_BLOCKS", "4".to_owned())];
    again_with("the_models_at_their_widths", variables);
}

#[cfg(feature = "cuda-check")]
#[test]
fn with_little_shared_memory() {
    // Smaller tiles.
    for test in ["random_programs", "the_models_at_their_widths", "all_widths_on_tensor_cores"] {
        let variables = [("EMULATED_CUDA_SHARED", "100000"), (N_PROGRAM, "5")];
        again_with(test, variables.map(|(name, value)| (name, value.to_owned())));
    }
}

#[cfg(feature = "cuda-check")]
#[test]
fn messages_too_wide_for_the_gpu_are_refused() {
    let variables = [("EMULATED_CUDA_SHARED", "8000".to_owned())];
    let run = again("the_models_at_their_widths", variables);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(!run.status.success() && text.contains("bytes of shared memory per block"), "{text}");
}

fn again_with<const N: usize>(test: &str, variables: [(&str, String); N]) {
    let run = again(test, variables);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && text.contains("1 passed"), "{test}: {text}");
}

/// Runs one of these tests in a separate process.
fn again<const N: usize>(test: &str, variables: [(&str, String); N]) -> std::process::Output {
    let program = std::env::current_exe().expect("this test");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", &format!("cuda_message::{test}")]).envs(variables);
    command.output().expect("it runs again")
}

/// Without a barrier, the emulated GPU finds a race, an unwritten number or a wrong result: of each
/// barrier of messages' kernels, unless it is known not to be needed.
#[cfg(feature = "cuda-check")]
mod barriers {
    use std::collections::BTreeMap;
    use std::process::{Command, Output};

    use super::*;

    /// Names the case that a process is to run.
    const CASE: &str = "BATCHLAB_TEST_CASE";

    /// Barriers whose removal changes nothing.
    const NOT_NEEDED: [&str; 7] = [
        // The body of the loop over tiles ends with a barrier, which the next tile begins with,
        // too, and so does what follows the loop. One of the two would do.
        "find_rows 1",
        "message_forward: The nodes receive step #.",
        "message_backward: The gradients of the layer of step #, # to #.",
        // There is a barrier after each action, but these and the next one have no tile in common
        // in which one of them writes. (In the middle update, the second is the end of the loop.)
        "message_forward: Step # is given out edge by edge.",
        "message_backward: From the gradient of step #.",
        "message_backward: The gradient of step #, given out.",
        // Makes a warp converge for tensor cores, which does not concern memory; lanes of the
        // emulated GPU wait for each other there anyway.
        "add_products 1",
    ];

    fn cases() -> Vec<(&'static str, Precision, Case)> {
        let middle = edge_updates_of(Step::Stored(12), 12);
        let painn_96 = painn(20, 96, Activation::Silu);
        vec![
            ("schnet", Precision::F32, schnet(100, 12)),
            ("schnet, tf32", Precision::Tf32, schnet(100, 12)),
            ("first update", Precision::F32, edge_updates(100, 12)),
            ("first update, bf16", Precision::Bf16, edge_updates(100, 12)),
            ("middle update", Precision::F32, middle.clone()),
            ("middle update, tf32", Precision::Tf32, middle),
            ("painn", Precision::F32, painn_96.clone()),
            ("painn, tf32", Precision::Tf32, painn_96),
            ("painn in blocks of columns", Precision::F32, painn(40, 131, Activation::Silu)),
        ]
    }

    fn run(name: &str) {
        let case = cases().into_iter().find(|(known, ..)| *known == name);
        let (_, precision, case) = case.expect("a known case");
        // More tiles than blocks.
        check_in(precision, &case, &batch(&[(6, 30), (40, 4_300)], 20, 10));
    }

    /// Runs a case in a process of its own, under the checks.
    fn run_again(case: &str, variable: (&str, &str)) -> Output {
        let test = "cuda_message::barriers::each_is_needed";
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(CASE, case);
        command.envs([("EMULATED_CUDA_CHECK", "races"), ("BATCHLAB_CUDA_BLOCKS", "1"), variable]);
        command.output().expect("it runs again")
    }

    /// The source of a case that has all of its kernels.
    fn source(case: &str) -> String {
        let folder = std::env::temp_dir().join(format!("barriers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let whole = run_again(case, ("BATCHLAB_CUDA_SOURCES", &folder.to_string_lossy()));
        assert!(whole.status.success(), "{case}: {}", String::from_utf8_lossy(&whole.stderr));
        let files = std::fs::read_dir(&folder).expect("sources").flatten();
        let sources: Vec<String> =
            files.map(|file| std::fs::read_to_string(file.path()).expect("a source")).collect();
        std::fs::remove_dir_all(&folder).expect("the folder");
        let both = sources.into_iter().find(|source| source.contains("message_backward"));
        both.expect("a source for training")
    }

    /// Its barriers, in order: the function of a template and a number, or the kernel and the comment
    /// before it.
    fn barriers(source: &str) -> Vec<String> {
        let (mut function, mut comment, mut n) = ("", "", 0);
        let mut found = Vec::new();
        for line in source.lines() {
            let (code, rest) = line.split_once("//").unwrap_or((line, ""));
            if code.contains("__device__") || code.contains("__global__") {
                let head = code.rsplit_once("BLOCKS) ").map_or(code, |(_, kernel)| kernel);
                let head =
                    head.rsplit_once("_bounds__(THREADS) ").map_or(head, |(_, kernel)| kernel);
                let head = head.split('(').next().unwrap_or(head);
                function = head.rsplit(' ').next().unwrap_or(head);
                (comment, n) = ("", 0);
            }
            if code.trim().is_empty() && !rest.is_empty() {
                comment = rest.trim();
            }
            for _ in code.matches("__syncthreads();").chain(code.matches("__syncwarp();")) {
                n += 1;
                let is_generated = function.starts_with("message_");
                let place = if is_generated { format!(": {comment}") } else { format!(" {n}") };
                found.push(format!("{function}{place}"));
            }
        }
        found
    }

    /// Numbers of steps and widths do not matter.
    fn without_numbers(place: &str) -> String {
        let mut short = String::new();
        for letter in place.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
            if letter != '#' || !short.ends_with('#') {
                short.push(letter);
            }
        }
        short
    }

    #[test]
    #[ignore = "takes ten minutes"]
    fn each_is_needed() {
        if let Ok(case) = std::env::var(CASE) {
            return run(&case);
        }
        // A function of a template is not called in every case.
        let mut is_noticed: BTreeMap<String, bool> = BTreeMap::new();
        for (case, ..) in cases() {
            for (i, place) in barriers(&source(case)).into_iter().enumerate() {
                let which = format!("message_backward:{}", i + 1);
                let run = run_again(case, ("EMULATED_CUDA_WITHOUT", &which));
                let text = String::from_utf8_lossy(&run.stderr).into_owned();
                assert!(!text.contains("no such barrier"), "{which} of {case}: {place}");
                let noticed = !run.status.success();
                let how = text.lines().find(|line| line.contains("emulated GPU"));
                println!(
                    "{case}, {place}: {}",
                    if noticed { how.unwrap_or("wrong") } else { "NOT NOTICED" }
                );
                let key = if place.contains(':') { format!("{place} ({case})") } else { place };
                *is_noticed.entry(key).or_default() |= noticed;
            }
        }
        let is_known = |place: &str| {
            NOT_NEEDED
                .iter()
                .any(|known| *known == place || without_numbers(place).starts_with(known))
        };
        let unknown =
            is_noticed.into_iter().filter(|(place, noticed)| !noticed && !is_known(place));
        let unknown: Vec<String> = unknown.map(|(place, _)| place).collect();
        assert!(unknown.is_empty(), "removed unnoticed: {unknown:#?}");
    }
}
