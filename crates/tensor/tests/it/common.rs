//! A batch with all fields, and a network that uses every operation.

#![allow(dead_code, reason = "each test file uses a part")]

use batchlab_core::graphs::{
    Edges, Graphs, Level, ManyGraphs, NodeClass, NodeFeature, StoredEdges, Target, Topology,
};
use batchlab_core::model::{Loss, LossSum, Mode, ModelContext, Slot};
use batchlab_core::plan::{BatchPlan, Shape};
use batchlab_core::{
    BatchBuffer, BatchFields, ModelError, PaddedBatch, Trainer, View, collate, random,
};
use batchlab_tensor::{
    Activation, Aggregate, Backend, DeviceBatch, Direction, GaussianBasis, Initial, Linear, Matrix,
    Message, Network, Normalise, Parameter, ParameterBuilder, Pass, Perceptron, open,
};

pub(crate) const N_CLASS: usize = 3;
pub(crate) const FEATURE_WIDTH: usize = 5;

pub(crate) fn needs() -> BatchFields {
    BatchFields {
        node_class: true,
        node_feature: true,
        sparse_feature: false,
        distance: true,
        displacement: true,
        sender_order: true,
        own: Vec::new(),
        edge_weight: false,
    }
}

/// Selects the device for tests; `cpu` if unset.
const DEVICE: &str = "BATCHLAB_TEST_DEVICE";

pub(crate) fn device() -> String {
    std::env::var(DEVICE).unwrap_or_else(|_| "cpu".into())
}

pub(crate) fn context(loss: Loss, output_width: usize) -> ModelContext {
    ModelContext {
        device: device(),
        n_node_class: N_CLASS,
        node_feature_width: FEATURE_WIDTH,
        output_width,
        loss,
        ..ModelContext::default()
    }
}

/// Random numbers between 0 and 1.
pub(crate) fn numbers(purpose: &str, n: usize) -> Vec<f32> {
    let mut rng = random::stream(7, purpose, 0);
    (0..n).map(|_| random::below(&mut rng, 1 << 20) as f32 / (1 << 20) as f32).collect()
}

/// Three graphs with asymmetric edges, one of them with a hub of 1,500 edges, padded by 40 nodes
/// and 2,000 edges; targets are classes 0 to 3, which also serve as numbers.
pub(crate) fn collated() -> BatchBuffer {
    collated_of(&[0, 1, 2], PADDING)
}

pub(crate) const PADDING: Shape = Shape { n_node: 40, n_edge: 2000, n_graph: 2, n_output: 2 };

/// The same with some of the three graphs and this much padding.
pub(crate) fn collated_of(members: &[u32], padding: Shape) -> BatchBuffer {
    let n_node = [6_u32, 1600, 9];
    let n_edge = [17_u32, 1700, 30];
    let mut rng = random::stream(7, "edges", 0);
    let (mut sender, mut receiver) = (Vec::new(), Vec::new());
    for (graph, (&nodes, &edges)) in n_node.iter().zip(&n_edge).enumerate() {
        for edge in 0..edges {
            let hub = graph == 1 && edge < 1500;
            sender.push(random::below(&mut rng, u64::from(nodes)) as u32);
            receiver.push(if hub { 4 } else { random::below(&mut rng, u64::from(nodes)) as u32 });
        }
    }
    let total = sender.len();
    let distance: Vec<f32> = numbers("distance", total).iter().map(|d| 4.0 * d).collect();
    let along = numbers("along", 3 * total);
    let (along, _) = along.as_chunks::<3>();
    let displacement: Vec<[f32; 3]> =
        distance.iter().zip(along).map(|(d, along)| along.map(|x| d * (x - 0.4))).collect();
    let nodes = n_node.iter().sum::<u32>();
    let class = (0..nodes).map(|_| random::below(&mut rng, N_CLASS as u64) as u32).collect();
    let ends = [&sender[..], &receiver];
    let target = vec![0.0, 3.0, 1.0];
    let graphs = graphs(&n_node, &n_edge, ends, &distance, &displacement, class, target);
    let weight = members.iter().map(|&id| [1.0, 0.5, 2.0][id as usize]).collect();
    batch_of(&graphs, members, weight, padding)
}

