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
    /// What batches contain besides sizes, edges and outputs: `node_class`, `node_feature`, `distance`,
    /// `displacement`, `edge_weight`, `sender_order` (edges in the order of their senders), and own fields of the
    /// data set such as `forces`, by name.
    #[serde(default = "fields")]
    pub fields: Vec<String>,
    /// Whatever the file wants to be told; it gets them as `context.options`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// How long one call may take, in seconds, compiling included, before the process counts as hung.
    #[serde(default = "timeout")]
    pub timeout_seconds: NonZeroU32,
}

fn python() -> PathBuf {
    "python3".into()
}

fn fields() -> Vec<String> {
    vec!["node_class".to_owned(), "distance".to_owned()]
}

const fn timeout() -> NonZeroU32 {
    NonZeroU32::new(600).expect("600 is not 0")
}

#[typetag::serde(name = "python")]
impl Model for Python {
    fn needs(&self) -> BatchFields {
        let mut needs = BatchFields::default();
        for field in &self.fields {
            match field.as_str() {
                "node_class" => needs.node_class = true,
                "node_feature" => needs.node_feature = true,
                "distance" => needs.distance = true,
                "displacement" => needs.displacement = true,
                "edge_weight" => needs.edge_weight = true,
                "sender_order" => needs.sender_order = true,
                own if needs.own.iter().any(|known| known == own) => {}
                own => needs.own.push(own.to_owned()),
            }
        }
        needs
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
