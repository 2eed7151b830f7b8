//! Exports of a trained model: predictions as Parquet, weights as safetensors.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use batchlab_core::graphs::TargetKind;
use batchlab_files::open_data;
use batchlab_results::read::TableFile;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::ModelEvaluation;
use crate::RunError;
use crate::checkpoint::file::array;
use crate::checkpoint::{Checkpoint, RunState};
use crate::safetensors_header;

/// Metadata key for the version of the program that wrote a file.
const VERSION: &str = "batchlab_version";

/// One row per graph as Parquet: `run_id`, `index` (position in the data set), `name` (in its
/// source), `subset`, `target` and `prediction` in the target's unit, or as class numbers. The
/// footer contains the unit, if any, the names of the classes, the run, the step and the batcher.
///
/// # Errors
/// Rows that cannot be encoded, which is a bug.
pub fn encode_predictions(
    evaluation: &ModelEvaluation,
    state: &RunState,
    dataset: &str,
) -> Result<Vec<u8>, RunError> {
    let rows = &evaluation.predictions;
    let columns: [(&str, ArrayRef); 6] = [
        ("run_id", Arc::new(rows.iter().map(|_| Some(&state.run_id)).collect::<StringArray>())),
        ("index", Arc::new(rows.iter().map(|row| i64::from(row.index)).collect::<Int64Array>())),
        ("name", Arc::new(rows.iter().map(|row| Some(&row.name)).collect::<StringArray>())),
        ("subset", Arc::new(rows.iter().map(|row| row.subset).collect::<StringArray>())),
        ("target", Arc::new(rows.iter().map(|row| row.target).collect::<Float64Array>())),
        ("prediction", Arc::new(rows.iter().map(|row| row.prediction).collect::<Float64Array>())),
    ];
    let field = |(name, array): &(&str, ArrayRef)| {
        let data_type: &DataType = array.data_type();
        Field::new(*name, data_type.clone(), true)
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let pairs = pairs(evaluation, state, dataset);
    let pairs = pairs.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .build();
    let encode = || -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let columns = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
        writer.write(&rows)?;
        writer.close()?;
        Ok(bytes)
    };
    encode().map_err(RunError::Encode)
}

fn pairs(evaluation: &ModelEvaluation, state: &RunState, dataset: &str) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("table", "predictions".to_owned()),
        ("run_id", state.run_id.clone()),
        ("step", state.step.to_string()),
        ("dataset", dataset.to_owned()),
        ("batcher", evaluation.batcher.clone()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ];
    pairs.push(("target", state.data.target.clone()));
    match &state.data.kind {
        TargetKind::Regression { unit } => {
            pairs.extend(unit.clone().map(|unit| ("unit", unit)));
        }
        TargetKind::Classes { name } => {
            pairs.push(("classes", serde_json::Value::from(name.clone()).to_string()));
        }
    }
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The parameters of a checkpoint as safetensors, under the model's names, and their number. The
/// metadata contain the run, the step, and the configuration. Equal checkpoints give equal bytes.
///
/// # Errors
/// Tensors that cannot be encoded, which is a bug.
pub fn encode_weights(checkpoint: &Checkpoint) -> Result<(usize, Vec<u8>), RunError> {
    let state = &checkpoint.state;
    let header = HashMap::from([
        ("run_id".to_owned(), state.run_id.clone()),
        ("step".to_owned(), state.step.to_string()),
        ("config".to_owned(), state.config.to_string()),
        (VERSION.to_owned(), state.version.clone()),
    ]);
    let encode = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let mut weights = Vec::new();
        for tensor in &checkpoint.trainer.tensors {
            if let Some(name) = tensor.name.strip_prefix("parameter.") {
                weights.push((name, array(tensor)?));
            }
        }
        let n_tensor = weights.len();
        let mut bytes = safetensors::serialize(weights, Some(header))?;
        sort_metadata(&mut bytes)?;
        Ok((n_tensor, bytes))
    };
    encode().map_err(RunError::Encode)
}

/// Whether a file contains predictions from [`encode_predictions`].
#[must_use]
pub fn is_predictions(path: &Path) -> bool {
    let file = fs::canonicalize(path).ok().and_then(|path| TableFile::open(&path).ok());
    let is_table = |(key, value): &(String, String)| key == "table" && value == "predictions";
    file.is_some_and(|file| file.metadata().iter().any(is_table))
}

/// Whether a file contains weights from [`encode_weights`].
#[must_use]
pub fn is_weights(path: &Path) -> bool {
    let header = open_data(path).ok().and_then(|mut file| safetensors_header::read(&mut file).ok());
    let entries = header.and_then(|(_, metadata)| metadata.metadata().clone());
    entries.is_some_and(|entries| entries.contains_key(VERSION))
}

/// Sorts the metadata of a safetensors file, which come from a hash map in random order.
fn sort_metadata(file: &mut [u8]) -> Result<(), serde_json::Error> {
    let (length, rest) = file.split_at_mut(8);
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let header = &mut rest[..length];
    let mut entries: serde_json::Map<_, _> = serde_json::from_slice(header)?;
    if let Some(serde_json::Value::Object(metadata)) = entries.get_mut("__metadata__") {
        metadata.sort_keys();
    }
    let sorted = serde_json::to_vec(&entries)?;
    // Sorting does not change the length; the rest was padding.
    header.fill(b' ');
    header[..sorted.len()].copy_from_slice(&sorted);
    Ok(())
}
