//! Compares messages computed block by block with the same operations one by one.

use crate::common::{
    FEATURE_WIDTH, N_CLASS, batch_of, collated, collated_of, context, device, graphs, needs,
    numbers,
};
use batchlab_core::model::{Loss, Mode, NamedTensor, Slot};
use batchlab_core::plan::Shape;
use batchlab_core::{BatchBuffer, ModelError, PaddedBatch, Trainer, random};
use batchlab_tensor::{
    Activation, Aggregate, Backend, DeviceBatch, Direction, GaussianBasis, Initial, Linear, Matrix,
    Message, Network, Parameter, ParameterBuilder, Pass, Perceptron, open,
};

/// The components of the messages.
#[derive(Debug, Clone, Copy)]
struct Case {
    width: usize,
    n_gaussian: usize,
    activation: Activation,
    bias: bool,
    aggregate: Aggregate,
    direction: Direction,
}

const CASE: Case = Case {
    width: 16,
    n_gaussian: 60,
    activation: Activation::ShiftedSoftplus,
    bias: false,
    aggregate: Aggregate::Mean,
    direction: Direction::ToReceiver,
};

/// Two rounds of messages with an edge state, using every operation.
struct Probe {
    case: Case,
    /// Computed in blocks, or with separate operations.
    in_blocks: bool,
    embedding: Parameter,
    features: Linear,
    filter: Perceptron,
    ends: [Linear; 2],
    edge: Linear,
    gate: Linear,
    again: Linear,
    output: Linear,
}

impl Probe {
    fn new(case: Case, in_blocks: bool, p: &mut ParameterBuilder) -> Self {
        let Case { width, n_gaussian, activation, bias, .. } = case;
        let linear = |p: &mut ParameterBuilder, name: &str, n_in, n_out, activation| {
            let layer = Linear::new(p, name, n_in, n_out, activation);
            if bias { layer.with_bias(p) } else { layer }
        };
        let filter =
            Perceptron::new(p, "filter", &[n_gaussian, 2 * width, width], activation, activation);
        Self {
            case,
            in_blocks,
            embedding: p.matrix("embedding", [N_CLASS, width], Initial::XavierUniform),
            features: linear(p, "features", FEATURE_WIDTH, width, Activation::Identity),
            filter: if bias { filter.with_bias(p) } else { filter },
            ends: [
                linear(p, "from", width, width, Activation::Identity),
                linear(p, "to", width, width, Activation::Identity),
            ],
            edge: linear(p, "edge", width, width, Activation::Identity),
            gate: linear(p, "gate", width, width, activation),
            again: linear(p, "again", width, width, Activation::Identity),
            output: linear(p, "output", width, 1, Activation::Identity),
        }
    }

    fn basis(&self) -> GaussianBasis {
        GaussianBasis { n: self.case.n_gaussian, first: 0.0, spacing: 0.1, coefficient: 10.0 }
    }

    /// The nodes' changes and the edges' states.
    fn blocks<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let Case { activation, aggregate, direction, .. } = self.case;
        let [a, b] = [self.ends[0].forward(pass, node)?, self.ends[1].forward(pass, node)?];
        let mut edge = Message::new(batch, direction)?;
        let gaussians = edge.gaussians(batch.distance()?, &self.basis());
        let filter = self.filter.on_edges(pass, &mut edge, gaussians);
        let filter = edge.scale(filter, batch.distance()?);
        let [from, to] = [edge.from(&a), edge.to(&b)];
        let state = edge.sum(&[filter, from, to], activation);
        let gate = self.gate.on_edges(pass, &mut edge, state);
        let sent = edge.from(node);
        let message = edge.product(gate, sent);
        let (received, state) = pass.message_and_edges(edge, message, aggregate, state)?;

