//! One checkpoint as a file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use batchlab_core::Shape;
use batchlab_core::hash::sha256;
use batchlab_core::model::{NamedTensor, TrainerState};
use safetensors::{Dtype, SafeTensors, View};

use super::{Checkpoint, CheckpointError, FORMAT, Facts};

const FACTS_KEY: &str = "batchlab_checkpoint";
const LEDGER: &str = "ledger";
const EXTENSION: &str = "safetensors";
/// Digits of the hash in the name.
const N_DIGIT: usize = 16;

pub(crate) fn write(checkpoint: &Checkpoint, folder: &Path) -> Result<PathBuf, CheckpointError> {
    let bytes = encode(checkpoint).map_err(|error| failed(folder)(io::Error::other(error)))?;
    let hash = &sha256(&bytes)[..N_DIGIT];
    let path = folder.join(format!("step-{:012}.{hash}.{EXTENSION}", checkpoint.facts.step));
    // Whoever was killed while writing has left this.
    let temporary = folder.join("unfinished.tmp");
    let write = || {
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            sync(folder.parent().unwrap_or(folder))?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync(folder)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(&path)(error)
    })?;
    Ok(path)
}

/// Has the disk know the names in a folder. Only on Unix can a folder be opened and synchronised.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(crate) fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(failed(path))?;
    let stated = hash_of(path).ok_or_else(|| damaged("its name holds no hash".into()))?;
    if sha256(&bytes)[..N_DIGIT] != *stated {
        return Err(damaged("its hash is not the one in its name".into()));
    }
    let wrong = |error: &dyn std::fmt::Display| damaged(error.to_string());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(&error))?;
    let facts = header.metadata().as_ref().and_then(|entries| entries.get(FACTS_KEY));
    let facts = facts.ok_or_else(|| damaged(format!("it lacks {FACTS_KEY}")))?;
    let format = serde_json::from_str::<Format>(facts).map_err(|error| wrong(&error))?.format;
    if format != FORMAT {
        return Err(CheckpointError::Format { path: path.to_owned(), found: format });
    }
    let facts: Facts = serde_json::from_str(facts).map_err(|error| wrong(&error))?;
    let arrays = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let mut tensors = Vec::new();
    let mut ledger = Vec::new();
    for (name, view) in arrays.iter() {
        match (name, view.dtype()) {
            (LEDGER, Dtype::U32) => ledger = shapes(view.data()),
            (_, Dtype::F32) => tensors.push(NamedTensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                data: view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            }),
            (_, other) => return Err(damaged(format!("tensor {name} is of type {other:?}"))),
        }
    }
    let trainer = TrainerState { tensors, n_update: facts.n_update };
    Ok(Checkpoint { facts, trainer, ledger })
}

/// What every version of the format has.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let facts = serde_json::to_string(&checkpoint.facts)?;
    let ledger: Vec<u32> = checkpoint
        .ledger
        .iter()
        .flat_map(|shape| [shape.n_node, shape.n_edge, shape.n_graph, shape.n_output])
        .collect();
    let tensors = checkpoint.trainer.tensors.iter();
    let mut arrays: Vec<(&str, Array)> =
        tensors.map(|tensor| (tensor.name.as_str(), Array::of(tensor))).collect();
    arrays.push((
        LEDGER,
        Array {
            dtype: Dtype::U32,
            shape: vec![checkpoint.ledger.len(), 4],
            bytes: ledger.iter().flat_map(|value| value.to_le_bytes()).collect(),
        },
    ));
    let header = HashMap::from([(FACTS_KEY.to_owned(), facts)]);
    Ok(safetensors::serialize(arrays, Some(header))?)
}

fn shapes(bytes: &[u8]) -> Vec<Shape> {
    let numbers: Vec<u32> =
        bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
    let shape = |&[n_node, n_edge, n_graph, n_output]: &[u32; 4]| Shape {
        n_node,
        n_edge,
        n_graph,
        n_output,
    };
    numbers.as_chunks().0.iter().map(shape).collect()
}

pub(crate) struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn of(tensor: &NamedTensor) -> Self {
        let bytes = tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: tensor.shape.clone(), bytes }
    }
}

impl View for Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// `step-<step>.<hash>.safetensors`
fn parts(path: &Path) -> Option<(u64, &str)> {
    let name = path.file_name()?.to_str()?.strip_prefix("step-")?;
    let (step, rest) = name.split_once('.')?;
    let (hash, extension) = rest.split_once('.')?;
    let is_hash = hash.len() == N_DIGIT && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && extension == EXTENSION).then(|| Some((step.parse().ok()?, hash)))?
}

pub(crate) fn step_of(path: &Path) -> Option<u64> {
    parts(path).map(|(step, _)| step)
}

fn hash_of(path: &Path) -> Option<&str> {
    parts(path).map(|(_, hash)| hash)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + '_ {
    move |source| CheckpointError::Io { path: path.to_owned(), source }
}