/// Graphs with features; edges and nodes are listed graph by graph.
pub(crate) fn graphs(
    n_node: &[u32],
    n_edge: &[u32],
    [sender, receiver]: [&[u32]; 2],
    distance: &[f32],
    displacement: &[[f32; 3]],
    class: Vec<u32>,
    target: Vec<f64>,
) -> Graphs {
    let stored = StoredEdges::new(n_edge, sender, receiver, distance, displacement)
        .expect("edges of equal lengths");
    let many = ManyGraphs::new(n_node, Edges::Stored(stored)).expect("edges between nodes");
    let mut graphs = Graphs::new("fixture", Topology::Many(many)).expect("not empty");
    let value = numbers("feature", class.len() * FEATURE_WIDTH);
    let name = (0..N_CLASS).map(|k| k.to_string()).collect();
    graphs.node_class = Some(NodeClass { value: class, name });
    graphs.node_feature = Some(NodeFeature::Dense { value, width: FEATURE_WIDTH });
    graphs.target = Some(Target::regression("t", "eV", target));
    graphs
}

/// The batch of some graphs, with this much padding.
pub(crate) fn batch_of(
    graphs: &Graphs,
    members: &[u32],
    output_weight: Vec<f32>,
    padding: Shape,
) -> BatchBuffer {
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    let View::ManyGraphs(sizes) = graphs.view(members) else { panic!("many graphs") };
    for &size in sizes.iter() {
        plan.push_graph(size);
    }
    plan.output_weight = output_weight;
    let real = plan.real;
    plan.shape = Shape {
        n_node: real.n_node + padding.n_node,
        n_edge: real.n_edge + padding.n_edge,
        n_graph: real.n_graph + padding.n_graph,
        n_output: real.n_output + padding.n_output,
    };
    let mut buffer = BatchBuffer::new();
    collate(graphs, &plan, &needs(), &mut buffer).expect("the plan fits");
    buffer
}

/// The operation that a [`Probe`] tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Gather,
    SegmentSum,
    SegmentMean,
    SegmentMax,
    SegmentSoftmax,
    PropagateSum,
    PropagateMean,
    PropagateBack,
    Attend,
    HeadsAndRow,
    Normalise(Activation),
    Dropout,
    Linear(Activation),
    Activate(Activation),
    AddAndMultiply,
    ScaleRows,
    Rows,
    EquivariantMessage,
    EquivariantMessageBack,
    EquivariantUpdateOfScalars,
    EquivariantUpdateOfVectors,
    Dfdx,
    /// All of them.
    Everything,
}

/// A network around one operation.
pub(crate) struct Probe {
    operation: Operation,
    embedding: Parameter,
    class_filter: Parameter,
    mix: Linear,
    filter: Perceptron,
    gate: Linear,
    features: Linear,
    /// On two concatenated inputs of a node.
    joined: Parameter,
    /// Three filters of an edge in the last columns.
    filters: Parameter,
    triple: Linear,
    mixing: Linear,
    gates: Linear,
    /// For senders and for receivers.
    attention: [Parameter; 2],
    /// Scale and offset.
    norm: [Parameter; 2],
    pub(crate) output: Linear,
}

pub(crate) const WIDTH: usize = 6;
/// Limit for changes of scalars and vectors: far from nearly all of them, as a finite difference
/// across it is not a gradient.
const LIMIT: f32 = 20.0;

