//! What can be written from a trained model: predictions as Parquet, weights as safetensors.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use batchlab_core::graphs::TargetKind;
use batchlab_results::ResultsError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::ModelEvaluation;
use crate::RunError;
use crate::atomic::replace;
use crate::checkpoint::file::array;
use crate::checkpoint::{Checkpoint, RunState};

/// Writes one row per graph: `run_id`, `index` (position in the data set), `name` (in its source), `subset`, `target` and `prediction` in the target's unit, or as numbers of classes. The
/// footer says the unit, the names of the classes, the run, the step and the batcher.
///
/// # Errors
/// A file that cannot be written.
pub fn write_predictions(
    path: &Path,
    evaluation: &ModelEvaluation,
    state: &RunState,
    dataset: &str,
) -> Result<(), RunError> {
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
    let bytes = encode().map_err(|error| failed(path)(io::Error::other(error)))?;
    replace(path, &bytes).map_err(failed(path))
}

fn pairs(evaluation: &ModelEvaluation, state: &RunState, dataset: &str) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("table", "predictions".to_owned()),
        ("run_id", state.run_id.clone()),
        ("step", state.step.to_string()),
        ("dataset", dataset.to_owned()),
        ("batcher", evaluation.batcher.clone()),
        ("batchlab_version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    pairs.push(("target", state.data.target.clone()));
    pairs.push(match &state.data.kind {
        TargetKind::Regression { unit } => ("unit", unit.clone()),
        TargetKind::Classes { name } => {
            ("classes", serde_json::Value::from(name.clone()).to_string())
        }
    });
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes the parameters of a checkpoint under the names that the model gives them. The metadata say
/// the run, the step, and the configuration.
///
/// # Errors
/// A file that cannot be written.
pub fn write_weights(path: &Path, checkpoint: &Checkpoint) -> Result<usize, RunError> {
    let state = &checkpoint.state;
    let header = HashMap::from([
        ("run_id".to_owned(), state.run_id.clone()),
        ("step".to_owned(), state.step.to_string()),
        ("config".to_owned(), state.config.to_string()),
        ("batchlab_version".to_owned(), state.version.clone()),
    ]);
    let encode = || {
        let mut weights = Vec::new();
        for tensor in &checkpoint.trainer.tensors {
            if let Some(name) = tensor.name.strip_prefix("parameter.") {
                weights.push((name, array(tensor)?));
            }
        }
        let n_tensor = weights.len();
        Ok((n_tensor, safetensors::serialize(weights, Some(header))?))
    };
    let (n_tensor, bytes) = encode()
        .map_err(|error: safetensors::SafeTensorError| failed(path)(io::Error::other(error)))?;
    replace(path, &bytes).map_err(failed(path))?;
    Ok(n_tensor)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RunError + '_ {
    move |source| ResultsError::Write { path: path.to_owned(), source }.into()
}
