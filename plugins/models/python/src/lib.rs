//! Model `python`: an engine in a process of its own.
//!
//! - [`Python`] is the description.
//! - `engine` is its [`Trainer`], which turns calls into requests.
//! - `worker` is the process: one request, one answer, within a time.
//! - `message` is how both are written on a pipe (docs/engines.md).
//! - `memory` is where batches lie for both processes.

mod engine;
mod memory;
mod message;
mod shipped;
mod worker;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use batchlab_core::{BatchFields, Level, Model, ModelContext, ModelError, Trainer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model in a Python process: JAX, PyTorch, or anything that a Python file can call.
///
/// The file defines `open(context)`, which returns an object with `step(batch, learning_rate)`,
/// `predict(batch)`, `state()` and `restore(bytes)`; batches are NumPy arrays in shared memory.
/// docs/engines.md has the details; `numpy_toy.py`, which comes with the program, is one to copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The engine's file, or the name of one that comes with the program: `numpy_toy.py`.
    pub file: PathBuf,
    /// The interpreter that runs it, by name or path.
    #[serde(default = "python")]
    pub python: PathBuf,
    /// What batches contain besides sizes, edges and outputs.
    #[serde(default = "fields")]
    pub fields: Vec<Field>,
    /// Whatever the file wants to be told; it gets them as `context.options`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// How long one call may take, in seconds, compiling included, before the process counts as hung.
    #[serde(default = "timeout")]
    pub timeout_seconds: NonZeroU32,
}

/// A field of batches that is filled only where a model asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Class of each node, such as the element of an atom.
    NodeClass,
    /// Features of each node.
    NodeFeature,
    /// Length of each edge, in angstrom.
    Distance,
    /// Receiver minus sender of each edge, periodic image included, in angstrom.
    Displacement,
    /// Weight of each edge.
    EdgeWeight,
    /// Edges in the order of their senders.
    SenderOrder,
}

fn python() -> PathBuf {
    "python3".into()
}

fn fields() -> Vec<Field> {
    vec![Field::NodeClass, Field::Distance]
}

const fn timeout() -> NonZeroU32 {
    NonZeroU32::new(600).expect("600 is not 0")
}

#[typetag::serde(name = "python")]
impl Model for Python {
    fn needs(&self) -> BatchFields {
        let has = |field| self.fields.contains(&field);
        BatchFields {
            node_class: has(Field::NodeClass),
            node_feature: has(Field::NodeFeature),
            distance: has(Field::Distance),
            displacement: has(Field::Displacement),
            edge_weight: has(Field::EdgeWeight),
            sender_order: has(Field::SenderOrder),
            sparse_feature: false,
        }
    }

    /// Whether the file fits the data is for the file to say.
    fn accepts(&self, _level: Level) -> bool {
        true
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        Ok(Box::new(engine::Engine::open(self, ctx)?))
    }
}

/// Finds a file in the folders that a configuration's paths start from.
fn find(path: &Path, ctx: &ModelContext) -> Option<PathBuf> {
    ctx.search.iter().map(|folder| folder.join(path)).find(|path| path.is_file())
}

batchlab_core::register!(
    Model,
    Python,
    example = Python {
        file: "numpy_toy.py".into(),
        python: python(),
        fields: fields(),
        options: Map::new(),
        timeout_seconds: timeout(),
    }
);
