//! Limits of a batch, and whether one more graph fits.
//!
//! **Rounding rule**: a limit estimated from data is by default rounded *strictly* up to a multiple of
//! 64, as in arXiv 2502.00944 ([`strictly_up`]: 63 becomes 64, 64 becomes 128). An explicit limit is
//! used unchanged.

use std::fmt;

use crate::BatcherError;
use crate::batching::padding::{BatchSize, Padding, PaddingRule};
use crate::contract::footprint::Footprint;
use crate::contract::graphs::GraphSize;
use crate::contract::plan::Shape;

/// Maximum number of nodes or edges in a batch: indices have 32 bits, and rounding must not
/// overflow.
pub const MAX_INDEX: u32 = 1 << 31;

/// The smallest multiple of 64 that is strictly larger; `None` beyond 2^62.
#[must_use]
pub fn strictly_up(value: f64) -> Option<u64> {
    let rounded = 64.0 * (1.0 + (value / 64.0).floor());
    if !(64.0..=2_f64.powi(62)).contains(&rounded) {
        return None;
    }
    #[allow(clippy::cast_sign_loss, reason = "checked to be positive")]
    Some(rounded as u64)
}

/// [`strictly_up`], if the result can be indexed in a batch.
#[must_use]
pub fn index_limit(value: f64) -> Option<u32> {
    strictly_up(value).filter(|&limit| limit <= u64::from(MAX_INDEX)).map(|limit| limit as u32)
}

/// Capacity of one batch. `None` means no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// B: graphs, one of which is reserved for padding.
    pub n_graph: Option<u32>,
    /// Nodes, one of which is reserved for padding.
    pub n_node: Option<u32>,
    /// Edges.
    pub n_edge: Option<u32>,
    padding: Padding,
    bytes: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq)]
struct Bytes {
    n_byte: u64,
    footprint: Footprint,
    rule: PaddingRule,
}

impl Limits {
    /// Limits on graphs, nodes and edges.
    #[must_use]
    pub fn new(
        slots: Option<BatchSize>,
        n_node: Option<u32>,
        n_edge: Option<u32>,
        padding: Padding,
    ) -> Self {
        Self { n_graph: slots.map(BatchSize::get), n_node, n_edge, padding, bytes: None }
    }

    /// Adds a limit on bytes, counted after padding.
    #[must_use]
    pub fn with_bytes(mut self, n_byte: u64, footprint: Footprint) -> Self {
        let rule = self.padding.resolve(self.shape(), self.n_graph, Vec::new);
        self.bytes = Some(Bytes { n_byte, footprint, rule });
        self
    }

    /// The limit on bytes.
    #[must_use]
    pub fn n_byte(&self) -> Option<u64> {
        self.bytes.as_ref().map(|bytes| bytes.n_byte)
    }

    /// Whether a group of this real size has room for one more graph. Called for every graph
    /// considered.
    #[must_use]
    pub fn fits(&self, open: Shape, graph: GraphSize) -> bool {
        let within = |size: u64, limit: Option<u32>| size <= u64::from(limit.unwrap_or(MAX_INDEX));
        // One node and one graph are reserved for padding.
        within(u64::from(open.n_node) + u64::from(graph.n_node) + 1, self.n_node)
            && within(u64::from(open.n_edge) + u64::from(graph.n_edge), self.n_edge)
            && within(u64::from(open.n_graph) + 2, self.n_graph)
            && self.bytes.as_ref().is_none_or(|bytes| bytes.fit(open.with(graph)))
    }

    /// Whether a graph fits an empty batch.
    #[must_use]
    pub fn fits_alone(&self, graph: GraphSize) -> bool {
        self.fits(Shape::default(), graph)
    }

    /// Demand of a graph and capacity of a batch for real graphs, for graphs, nodes, edges and
    /// bytes; `None` without a limit. Bytes are counted without padding.
    #[must_use]
    pub fn measures(&self, graph: GraphSize) -> [Option<(u64, u64)>; 4] {
        let of = |size: u32, limit: Option<u32>, reserved: u32| {
            limit.map(|limit| (u64::from(size), u64::from((limit - reserved).max(1))))
        };
        let bytes = self.bytes.as_ref().map(|Bytes { n_byte, footprint, .. }| {
            (footprint.of_graph(graph), n_byte.saturating_sub(footprint.fixed).max(1))
        });
        [
            of(1, self.n_graph, 1),
            of(graph.n_node, self.n_node, 1),
            of(graph.n_edge, self.n_edge, 0),
            bytes,
        ]
    }

