//! Reads and writes one checkpoint file.

use std::collections::HashMap;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use batchlab_core::Shape;
use batchlab_core::hash::sha256;
use batchlab_core::model::{NamedTensor, TrainerState};
use batchlab_files::{atomic_write, open, remove_unfinished};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::{Checkpoint, CheckpointError, FORMAT, RunState};
use crate::safetensors_header;

const STATE_KEY: &str = "batchlab_checkpoint";
const LEDGER: &str = "ledger";
const ENGINE: &str = "engine";
const EXTENSION: &str = "safetensors";
/// Number of hash digits in the name.
const N_DIGIT: usize = 16;

pub(crate) fn write(checkpoint: &Checkpoint, folder: &Path) -> Result<PathBuf, CheckpointError> {
    let bytes = encode(checkpoint).map_err(|error| failed(folder)(io::Error::other(error)))?;
    let hash = &sha256(&bytes)[..N_DIGIT];
    let path = folder.join(format!("step-{:012}.{hash}.{EXTENSION}", checkpoint.state.step));
    // Unfinished checkpoints of killed processes would take up space forever.
    remove_unfinished(folder);
    atomic_write(&path, &bytes).map_err(failed(&path))?;
    Ok(path)
}

pub(crate) fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
    let mut file = open(path).map_err(failed(path))?;
    safetensors_header::read(&mut file).map_err(damaged)?;
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    read.map_err(failed(path))?;
    let stated = hash_of(path).ok_or_else(|| damaged("its name holds no hash".into()))?;
    if sha256(&bytes)[..N_DIGIT] != *stated {
        return Err(damaged("its hash is not the one in its name".into()));
    }
    let wrong = |error: &dyn std::fmt::Display| damaged(error.to_string());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(&error))?;
    let state = header.metadata().as_ref().and_then(|entries| entries.get(STATE_KEY));
    let state = state.ok_or_else(|| damaged(format!("it lacks {STATE_KEY}")))?;
    let format = serde_json::from_str::<Format>(state).map_err(|error| wrong(&error))?.format;
    if format != FORMAT {
        return Err(CheckpointError::Format { path: path.to_owned(), found: format });
    }
    let state: RunState = serde_json::from_str(state).map_err(|error| wrong(&error))?;
    if let Some(reason) = contradiction(&state, step_of(path)) {
        return Err(damaged(reason));
    }
    let arrays = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let mut tensors = Vec::new();
    let (mut ledger, mut engine) = (Vec::new(), Vec::new());
    for (name, view) in arrays.iter() {
        match (name, view.dtype()) {
            (LEDGER, Dtype::U32) => ledger = shapes(&bytemuck::pod_collect_to_vec(view.data())),
            (ENGINE, Dtype::U8) => engine = view.data().to_vec(),
            (_, Dtype::F32) => tensors.push(NamedTensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                data: bytemuck::pod_collect_to_vec(view.data()),
            }),
            (_, other) => return Err(damaged(format!("tensor {name} is of type {other:?}"))),
        }
    }
    let n_shape = usize::try_from(state.n_shape).unwrap_or(0);
    if ledger.len() > n_shape {
        return Err(damaged(format!("it lists {} shapes and says {n_shape}", ledger.len())));
    }
    let trainer = TrainerState { tensors, n_update: state.n_update, engine };
    Ok(Checkpoint { state, trainer, ledger })
}

/// Contradictions within a state or with its file name: a matching hash only proves that the file
/// is unchanged.
fn contradiction(state: &RunState, named: Option<u64>) -> Option<String> {
    let RunState { step, n_update, n_shape, .. } = *state;
    let planned = |key: &str| state.config["training"][key].as_u64();
    if named != Some(step) {
        return Some(format!("it holds step {step}, which is not the step in its name"));
    }
    // Rows hold signed numbers.
    if i64::try_from(step).is_err() || planned("steps").is_some_and(|planned| step > planned) {
        return Some(format!("it holds step {step}, beyond the end of its run"));
    }
    if n_update != step {
        return Some(format!("it holds step {step} after {n_update} updates"));
    }
    // A batch may cover several epochs of a small data set.
    if state.cursor.batch > step {
        return Some(format!("it holds step {step} in batch {} of an epoch", state.cursor.batch));
    }
    if u64::try_from(n_shape).map_or(true, |n_shape| n_shape > step) {
        return Some(format!("it holds step {step} with {n_shape} shapes"));
    }
    state.schedule.contradiction(step)
}

/// Part common to all versions of the format.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let state = serde_json::to_string(&checkpoint.state)?;
    let ledger: Vec<u32> = checkpoint
        .ledger
        .iter()
        .flat_map(|shape| [shape.n_node, shape.n_edge, shape.n_graph, shape.n_output])
        .collect();
    let shape = vec![checkpoint.ledger.len(), 4];
    let ledger = TensorView::new(Dtype::U32, shape, bytemuck::cast_slice(&ledger))?;
    let mut arrays = vec![(LEDGER, ledger)];
    let engine = &checkpoint.trainer.engine;
    if !engine.is_empty() {
        arrays.push((ENGINE, TensorView::new(Dtype::U8, vec![engine.len()], engine)?));
    }
    for tensor in &checkpoint.trainer.tensors {
        arrays.push((&tensor.name, array(tensor)?));
    }
    let header = HashMap::from([(STATE_KEY.to_owned(), state)]);
    Ok(safetensors::serialize(arrays, Some(header))?)
}

fn shapes(numbers: &[u32]) -> Vec<Shape> {
    let shape = |&[n_node, n_edge, n_graph, n_output]: &[u32; 4]| Shape {
        n_node,
        n_edge,
        n_graph,
        n_output,
    };
    numbers.as_chunks().0.iter().map(shape).collect()
}

/// A tensor in the format, without copying.
pub(crate) fn array(tensor: &NamedTensor) -> Result<TensorView<'_>, SafeTensorError> {
    TensorView::new(Dtype::F32, tensor.shape.clone(), bytemuck::cast_slice(&tensor.data))
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