impl Probe {
    pub(crate) fn new(operation: Operation, output_width: usize, p: &mut ParameterBuilder) -> Self {
        let activation = match operation {
            Operation::Linear(activation) => activation,
            _ => Activation::Silu,
        };
        let xavier = |p: &mut ParameterBuilder, name: &str, shape| {
            p.matrix(name, shape, Initial::XavierUniform)
        };
        Self {
            operation,
            embedding: xavier(p, "embedding", [N_CLASS, WIDTH]),
            class_filter: xavier(p, "class_filter", [N_CLASS, WIDTH]),
            mix: Linear::new(p, "mix", WIDTH, WIDTH, activation).with_bias(p),
            filter: Perceptron::new(
                p,
                "filter",
                &[20, WIDTH, WIDTH],
                Activation::ShiftedSoftplus,
                Activation::Identity,
            ),
            gate: Linear::new(p, "gate", WIDTH, 1, Activation::Silu),
            features: Linear::new(p, "features", FEATURE_WIDTH, WIDTH, Activation::Identity),
            joined: xavier(p, "joined", [2 * WIDTH, WIDTH]),
            filters: xavier(p, "filters", [WIDTH, 4 * WIDTH]),
            triple: Linear::new(p, "triple", WIDTH, 3 * WIDTH, Activation::Identity),
            mixing: Linear::new(p, "mixing", WIDTH, 2 * WIDTH, Activation::Identity),
            gates: Linear::new(p, "gates", 2 * WIDTH, 3 * WIDTH, Activation::Silu),
            attention: ["att_sender", "att_receiver"].map(|name| xavier(p, name, [2, WIDTH / 2])),
            norm: [p.scale("norm.scale", WIDTH), p.bias("norm.offset", WIDTH)],
            output: Linear::new(p, "output", WIDTH, output_width, Activation::Identity)
                .with_bias(p),
        }
    }
}

