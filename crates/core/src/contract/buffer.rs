//! Memory of one batch: a single aligned arena with typed views.

use std::sync::Arc;

use aligned_vec::{AVec, ConstAlign};

use crate::CollateError;
use crate::contract::fields::BatchFields;
use crate::contract::graphs::{Graphs, Level, Number, OwnNumber, OwnShape, Per};
use crate::contract::plan::Shape;

/// Alignment of fields in 4-byte words: one cache line, or one vector register.
const ALIGN: usize = 16;

/// Maximum number of words in a batch: beyond any real memory, yet far from overflow when lengths
/// are added.
const MAX_WORD: usize = usize::MAX / 64;

macro_rules! fields {
    ($($field:ident: $word:ty, $doc:literal;)*) => {
        /// Lengths of the fields in words, in arena order.
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub(crate) struct Lengths { $(pub(crate) $field: usize),* }

        impl Lengths {
            fn n_word(&self) -> usize {
                0 $(+ self.$field.next_multiple_of(ALIGN))*
            }
        }

        /// Names of the fields that every batch has, possibly empty.
        pub(crate) const BUILT_IN: &[&str] = &[$(stringify!($field)),*];

        /// The fields of a batch, for writing.
        pub(crate) struct Columns<'a> {
            /// Memory for intermediate look-ups; not part of the batch.
            pub(crate) scratch: &'a mut Scratch,
            own: OwnColumns<'a>,
            $(pub(crate) $field: &'a mut [$word]),*
        }

        impl<'a> Columns<'a> {
            fn split(
                arena: &'a mut [u32],
                lengths: &Lengths,
                scratch: &'a mut Scratch,
                fields: &'a [OwnPlace],
            ) -> Self {
                let rest = arena;
                $(
                    let (padded, rest) = rest.split_at_mut(lengths.$field.next_multiple_of(ALIGN));
                    let $field = bytemuck::cast_slice_mut(&mut padded[..lengths.$field]);
                )*
                let own = OwnColumns { fields, bytes: bytemuck::cast_slice_mut(rest) };
                Self { scratch, own, $($field),* }
            }
        }

        /// A padded batch, ready for upload. Indices are local to the batch.
        ///
        /// Real members come first. Padding nodes belong to the first padding graph (for a single
        /// large graph: to graph 1), padding edges are self-loops on the first padding node with
        /// distance 0, and padding outputs have weight 0. Fields that the model did not ask for are
        /// empty.
        #[derive(Debug, Clone, Copy)]
        pub struct PaddedBatch<'a> {
            /// Whether members are graphs or nodes.
            pub level: Level,
            /// Size with padding.
            pub shape: Shape,
            /// Size without padding.
            pub real: Shape,
            /// Features per node.
            pub node_feature_width: usize,
            /// The whole arena, which contains all fields below in this order, followed by the
            /// custom fields.
            pub words: &'a [u32],
            /// Custom fields of the data set.
            pub own: OwnFields<'a>,
            $(#[doc = $doc] pub $field: &'a [$word]),*
        }

        impl<'a> PaddedBatch<'a> {
            /// The fields in arena order, custom fields last, each starting at the next multiple of
            /// 64 bytes.
            pub fn layout(&self) -> impl Iterator<Item = FieldLayout<'a>> + use<'a> {
                let built_in = [$(FieldLayout {
                    name: stringify!($field),
                    number: match stringify!($word).as_bytes()[0] {
                        b'f' => Number::F32,
                        _ => Number::I32,
                    },
                    n_byte: 4 * self.$field.len(),
                    width: match stringify!($field) {
                        "displacement" => 3,
                        "node_feature" => self.node_feature_width,
                        _ => 1,
                    },
                }),*];
                built_in.into_iter().chain(self.own.layout())
            }

            fn split(buffer: &'a BatchBuffer) -> Self {
                let words = &buffer.words[..buffer.n_word()];
                let rest = words;
                $(
                    let (padded, rest) = rest.split_at(buffer.lengths.$field.next_multiple_of(ALIGN));
                    let $field = bytemuck::cast_slice(&padded[..buffer.lengths.$field]);
                )*
                Self {
                    own: OwnFields { fields: &buffer.own, bytes: bytemuck::cast_slice(rest) },
                    level: buffer.level,
                    shape: buffer.shape,
                    real: buffer.real,
                    node_feature_width: buffer.node_feature_width,
                    words,
                    $($field),*
                }
            }
        }
    };
}