        let mut edge = Message::new(batch, direction)?;
        let state = edge.stored(&state);
        let changed = self.edge.on_edges(pass, &mut edge, state);
        let received_there = edge.to(&received);
        let looked_up = self.again.on_edges(pass, &mut edge, received_there);
        let sum = edge.sum(&[changed, state, looked_up], Activation::Identity);
        let message = edge.product(sum, changed);
        let (changed, states) = pass.message_and_edges(edge, message, aggregate, sum)?;
        Ok([changed, states])
    }

    fn one_by_one<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let Case { activation, aggregate, direction, .. } = self.case;
        let [from, to] = match direction {
            Direction::ToReceiver => [batch.sender()?, batch.receiver()],
            Direction::ToSender => [batch.receiver(), batch.sender()?],
        };
        let [a, b] = [self.ends[0].forward(pass, node)?, self.ends[1].forward(pass, node)?];
        let gaussians = pass.gaussians(batch.distance()?, &self.basis())?;
        let filter = self.filter.forward(pass, &gaussians)?;
        let filter = pass.scale_rows(&filter, batch.distance()?)?;
        let state = pass.gather(&a, from)?;
        let state = pass.add(&filter, &state)?;
        let at_end = pass.gather(&b, to)?;
        let state = pass.add(&state, &at_end)?;
        let state = pass.activate(&state, activation)?;
        let gate = self.gate.forward(pass, &state)?;
        let sent = pass.gather(node, from)?;
        let message = pass.multiply(&gate, &sent)?;
        let received = pass.segment(&message, to, aggregate)?;

        let changed = self.edge.forward(pass, &state)?;
        let received_there = pass.gather(&received, to)?;
        let looked_up = self.again.forward(pass, &received_there)?;
        let sum = pass.add(&changed, &state)?;
        let sum = pass.add(&sum, &looked_up)?;
        let message = pass.multiply(&sum, &changed)?;
        let changed = pass.segment(&message, to, aggregate)?;
        Ok([changed, sum])
    }
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
        let [changed, state] = if self.in_blocks {
            self.blocks(pass, batch, &node)?
        } else {
            self.one_by_one(pass, batch, &node)?
        };
        let summed = pass.segment_mean(&state, batch.receiver())?;
        let node = pass.add(&changed, &summed)?;
        let output = self.output.forward(pass, &node)?;
        pass.segment_mean(&output, batch.graph())
    }
}

/// One graph of 6,000 nodes with random edges: tasks share all nodes.
fn one_large_graph(padding: Shape) -> BatchBuffer {
    let n = 6000;
    let mut rng = random::stream(7, "large", 0);
    let mut draw = |below: u64| random::below(&mut rng, below) as u32;
    let sender: Vec<u32> = (0..n).map(|_| draw(n)).collect();
    let receiver: Vec<u32> = (0..n).map(|_| draw(n)).collect();
    let distance: Vec<f32> = numbers("distance", n as usize).iter().map(|d| 4.0 * d).collect();
    let displacement: Vec<[f32; 3]> = distance.iter().map(|&d| [d, 0.0, 0.0]).collect();
    let class = (0..n).map(|_| draw(N_CLASS as u64)).collect();
    let n = [n as u32];
    let graphs =
        graphs(&n, &n, [&sender[..], &receiver], &distance, &displacement, class, vec![3.0]);
    batch_of(&graphs, &[0], Vec::new(), padding)
}

fn run(case: Case, in_blocks: bool, batch: &PaddedBatch<'_>) -> (Vec<f32>, Vec<NamedTensor>) {
    let mut trainer: Box<dyn Trainer> =
        open(&context(Loss::Mse, 1), needs(), |p| Probe::new(case, in_blocks, p))
            .expect("the processor is always there");
    trainer.upload(Slot::A, batch).expect("a complete batch");
    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).expect("predict");
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    trainer.backward(1.0).expect("backward");
    (prediction, trainer.gradients().expect("the device works"))
}

fn check(case: Case, buffer: &BatchBuffer) {
    let batch = buffer.batch();
    let (blocks, single) = (run(case, true, &batch), run(case, false, &batch));
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let near = |a: &[f32], b: &[f32], what: &str| {
        assert!(a.iter().chain(b).all(|x| x.is_finite()), "{case:?}: {what} is not finite");
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let error = largest(&difference) / largest(b);
        assert!(a.len() == b.len() && error < 1e-4, "{case:?}: {what} is off by {error:.1e}");
    };
    near(&blocks.0, &single.0, "the prediction");
    for (blocks, single) in blocks.1.iter().zip(&single.1) {
        assert!(largest(&single.data) > 0.0, "{} has a gradient", single.name);
        near(&blocks.data, &single.data, &single.name);
    }
}