    /// Lower bound on the number of groups for any strategy: the maximum over the limited resources
    /// of total demand divided by batch capacity, rounded up. Graphs that exceed the limits on
    /// their own count as one group each.
    #[must_use]
    pub fn lower_bound(&self, graphs: &[GraphSize]) -> usize {
        let (mut total, mut offered, mut n_large) = ([0_u64; 4], [1_u64; 4], 0);
        for &graph in graphs {
            if !self.fits_alone(graph) {
                n_large += 1;
                continue;
            }
            for (i, measure) in self.measures(graph).into_iter().enumerate() {
                let Some((size, capacity)) = measure else { continue };
                total[i] = total[i].saturating_add(size);
                offered[i] = capacity;
            }
        }
        let needed = total.iter().zip(offered).map(|(&total, offered)| total.div_ceil(offered));
        n_large + needed.max().unwrap_or(0) as usize
    }

    /// Raises the limits until a graph fits an empty batch: nodes and edges to the next larger
    /// multiple of 64, bytes to the size of the graph after padding.
    ///
    /// # Errors
    /// A graph larger than a batch can index.
    pub fn grow(&mut self, graph: GraphSize) -> Result<(), BatcherError> {
        let raised = |limit: Option<u32>, needed: u32| match limit {
            Some(limit) if limit < needed => {
                index_limit(f64::from(needed)).map(Some).ok_or_else(|| {
                    let message = format!("graph {} is larger than a batch can index", graph.id);
                    BatcherError::Options(message)
                })
            }
            limit => Ok(limit),
        };
        self.n_node = raised(self.n_node, graph.n_node.saturating_add(1))?;
        self.n_edge = raised(self.n_edge, graph.n_edge)?;
        if let Some(Bytes { n_byte, footprint, .. }) = self.bytes.take() {
            *self = self.clone().with_bytes(n_byte, footprint);
            if let Some(bytes) = &mut self.bytes {
                bytes.n_byte = bytes.n_byte.max(bytes.of(Shape::default().with(graph)));
            }
        }
        Ok(())
    }

    /// The limits as the single shape of [`Padding::Constant`].
    ///
    /// # Errors
    /// A shape that exceeds the limit on bytes.
    pub fn constant(&self) -> Result<Shape, BatcherError> {
        let shape = self.shape();
        match (&self.bytes, self.padding) {
            (Some(bytes), Padding::Constant) if bytes.footprint.n_byte(shape) > bytes.n_byte => {
                Err(BatcherError::Options(format!(
                    "the constant shape of {} nodes and {} edges takes {} bytes, more than n_byte = {}; \
                     give smaller limits of nodes and edges or a smaller batch_size",
                    shape.n_node,
                    shape.n_edge,
                    bytes.footprint.n_byte(shape),
                    bytes.n_byte
                )))
            }
            _ => Ok(shape),
        }
    }

    /// The estimated or explicit limits, for the `metrics` table.
    #[must_use]
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let limits = [
            ("budget_n_node", self.n_node.map(f64::from)),
            ("budget_n_edge", self.n_edge.map(f64::from)),
            ("budget_n_byte", self.n_byte().map(|n| n as f64)),
        ];
        let given = limits.into_iter().filter_map(|(name, limit)| Some((name.into(), limit?)));
        given.collect()
    }

    fn shape(&self) -> Shape {
        let n_graph = self.n_graph.unwrap_or(0);
        Shape {
            n_node: self.n_node.unwrap_or(0),
            n_edge: self.n_edge.unwrap_or(0),
            n_graph,
            n_output: n_graph,
        }
    }
}

impl Bytes {
    fn of(&self, real: Shape) -> u64 {
        self.footprint.n_byte(self.rule.shape(real))
    }

    fn fit(&self, real: Shape) -> bool {
        self.of(real) <= self.n_byte
    }
}

/// Capacity for a single graph: `31 nodes, 64 edges`.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.n_node.map(|n| format!("{} nodes", n - 1)));
        parts.extend(self.n_edge.map(|n| format!("{n} edges")));
        parts.extend(self.n_byte().map(|n| format!("{n} bytes after padding")));
        f.write_str(&parts.join(", "))
    }
}