/// Location of a field in the arena; see [`PaddedBatch::layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLayout<'a> {
    /// Field name as in [`PaddedBatch`], or the name of a custom field.
    pub name: &'a str,
    /// Element type. `u32` fields of [`PaddedBatch`] are indices and counts below 2^31, except for
    /// the `u32::MAX` of padding, and may be read as `i32`.
    pub number: Number,
    /// Length in bytes; 0 for fields that the model did not ask for.
    pub n_byte: usize,
    /// Values per row.
    pub width: usize,
}

fields! {
    n_node_of: u32, "Nodes of each graph, `[n_graph]`.";
    n_edge_of: u32, "Edges of each graph, `[n_graph]`.";
    graph_offset: u32, "First node of each graph, and the number of nodes, `[n_graph + 1]`.";
    origin: u32, "Identifier in the store of each graph `[n_graph]`, or of each node `[n_node]`; `u32::MAX` for padding.";
    output_row: u32, "Graph or node that each output belongs to, `[n_output]`.";
    output_target: f32, "True value of each output as training sees it, `[n_output]`.";
    output_weight: f32, "Weight of each output in the loss, `[n_output]`; 0 for padding.";
    graph_of: u32, "Graph of each node, `[n_node]`.";
    node_class: u32, "Class of each node, `[n_node]`; 0 for padding.";
    node_feature: f32, "Features of each node, row by row, `[n_node, width]`; 0 for padding.";
    feature_offset: u32, "Where each node's entries in `feature_value` start, and their number, `[n_node + 1]`; padding has none.";
    feature_column: u32, "Which feature each entry is, ascending for each node, `[n_entry]`.";
    feature_value: f32, "Features that are not 0, node by node, `[n_entry]`, in place of `node_feature`.";
    sender: u32, "Sending node of each edge, `[n_edge]`.";
    receiver: u32, "Receiving node of each edge, ascending, `[n_edge]`.";
    receiver_offset: u32, "First edge that each node receives, and the number of edges, `[n_node + 1]`.";
    sender_order: u32, "Edges in the order of their senders, `[n_edge]`.";
    sender_offset: u32, "Where each node's edges start in `sender_order`, and the number of edges, `[n_node + 1]`.";
    distance: f32, "Length of each edge in angstrom, `[n_edge]`; 0 for padding.";
    displacement: f32, "Receiver minus sender, periodic image included, in angstrom, `[n_edge, 3]`; 0 for padding.";
    edge_weight: f32, "Weight of each edge, `[n_edge]`; 0 for padding.";
}

/// A custom field in a batch.
struct OwnPlace {
    /// Index in [`Graphs::own`].
    index: usize,
    shape: Arc<OwnShape>,
    /// Byte offset from the end of the built-in fields, and length in bytes.
    start: usize,
    n_byte: usize,
}

/// Custom fields, for writing.
struct OwnColumns<'a> {
    fields: &'a [OwnPlace],
    bytes: &'a mut [u8],
}

/// A custom field, for writing.
pub(crate) struct OwnColumn<'a> {
    /// Index in [`Graphs::own`].
    pub(crate) index: usize,
    pub(crate) per: Per,
    pub(crate) bytes: &'a mut [u8],
}

impl Columns<'_> {
    /// Whether any requested custom field has such rows.
    pub(crate) fn has_own(&self, per: Per) -> bool {
        self.own.fields.iter().any(|field| field.shape.per == per)
    }

    pub(crate) fn own(&mut self) -> impl Iterator<Item = OwnColumn<'_>> {
        let mut rest = &mut *self.own.bytes;
        self.own.fields.iter().map(move |&OwnPlace { index, ref shape, n_byte, .. }| {
            let (padded, behind) = std::mem::take(&mut rest).split_at_mut(aligned(n_byte));
            rest = behind;
            OwnColumn { index, per: shape.per, bytes: &mut padded[..n_byte] }
        })
    }
}

/// Custom fields of a batch, as far as the model asked for them.
#[derive(Clone, Copy, Default)]
pub struct OwnFields<'a> {
    fields: &'a [OwnPlace],
    bytes: &'a [u8],
}