impl Network for Probe {
    #[allow(clippy::too_many_lines, reason = "one arm per operation")]
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let class = batch.node_class()?;
        let node = pass.gather(pass.parameter(self.embedding), class)?;
        let features = self.features.forward(pass, batch.node_feature()?)?;
        let node = pass.add(&node, &features)?;
        let node = match self.operation {
            Operation::Gather => {
                let sent = pass.gather(&node, batch.sender()?)?;
                pass.segment_sum(&sent, batch.receiver())?
            }
            Operation::SegmentSum => {
                let received = pass.gather(&node, batch.receiver())?;
                pass.segment_sum(&received, batch.sender()?)?
            }
            Operation::SegmentMean => {
                let received = pass.gather(&node, batch.receiver())?;
                pass.segment_mean(&received, batch.sender()?)?
            }
            Operation::SegmentMax => {
                let filter = self.edge_filter(pass, batch)?;
                largest_at_receiver(pass, batch, &filter)?
            }
            Operation::SegmentSoftmax => self.attention(pass, batch, &node)?,
            Operation::Everything => {
                let filter = self.edge_filter(pass, batch)?;
                let sent = pass.gather(&node, batch.sender()?)?;
                let sent = pass.multiply(&filter, &sent)?;
                let received = pass.segment_mean(&sent, batch.receiver())?;
                let mixed = self.mix.forward(pass, &received)?;
                let mixed = pass.activate(&mixed, Activation::ShiftedSoftplus)?;
                pass.add(&node, &mixed)?
            }
            Operation::PropagateSum => {
                let (from, to) = (batch.sender()?, batch.receiver());
                pass.propagate(&node, Some(batch.distance()?), from, to, Aggregate::Sum)?
            }
            Operation::PropagateMean => {
                pass.propagate(&node, None, batch.sender()?, batch.receiver(), Aggregate::Mean)?
            }
            Operation::PropagateBack => {
                let (from, to) = (batch.receiver(), batch.sender()?);
                pass.propagate(&node, Some(batch.distance()?), from, to, Aggregate::Mean)?
            }
            Operation::Attend => {
                let scores = self.attention.map(|p| pass.head_scores(&node, pass.parameter(p)));
                let [theirs, own] = scores;
                let scores = [&theirs?, &own?];
                pass.attend(&node, scores, batch.sender()?, batch.receiver())?
            }
            Operation::HeadsAndRow => {
                let mixed = self.mixing.forward(pass, &node)?;
                let mean = pass.mean_of_heads(&mixed, 2)?;
                let mean = pass.add_row(&mean, pass.parameter(self.norm[1]))?;
                pass.multiply(&mean, &mean)?
            }
            Operation::Normalise(activation) => {
                let norm = Some(self.norm.map(|p| pass.parameter(p)));
                let with = Normalise { norm, activation, dropout: 0.0, node: None };
                pass.normalise(&node, &with)?
            }
            Operation::Dropout => {
                let norm = Some(self.norm.map(|p| pass.parameter(p)));
                let activation = Activation::Elu;
                let with = Normalise { norm, activation, dropout: 0.3, node: None };
                let x = pass.normalise(&node, &with)?;
                let with = Normalise { norm: None, activation, dropout: 0.3, node: None };
                pass.normalise(&x, &with)?
            }
            Operation::Linear(_) => self.mix.forward(pass, &node)?,
            Operation::Activate(activation) => pass.activate(&node, activation)?,
            Operation::AddAndMultiply => {
                let other = pass.gather(pass.parameter(self.class_filter), class)?;
                let product = pass.multiply(&node, &other)?;
                let square = pass.multiply(&node, &node)?;
                pass.add(&product, &square)?
            }
            Operation::ScaleRows => {
                let filter = self.edge_filter(pass, batch)?;
                let filter = pass.scale_rows(&filter, batch.distance()?)?;
                let received = pass.segment_mean(&filter, batch.receiver())?;
                let factor = self.gate.forward(pass, &received)?;
                pass.scale_rows(&node, &factor)?
            }
            Operation::Rows => {
                let other = pass.gather(pass.parameter(self.class_filter), class)?;
                let weight = pass.parameter(self.joined);
                let weights = pass.blocks_of_rows(weight, vec![0..WIDTH, WIDTH..2 * WIDTH])?;
                let first = pass.linear(&node, &weights[0], None, Activation::Silu)?;
                let second = pass.linear(&other, &weights[1], None, Activation::Silu)?;
                pass.add(&first, &second)?
            }
            Operation::EquivariantMessage => {
                let [s, v] = self.vectors(pass, batch, &node, Direction::ToReceiver)?;
                self.scalars_and_norms(pass, &s, &v)?
            }
            Operation::EquivariantMessageBack => {
                let [s, v] = self.vectors(pass, batch, &node, Direction::ToSender)?;
                self.scalars_and_norms(pass, &s, &v)?
            }
            Operation::EquivariantUpdateOfScalars | Operation::EquivariantUpdateOfVectors => {
                let [s, v] = self.vectors(pass, batch, &node, Direction::ToReceiver)?;
                let mixed = self.mixing.forward(pass, &v)?;
                let context = pass.norms_beside(&s, &mixed, 0.1)?;
                let gates = self.gates.forward(pass, &context)?;
                let [ds, dv] = pass.equivariant_update([&s, &v], &gates, &mixed, LIMIT)?;
                if self.operation == Operation::EquivariantUpdateOfScalars {
                    ds
                } else {
                    let mixed = self.mixing.forward(pass, &dv)?;
                    let both = pass.norms_beside(&s, &mixed, 0.1)?;
                    pass.columns(&both, WIDTH..2 * WIDTH)?
                }
            }
            Operation::Dfdx => {
                let other = pass.gather(pass.parameter(self.class_filter), class)?;
                pass.dfdx(&node, |x| (x.sin() * other.tensor().clone()).square())?
            }
        };
        let output = self.output.forward(pass, &node)?;
        pass.segment_mean(&output, batch.graph())
    }
}

