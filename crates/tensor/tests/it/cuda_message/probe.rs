//! A network with one message.

use batchlab_core::ModelError;
use batchlab_tensor::{
    Activation, Backend, DeviceBatch, EdgeValue, GaussianBasis, Initial, Linear, Matrix, Message,
    Network, Parameter, ParameterBuilder, Pass,
};

use super::case::{Case, Step};
use crate::common::{FEATURE_WIDTH, N_CLASS, numbers};

pub(super) struct Probe {
    case: Case,
    embedding: Parameter,
    features: Linear,
    /// For each step that needs one: the layer that produces the rows that it looks up, or its own.
    layers: Vec<Option<Linear>>,
    output: Linear,
    of_edge: Option<Linear>,
}

pub(super) const WIDTH: usize = 5;

impl Probe {
    pub(super) fn new(case: &Case, p: &mut ParameterBuilder) -> Self {
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
pub(super) fn basis(n: usize) -> GaussianBasis {
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