impl<'a> OwnFields<'a> {
    /// A field in row-major order, `[n_node, width]`, `[n_edge, width]` or `[n_graph, width]`, with
    /// 0 for padding; `None` if the model did not ask for it or if it has another element type.
    #[must_use]
    pub fn get<T: OwnNumber>(self, name: &str) -> Option<&'a [T]> {
        let field = self.fields.iter().find(|field| field.shape.name == name)?;
        let bytes = &self.bytes[field.start..field.start + field.n_byte];
        (field.shape.number == T::NUMBER).then(|| bytemuck::cast_slice(bytes))
    }

    fn layout(self) -> impl Iterator<Item = FieldLayout<'a>> + use<'a> {
        self.fields.iter().map(|OwnPlace { shape, n_byte, .. }| FieldLayout {
            name: &shape.name,
            number: shape.number,
            n_byte: *n_byte,
            width: shape.width,
        })
    }
}

impl std::fmt::Debug for OwnFields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.layout()).finish()
    }
}

/// Length of a field in bytes, rounded up to the alignment.
fn aligned(n_byte: usize) -> usize {
    n_byte.next_multiple_of(4 * ALIGN)
}

/// Scratch memory that collation reuses across batches.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Positions of the batch's nodes in angstrom, row-major.
    pub(crate) position: Vec<[f32; 3]>,
    /// The same as one array per axis.
    pub(crate) axis: [Vec<f32>; 3],
}

impl Scratch {
    /// Clears everything and reserves room for the positions of `n_node` nodes.
    pub(crate) fn clear(&mut self, n_node: usize) {
        self.position.clear();
        self.position.reserve(n_node);
        for axis in &mut self.axis {
            axis.clear();
            axis.reserve(n_node);
        }
    }
}

/// Destination of [`collate`](crate::collate()). The buffer is reused, so nothing is allocated in
/// the steady state.
///
/// ```
/// use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, Topology};
/// use batchlab_core::{BatchBuffer, BatchPlan, GraphSize, Level, BatchFields, Shape, collate};
///
/// // Two complete graphs of 2 and 3 nodes, padded to 8 nodes, 10 edges and 3 graphs.
/// let many = ManyGraphs::new(&[2, 3], Edges::FullyConnected)?;
/// let graphs = Graphs::new("two cliques", Topology::Many(many))?;
/// let mut plan = BatchPlan::default();
/// plan.clear(Level::Graphs);
/// plan.push_graph(GraphSize { id: 0, n_node: 2, n_edge: 2 });
/// plan.push_graph(GraphSize { id: 1, n_node: 3, n_edge: 6 });
/// plan.shape = Shape { n_node: 8, n_edge: 10, n_graph: 3, n_output: 3 };
///
/// let mut buffer = BatchBuffer::new();
/// collate(&graphs, &plan, &BatchFields::default(), &mut buffer)?;
/// let batch = buffer.batch();
/// assert_eq!(batch.receiver, [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
/// assert_eq!(batch.sender, [1, 0, 3, 4, 2, 4, 2, 3, 5, 5]);
/// assert_eq!(batch.graph_of, [0, 0, 1, 1, 1, 2, 2, 2]);
/// assert_eq!(batch.n_node_of, [2, 3, 3]);
/// assert_eq!(batch.output_weight, [1.0, 1.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchBuffer {
    words: AVec<u32, ConstAlign<64>>,
    scratch: Scratch,
    lengths: Lengths,
    own: Vec<OwnPlace>,
    level: Level,
    shape: Shape,
    real: Shape,
    node_feature_width: usize,
}

/// Contents of a batch to lay out.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) needs: &'a BatchFields,
    /// Source of the custom fields.
    pub(crate) graphs: &'a Graphs,
    /// Features per node.
    pub(crate) width: usize,
    /// Number of entries, for features in compressed rows.
    pub(crate) n_entry: Option<usize>,
}

