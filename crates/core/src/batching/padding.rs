//! Padding rules: the padded shape of a batch.
//!
//! Padding is one of the two axes that characterise every method on many graphs; the other is the
//! grouping. It is shared vocabulary: every batcher embeds [`Padding`] instead of defining its own.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batching::shape_set::{best_shapes, worthwhile_shapes};
use crate::contract::plan::Shape;
use crate::number::next_multiple;

/// The rule that maps a batch's real size to its padded shape.
///
/// ```toml
/// padding = "none"            # real size: nothing is padded
/// padding = { multiple = 64 } # nodes and edges to multiples of 64
/// padding = { power = 2 }     # nodes and edges to powers of two
/// padding = "constant"        # one shape for all batches
/// padding = { shapes = 8 }    # the 8 shapes with the least expected padding
/// padding = { shapes_cost = 50 } # as many shapes as each save 50 rows in the mean batch
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// No padding; every batch has its own shape.
    None,
    /// One shape that holds every batch.
    Constant,
    /// Nodes and edges to the next multiple of this number.
    Multiple(NonZeroU32),
    /// Nodes and edges to the next power of this base, 2 or more.
    Power(Base),
    /// The given number of shapes, chosen to minimise the expected padding.
    Shapes(NonZeroU32),
    /// As many shapes as are worth their cost: the shapes that minimise the mean number of padded
    /// rows (nodes plus edges) per batch, plus this cost for every shape. For an engine that
    /// compiles per shape, the cost is the compilation time divided by the time per row and by the
    /// number of steps in the run.
    ShapesCost(NonZeroU32),
}

impl Padding {
    /// Nodes and edges to multiples of 64, as in the study.
    pub const MULTIPLES_OF_64: Self = Self::Multiple(NonZeroU32::new(64).expect("64 is not 0"));

    /// Name of the rule in the study and in this project: `64`, `2^N`, `constant`, `exact`,
    /// `shapes8`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::None => "exact".into(),
            Self::Constant => "constant".into(),
            Self::Multiple(step) => step.to_string(),
            Self::Power(base) => format!("{}^N", base.0),
            Self::Shapes(n) => format!("shapes{n}"),
            Self::ShapesCost(cost) => format!("shapes-cost{cost}"),
        }
    }

    /// Prepares the rule for one stream.
    ///
    /// `constant` is the shape that holds every batch of this stream, which only its batcher knows;
    /// `n_graph` is the number of graph slots (the study's B), or `None` if graphs are not limited
    /// and are padded like nodes; `sample` draws real batch sizes and is only called for
    /// [`Padding::Shapes`] and [`Padding::ShapesCost`].
    pub fn resolve(
        self,
        constant: Shape,
        n_graph: impl Into<Option<u32>>,
        sample: impl FnOnce() -> Vec<Shape>,
    ) -> PaddingRule {
        let shapes = match self {
            Self::Shapes(n) => best_shapes(&sample(), n.get() as usize),
            Self::ShapesCost(cost) => worthwhile_shapes(&sample(), f64::from(cost.get())),
            _ => Vec::new(),
        };
        PaddingRule { padding: self, constant, n_graph: n_graph.into(), shapes }
    }
}

/// The base of [`Padding::Power`], 2 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(extend("minimum" = 2))]
pub struct Base(u32);

impl TryFrom<u32> for Base {
    type Error = String;
    fn try_from(base: u32) -> Result<Self, String> {
        if base < 2 {
            Err(format!("{base} has no powers to pad to; the base is 2 or more"))
        } else {
            Ok(Self(base))
        }
    }
}

impl From<Base> for u32 {
    fn from(base: Base) -> Self {
        base.0
    }
}

/// The study's B: a batch holds at most B - 1 real graphs, with one slot left for padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(extend("minimum" = 2))]
pub struct BatchSize(u32);

impl BatchSize {
    /// B.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// B - 1, the maximum number of real graphs.
    #[must_use]
    pub fn max_graph(self) -> u32 {
        self.0 - 1
    }

    /// The smallest B with room for this many real graphs.
    ///
    /// # Errors
    /// More graphs than any batch may hold.
    pub fn holding(n_graph: usize) -> Result<Self, BatchSizeError> {
        Self::try_from(u32::try_from(n_graph.max(1)).unwrap_or(u32::MAX).saturating_add(1))
    }
}

impl TryFrom<u32> for BatchSize {
    type Error = BatchSizeError;
    fn try_from(value: u32) -> Result<Self, BatchSizeError> {
        // 2^20 graphs of 2^11 nodes still fit 32-bit indices.
        if (2..=1 << 20).contains(&value) { Ok(Self(value)) } else { Err(BatchSizeError(value)) }
    }
}

impl From<BatchSize> for u32 {
    fn from(size: BatchSize) -> Self {
        size.0
    }
}

/// A batch size that leaves no room for a graph, or is absurdly large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "batch_size = {0} is out of range: a batch holds batch_size - 1 graphs and one slot for padding, so give 2 to 1048576"
)]
pub struct BatchSizeError(u32);

impl From<BatchSizeError> for crate::BatcherError {
    fn from(error: BatchSizeError) -> Self {
        Self::Options(error.to_string())
    }
}

/// A padding rule with everything that it needs for one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct PaddingRule {
    padding: Padding,
    constant: Shape,
    n_graph: Option<u32>,
    shapes: Vec<Shape>,
}