#[test]
fn messages_in_both_directions() {
    for direction in [Direction::ToReceiver, Direction::ToSender] {
        for aggregate in [Aggregate::Mean, Aggregate::Sum] {
            check(Case { aggregate, direction, ..CASE }, &collated());
        }
    }
}

#[test]
fn widths_that_fill_no_vector_and_more_than_a_panel() {
    for width in [1, 7, 33, 100] {
        check(Case { width, ..CASE }, &collated());
    }
}

#[test]
fn biases_and_activations_that_keep_their_input() {
    for activation in [Activation::Silu, Activation::Relu, Activation::ShiftedSoftplus] {
        check(Case { bias: true, activation, ..CASE }, &collated());
    }
}

#[test]
fn bases_with_and_without_a_band() {
    for n_gaussian in [1, 20, 40, 56, 150] {
        check(Case { n_gaussian, ..CASE }, &collated());
    }
}

#[test]
fn one_graph_whose_tasks_share_all_nodes() {
    let buffer = one_large_graph(Shape::default());
    for direction in [Direction::ToReceiver, Direction::ToSender] {
        check(Case { direction, ..CASE }, &buffer);
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for buffer in [collated(), one_large_graph(Shape::default())] {
        let run = |n_thread: usize| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(n_thread).build().expect("a pool");
            pool.install(|| run(CASE, true, &buffer.batch()))
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one);
    }
}

/// Not on a real GPU: the library splits the sums of layers on nodes depending on the number of
/// rows.
#[test]
fn padding_behind_changes_no_bit() {
    if device() != "cpu" && !cfg!(feature = "cuda-check") {
        return;
    }
    let small = |padding| collated_of(&[0, 1, 2], padding);
    let batches: [&dyn Fn(Shape) -> BatchBuffer; 2] = [&small, &one_large_graph];
    for (batch, direction) in
        batches.into_iter().flat_map(|b| [(b, Direction::ToReceiver), (b, Direction::ToSender)])
    {
        let run = |padding| {
            let buffer = batch(padding);
            let case = Case { bias: true, direction, ..CASE };
            let (mut prediction, mut all) = run(case, true, &buffer.batch());
            prediction.truncate(buffer.batch().real.n_output as usize);
            all.push(NamedTensor {
                name: "prediction".into(),
                shape: Vec::new(),
                data: prediction,
            });
            all
        };
        let alone = run(Shape::default());
        for (n_node, n_edge) in [(1, 0), (1, 1), (40, 700), (300, 30_000)] {
            let found = run(Shape { n_node, n_edge, n_graph: 1, n_output: 1 });
            for (alone, found) in alone.iter().zip(&found) {
                let pairs = alone.data.iter().zip(&found.data);
                let n_other = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                let name = &alone.name;
                assert_eq!(n_other, 0, "{name}, {n_node} nodes, {n_edge} edges, {direction:?}");
            }
        }
    }
}

#[test]
fn narrower_vectors_give_the_same() {
    let program = std::env::current_exe().expect("this test");
    let narrower = if cfg!(target_arch = "x86_64") { "avx2" } else { "plain" };
    for (vectors, succeeds) in [("plain", true), (narrower, true), ("sse9", false)] {
        let run = std::process::Command::new(&program)
            .args([
                "--exact",
                "message::bases_with_and_without_a_band",
                "message::messages_in_both_directions",
            ])
            .env("BATCHLAB_VECTORS", vectors)
            // Vectors are those of the CPU, whatever device the other tests run on.
            .env("BATCHLAB_TEST_DEVICE", "cpu")
            .output()
            .expect("it runs again");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(run.status.success(), succeeds, "{vectors}: {text}");
        assert!(!succeeds || text.contains("2 passed"), "{text}");
        assert!(succeeds || text.contains("set it to plain"), "{text}");
    }
}