impl BatchBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: AVec::new(64),
            scratch: Scratch::default(),
            lengths: Lengths::default(),
            own: Vec::new(),
            level: Level::default(),
            shape: Shape::default(),
            real: Shape::default(),
            node_feature_width: 0,
        }
    }

    /// The most recently collated batch.
    #[must_use]
    pub fn batch(&self) -> PaddedBatch<'_> {
        PaddedBatch::split(self)
    }

    /// Size in bytes of a batch of this shape, without features in compressed rows (pass
    /// [`Graphs::batch_feature_width`] as their width) and without custom fields (see
    /// [`Graphs::own_footprint`]).
    #[must_use]
    pub fn n_byte(
        level: Level,
        shape: Shape,
        needs: &BatchFields,
        node_feature_width: usize,
    ) -> usize {
        4 * lengths(level, shape, needs, node_feature_width, None).n_word()
    }

    /// Lays out the fields of a new batch. Their content is undefined until written.
    pub(crate) fn prepare(
        &mut self,
        level: Level,
        shape: Shape,
        real: Shape,
        wanted: Wanted<'_>,
    ) -> Result<Columns<'_>, CollateError> {
        let Wanted { needs, graphs, width, n_entry } = wanted;
        self.level = level;
        self.shape = shape;
        self.real = real;
        self.node_feature_width = width;
        self.lengths = lengths(level, shape, needs, width, n_entry);
        self.lay_out_own(graphs, needs);
        let n_word = self.n_word();
        if n_word > MAX_WORD {
            return Err(CollateError::Inconsistent(format!(
                "a batch of {} nodes with {width} features each is larger than memory can be; use a smaller batch",
                shape.n_node
            )));
        }
        if self.words.len() < n_word {
            // Overallocates by a quarter, because sizes vary from batch to batch.
            self.words.resize(n_word + n_word / 4, 0);
        }
        let words = &mut self.words[..n_word];
        Ok(Columns::split(words, &self.lengths, &mut self.scratch, &self.own))
    }

    /// Lays out custom fields behind all others.
    fn lay_out_own(&mut self, graphs: &Graphs, needs: &BatchFields) {
        self.own.clear();
        let mut start = 0_usize;
        for index in graphs.own_places(needs) {
            let shape = Arc::clone(graphs.own[index].shape());
            let n_row = match shape.per {
                Per::Node => self.shape.n_node,
                Per::Edge => self.shape.n_edge,
                Per::Graph => self.shape.n_graph,
            };
            let n_byte = shape.n_byte().saturating_mul(n_row as usize).min(2 * MAX_WORD);
            self.own.push(OwnPlace { index, shape, start, n_byte });
            start = start.saturating_add(aligned(n_byte));
        }
    }

    /// Length of the batch in words.
    fn n_word(&self) -> usize {
        let own = self.own.last().map_or(0, |last| last.start.saturating_add(aligned(last.n_byte)));
        self.lengths.n_word() + own / 4
    }
}

impl Default for BatchBuffer {
    fn default() -> Self {
        Self::new()
    }
}

fn lengths(
    level: Level,
    shape: Shape,
    needs: &BatchFields,
    node_feature_width: usize,
    n_entry: Option<usize>,
) -> Lengths {
    let [n_node, n_edge, n_graph, n_output] =
        [shape.n_node, shape.n_edge, shape.n_graph, shape.n_output].map(|n| n as usize);
    // The only length that is a product of two sizes; all others together stay far below the limit.
    let n_feature = n_node.saturating_mul(node_feature_width).min(2 * MAX_WORD);
    let when = |needed: bool, length: usize| if needed { length } else { 0 };
    Lengths {
        n_node_of: n_graph,
        n_edge_of: n_graph,
        graph_offset: n_graph + 1,
        origin: match level {
            Level::Graphs => n_graph,
            Level::Nodes => n_node,
        },
        output_row: n_output,
        output_target: n_output,
        output_weight: n_output,
        graph_of: n_node,
        node_class: when(needs.node_class, n_node),
        node_feature: when(needs.node_feature && n_entry.is_none(), n_feature),
        feature_offset: when(n_entry.is_some(), n_node + 1),
        feature_column: n_entry.unwrap_or(0),
        feature_value: n_entry.unwrap_or(0),
        sender: n_edge,
        receiver: n_edge,
        receiver_offset: n_node + 1,
        sender_order: when(needs.sender_order, n_edge),
        sender_offset: when(needs.sender_order, n_node + 1),
        distance: when(needs.distance, n_edge),
        displacement: when(needs.displacement, 3 * n_edge),
        edge_weight: when(needs.edge_weight, n_edge),
    }
}