impl PaddingRule {
    /// The padded shape of a batch of graphs.
    ///
    /// At least one node is padding (padding edges need an end), so nodes are rounded up from
    /// `n_node + 1` and edges from `n_edge`. A batch that exceeds the constant shape, or all shapes
    /// of a set, is not truncated: it gets a shape of its own, rounded up to the next multiple of
    /// 64 in each dimension that does not fit, which the ledger shows. Sizes beyond 32 bits become
    /// `u32::MAX`, which no batch can have.
    #[must_use]
    pub fn shape(&self, real: Shape) -> Shape {
        let shape = |n_node, n_edge, n_graph| Shape { n_node, n_edge, n_graph, n_output: n_graph };
        // One graph is padding.
        let n_graph = real.n_graph.saturating_add(1);
        let n_node = real.n_node.saturating_add(1);
        match self.padding {
            Padding::None => real,
            Padding::Multiple(step) => shape(
                next_multiple(n_node, step.get()),
                next_multiple(real.n_edge.max(1), step.get()),
                self.n_graph.unwrap_or_else(|| next_multiple(n_graph, step.get())),
            ),
            Padding::Power(base) => shape(
                next_power(n_node, base.0),
                next_power(real.n_edge, base.0),
                self.n_graph.unwrap_or_else(|| next_power(n_graph, base.0)),
            ),
            Padding::Constant => self.grown(self.constant, real),
            Padding::Shapes(_) | Padding::ShapesCost(_) => {
                let fits =
                    |shape: &&Shape| shape.n_node > real.n_node && shape.n_edge >= real.n_edge;
                let best = self
                    .shapes
                    .iter()
                    .filter(fits)
                    .min_by_key(|s| u64::from(s.n_node) + u64::from(s.n_edge));
                let largest = || self.shapes.last().copied().unwrap_or(real);
                let best = best.copied().unwrap_or_else(|| self.grown(largest(), real));
                shape(best.n_node, best.n_edge, self.n_graph.unwrap_or(n_graph))
            }
        }
    }

    fn grown(&self, shape: Shape, real: Shape) -> Shape {
        let grow = |padded: u32, needed: u32| {
            if padded >= needed { padded } else { next_multiple(needed, 64) }
        };
        let n_graph = self.n_graph.unwrap_or(real.n_graph.saturating_add(1));
        Shape {
            n_node: grow(shape.n_node, real.n_node.saturating_add(1)),
            n_edge: grow(shape.n_edge, real.n_edge),
            n_graph,
            n_output: n_graph,
        }
    }
}

/// Smallest power of `base` that is not less than `n`; at least `base` itself.
fn next_power(n: u32, base: u32) -> u32 {
    let mut power = base;
    while power < n {
        power = power.saturating_mul(base);
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(n_node: u32, n_edge: u32) -> Shape {
        Shape { n_node, n_edge, n_graph: 3, n_output: 3 }
    }

    fn check(padding: Padding, size: (u32, u32), expected: (u32, u32)) {
        let constant = Shape { n_node: 129, n_edge: 256, n_graph: 4, n_output: 4 };
        let rule = padding.resolve(constant, 4, Vec::new);
        let shape = rule.shape(real(size.0, size.1));
        assert_eq!((shape.n_node, shape.n_edge), expected, "{padding:?} of {size:?}");
    }

    #[test]
    fn multiples_leave_room_for_a_padding_node_inside_the_rounding() {
        let multiple = Padding::Multiple(NonZeroU32::new(64).unwrap());
        check(multiple, (63, 64), (64, 64));
        check(multiple, (64, 65), (128, 128));
        check(multiple, (5, 0), (64, 64));
    }

    #[test]
    fn powers_start_at_the_base() {
        let power = Padding::Power(Base(2));
        check(power, (145, 0), (256, 2));
        check(power, (1, 1), (2, 2));
        check(power, (127, 16384), (128, 16384));
    }

    #[test]
    fn a_constant_shape_grows_rather_than_cuts() {
        check(Padding::Constant, (128, 256), (129, 256));
        check(Padding::Constant, (129, 257), (192, 320));
    }

    #[test]
    fn without_padding_the_shape_is_real() {
        check(Padding::None, (7, 3), (7, 3));
    }

    #[test]
    fn a_shape_set_pads_to_its_cheapest_fit() {
        let sample = || vec![real(10, 100), real(10, 100), real(40, 900)];
        let rule =
            Padding::Shapes(NonZeroU32::new(2).unwrap()).resolve(Shape::default(), 4, sample);
        assert_eq!(rule.shape(real(9, 90)).n_edge, rule.shape(real(10, 100)).n_edge);
        assert!(rule.shape(real(10, 100)).n_edge < 200);
        assert!(rule.shape(real(60, 900)).n_node > 60);
    }

    #[test]
    fn configuration_forms() {
        #[derive(Debug, Deserialize, Serialize, PartialEq)]
        struct Config {
            padding: Padding,
        }
        for text in [
            "\"none\"",
            "\"constant\"",
            "{ multiple = 64 }",
            "{ power = 2 }",
            "{ shapes = 8 }",
            "{ shapes_cost = 8 }",
        ] {
            let config: Config = toml::from_str(&format!("padding = {text}")).unwrap();
            let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
            assert_eq!(config, again);
        }
        assert!(toml::from_str::<Config>("padding = { power = 1 }").is_err());
        assert!(toml::from_str::<Config>("padding = { multiple = 0 }").is_err());
    }
}
