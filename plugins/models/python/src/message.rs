//! Requests and answers on a pipe: the length of a JSON text (`u32`) and of the bytes after it
//! (`u64`), both little-endian, then the text, then the bytes. Requests have no bytes.

use std::io;

use batchlab_core::graphs::{Number, OwnShape};
use batchlab_core::model::{Loss, ModelContext};
use batchlab_core::{Level, Shape};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Incremented when the meaning of a message changes.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the two lengths.
pub(crate) const N_HEAD: usize = 12;
/// Maximum length of an answer's text.
const MAX_TEXT: u32 = 1 << 24;

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    Open {
        version: u32,
        file: &'a str,
        /// Files that hold batches, one per slot.
        memory: [&'a str; 2],
        /// The fields of every batch in memory order, followed by custom fields.
        fields: Vec<Field<'a>>,
        context: Context<'a>,
    },
    Step {
        #[serde(flatten)]
        batch: &'a Batch,
        learning_rate: f64,
        scale: f64,
        key: u64,
    },
    Gradients {
        #[serde(flatten)]
        batch: &'a Batch,
        scale: f64,
        key: u64,
    },
    Apply {
        /// With the gradients.
        file: &'a str,
        learning_rate: f64,
    },
    Predict {
        #[serde(flatten)]
        batch: &'a Batch,
    },
    State,
    Restore {
        file: &'a str,
    },
}

/// Description of an array in a batch.
#[derive(Serialize)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: Number,
    /// Row length; `None` for a one-dimensional array.
    pub(crate) width: Option<usize>,
}

/// Information for an engine when it is opened.
#[derive(Serialize)]
pub(crate) struct Context<'a> {
    device: &'a str,
    seed: u64,
    n_node_class: usize,
    node_feature_width: usize,
    output_width: usize,
    target_mean: f64,
    target_deviation: f64,
    own_fields: &'a [OwnShape],
    loss: Loss,
    weight_decay: f64,
    precision: &'static str,
    n_thread: usize,
    options: &'a Map<String, Value>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(ctx: &'a ModelContext, options: &'a Map<String, Value>) -> Self {
        Self {
            device: &ctx.device,
            seed: ctx.seed,
            n_node_class: ctx.n_node_class,
            node_feature_width: ctx.node_feature_width,
            output_width: ctx.output_width,
            target_mean: ctx.standardisation.mean,
            target_deviation: ctx.standardisation.deviation,
            own_fields: &ctx.own,
            loss: ctx.loss,
            weight_decay: ctx.weight_decay,
            precision: ctx.precision.name(),
            n_thread: rayon::current_num_threads(),
            options,
        }
    }
}

/// Location and size of a batch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Batch {
    pub(crate) slot: usize,
    /// `graphs` or `nodes`.
    pub(crate) level: &'static str,
    /// Nodes, edges, graphs, outputs, including padding.
    pub(crate) shape: [u32; 4],
    /// The same without padding.
    pub(crate) real: [u32; 4],
    pub(crate) weight_sum: f64,
    /// Bytes of each field.
    pub(crate) lengths: Vec<usize>,
}

pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::Graphs => "graphs",
        Level::Nodes => "nodes",
    }
}

pub(crate) fn sizes(shape: Shape) -> [u32; 4] {
    [shape.n_node, shape.n_edge, shape.n_graph, shape.n_output]
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Answer {
    Done(Done),
    Failed { message: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    /// Answer to `open`: the library that does the arithmetic, with its version.
    pub(crate) engine: String,
    /// Answer to `open`: number of trainable parameters.
    pub(crate) n_parameter: usize,
    /// Answer to `open`: whether it answers `gradients` and `apply`.
    pub(crate) gives_gradients: bool,
    /// Answer to `step` and `gradients`: compilation time, if anything was compiled.
    pub(crate) compile_ns: Option<u64>,
}

pub(crate) fn encode(request: &Request<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; N_HEAD];
    serde_json::to_writer(&mut bytes, request)?;
    let n_text = u32::try_from(bytes.len() - N_HEAD).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&n_text.to_le_bytes());
    Ok(bytes)
}

/// Lengths of the text and of the bytes after it.
pub(crate) fn lengths(head: [u8; N_HEAD]) -> io::Result<[usize; 2]> {
    let [a, b, c, d, rest @ ..] = head;
    let n_text = u32::from_le_bytes([a, b, c, d]);
    let n_byte = usize::try_from(u64::from_le_bytes(rest)).map_err(io::Error::other)?;
    if n_text > MAX_TEXT {
        return Err(io::Error::other("what it sent is no answer"));
    }
    Ok([n_text as usize, n_byte])
}