/// Unusual uses of values: a message that is a row of a node, one that is also returned per edge,
/// terms and factors that occur twice, Gaussians with two kinds of users.
struct Unusual {
    in_blocks: bool,
    embedding: Parameter,
    wide: Linear,
    filter: Linear,
    output: Linear,
}

const N_GAUSSIAN: usize = 60;

impl Unusual {
    fn new(in_blocks: bool, p: &mut ParameterBuilder) -> Self {
        let linear = |p: &mut ParameterBuilder, name: &str, n_in, n_out| {
            Linear::new(p, name, n_in, n_out, Activation::Identity)
        };
        Self {
            in_blocks,
            embedding: p.matrix("embedding", [N_CLASS, 8], Initial::XavierUniform),
            wide: linear(p, "wide", 8, N_GAUSSIAN),
            filter: linear(p, "filter", N_GAUSSIAN, 8),
            output: linear(p, "output", 8, 1),
        }
    }
}

impl Network for Unusual {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let basis = GaussianBasis { n: N_GAUSSIAN, first: 0.0, spacing: 0.1, coefficient: 10.0 };
        let (sender, receiver) = (batch.sender()?, batch.receiver());
        let node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        let wide = self.wide.forward(pass, &node)?;
        let (copied, squares, given) = if self.in_blocks {
            let mut edge = Message::new(batch, Direction::ToReceiver)?;
            let sent = edge.from(&node);
            let copied = pass.message(edge, sent, Aggregate::Mean)?;

            let mut edge = Message::new(batch, Direction::ToReceiver)?;
            let gaussians = edge.gaussians(batch.distance()?, &basis);
            let filter = self.filter.on_edges(pass, &mut edge, gaussians);
            let sent = edge.from(&wide);
            let weighted = edge.product(gaussians, sent);
            let weighted = self.filter.on_edges(pass, &mut edge, weighted);
            let there = edge.to(&node);
            let scaled = edge.scale(there, batch.distance()?);
            let sum = edge.sum(&[filter, filter, weighted, scaled], Activation::Identity);
            let square = edge.product(sum, sum);
            let (squares, given) = pass.message_and_edges(edge, square, Aggregate::Mean, square)?;
            (copied, squares, given)
        } else {
            let sent = pass.gather(&node, sender)?;
            let copied = pass.segment_mean(&sent, receiver)?;

            let gaussians = pass.gaussians(batch.distance()?, &basis)?;
            let filter = self.filter.forward(pass, &gaussians)?;
            let sent = pass.gather(&wide, sender)?;
            let weighted = pass.multiply(&gaussians, &sent)?;
            let weighted = self.filter.forward(pass, &weighted)?;
            let there = pass.gather(&node, receiver)?;
            let scaled = pass.scale_rows(&there, batch.distance()?)?;
            let sum = pass.add(&filter, &filter)?;
            let sum = pass.add(&sum, &weighted)?;
            let sum = pass.add(&sum, &scaled)?;
            let square = pass.multiply(&sum, &sum)?;
            (copied, pass.segment_mean(&square, receiver)?, square)
        };
        let given = pass.segment_mean(&given, sender)?;
        let sum = pass.add(&copied, &squares)?;
        let sum = pass.add(&sum, &given)?;
        let output = self.output.forward(pass, &sum)?;
        pass.segment_mean(&output, batch.graph())
    }
}

#[test]
fn unusual_uses_of_values() {
    let buffer = collated();
    let run = |in_blocks| {
        let mut trainer: Box<dyn Trainer> =
            open(&context(Loss::Mse, 1), needs(), |p| Unusual::new(in_blocks, p))
                .expect("it opens");
        trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
        let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward").mean();
        trainer.backward(1.0).expect("backward");
        (loss, trainer.gradients().expect("the device works"))
    };
    let (blocks, single) = (run(true), run(false));
    assert!((blocks.0 / single.0 - 1.0).abs() < 1e-5, "{} and {}", blocks.0, single.0);
    for (blocks, single) in blocks.1.iter().zip(&single.1) {
        let largest = single.data.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (a, b) in blocks.data.iter().zip(&single.data) {
            assert!((a - b).abs() <= 1e-4 * largest, "{}: {a} and {b} of {largest}", single.name);
        }
    }
}
