//! Model `python`: an engine in a separate process.
//!
//! - [`Python`] is the configuration.
//! - `engine` is its [`Trainer`], which turns calls into requests.
//! - `worker` is the process: one request, one answer, with a timeout.
//! - `message` is the wire format of both on a pipe (docs/engines.md).
//! - `halves` keeps gradients between the two halves of a step on several ranks.
//! - `memory` holds batches in memory shared by both processes.

mod engine;
mod halves;
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

/// A model in a Python process: JAX, PyTorch, or anything else that a Python file can call.
///
/// The file defines `open(context)`, which returns an object with `step(batch, learning_rate)`,
/// `predict(batch)`, `state()` and `restore(bytes)`; batches are NumPy arrays in shared memory. See
/// docs/engines.md for details; the bundled `numpy_toy.py` is a template to copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The engine's file, or the name of a bundled one: `numpy_toy.py`.
    pub file: PathBuf,
    /// The interpreter to use, by name or path.
    #[serde(default = "python")]
    pub python: PathBuf,
    /// Fields of batches besides sizes, edges and outputs: `node_class`, `node_feature`,
    /// `distance`, `displacement`, `edge_weight`, `sender_order` (edges sorted by sender), and
    /// custom fields of the data set such as `forces`, by name.
    #[serde(default = "fields")]
    pub fields: Vec<String>,
    /// Free-form options for the file, available as `context.options`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Timeout of a call in seconds, including compilation, after which the process is considered
    /// hung.
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

    /// The file itself decides whether it supports the data.
    fn accepts(&self, _level: Level) -> bool {
        true
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        Ok(Box::new(engine::Engine::open(self, ctx)?))
    }
}

/// Searches for a file in the base directories of a configuration's paths.
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