impl Probe {
    /// Scalars and vectors after two layers: the first creates vectors from zeros, as in PaiNN.
    fn vectors<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
        direction: Direction,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let zeros = Matrix::zeros(pass.device(), [3 * node.n_row(), WIDTH])?;
        let [s, v] = self.equivariant_layer(pass, batch, [node, &zeros], direction)?;
        self.equivariant_layer(pass, batch, [&s, &v], direction)
    }

    fn equivariant_layer<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        [node, vectors]: [&Matrix<D>; 2],
        direction: Direction,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let geometry = pass.edge_geometry(batch.displacement()?, 1e-4, 3.0)?;
        let filter = self.edge_filter(pass, batch)?;
        let weight = pass.columns(pass.parameter(self.filters), WIDTH..4 * WIDTH)?;
        let sent = self.triple.forward(pass, node)?;

        let mut edge = Message::new(batch, direction)?;
        let filter = edge.stored(&filter);
        let filter = edge.linear(filter, &weight, None, Activation::Identity);
        let filter = edge.scale(filter, &geometry.cutoff);
        let sent = edge.from(&sent);
        let value = edge.product(filter, sent);
        let of_sender = edge.vectors_from(vectors);
        let message = edge.equivariant(value, of_sender, &geometry.direction);
        let received = pass.message(edge, message, Aggregate::Sum)?;
        pass.add_received([node, vectors], &received, LIMIT)
    }

    fn scalars_and_norms<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        s: &Matrix<D>,
        v: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let mixed = self.mixing.forward(pass, v)?;
        let both = pass.norms_beside(s, &mixed, 0.1)?;
        let parts = pass.blocks_of_columns(&both, vec![0..WIDTH, WIDTH..2 * WIDTH])?;
        pass.add(&parts[0], &parts[1])
    }

    fn attention<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let filter = self.edge_filter(pass, batch)?;
        let attention = self.gate.forward(pass, &filter)?;
        let attention = pass.segment_softmax(&attention, batch.sender()?)?;
        let sent = pass.gather(node, batch.receiver())?;
        let sent = pass.scale_rows(&sent, &attention)?;
        pass.segment_sum(&sent, batch.sender()?)
    }

    fn edge_filter<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let basis = GaussianBasis { n: 20, first: 0.0, spacing: 0.2, coefficient: 5.0 };
        let gaussians = pass.gaussians(batch.distance()?, &basis)?;
        self.filter.forward(pass, &gaussians)
    }
}

/// The maximum rows of edges. Large constants, subtracted afterwards, decide which these are, so
/// that a small change of a parameter does not.
fn largest_at_receiver<D: Backend>(
    pass: &mut Pass<'_, D>,
    batch: &DeviceBatch<D>,
    edge: &Matrix<D>,
) -> Result<Matrix<D>, ModelError> {
    let n = edge.n_row() * edge.n_column();
    let constant = numbers("largest", n).iter().map(|x| 100.0 * x).collect();
    let constant = Matrix::constant(pass.device(), constant, edge.shape())?;
    let sum = pass.add(edge, &constant)?;
    let largest = pass.segment_max(&sum, batch.receiver())?;
    let of_constant = pass.segment_max(&constant, batch.receiver())?.to_vec();
    let negative = of_constant.iter().map(|x| -x).collect();
    let negative = Matrix::constant(pass.device(), negative, largest.shape())?;
    pass.add(&largest, &negative)
}

pub(crate) fn trainer(operation: Operation, loss: Loss, output_width: usize) -> Box<dyn Trainer> {
    trainer_on(&device(), operation, loss, output_width)
}

pub(crate) fn trainer_on(
    device: &str,
    operation: Operation,
    loss: Loss,
    output_width: usize,
) -> Box<dyn Trainer> {
    let context = ModelContext { device: device.into(), ..context(loss, output_width) };
    open(&context, needs(), |p| Probe::new(operation, output_width, p))
        .expect("the device that the tests run on is there")
}

/// `upload`, `forward`, `backward`, `update`.
pub(crate) fn step(trainer: &mut dyn Trainer, batch: &PaddedBatch<'_>) -> LossSum {
    trainer.upload(Slot::A, batch).expect("a complete batch");
    let loss = trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    trainer.backward(1.0).expect("backward");
    trainer.update(1e-2).expect("update");
    loss
}
