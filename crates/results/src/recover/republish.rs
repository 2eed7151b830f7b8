//! Rewrites the tables of a finished run with the sinks of its own configuration.

use batchlab_core::Sink;
use batchlab_core::record::{Record, RunRecord, SCHEMA_VERSION};
use batchlab_files::{MAX_TEXT, read_text};
use serde::Deserialize;

use crate::writers::Writers;
use crate::{Publisher, ResultsError};

/// The part of a run's configuration that lists the sinks of its tables.
#[derive(Deserialize)]
struct Sinks {
    sink: Vec<Box<dyn Sink>>,
}

/// Opens the sinks of a run, lets `write` write all rows except the run's own, and publishes.
pub(super) fn republish(
    publisher: &Publisher,
    run: &RunRecord,
    write: impl FnOnce(&mut Writers) -> Result<(), ResultsError>,
) -> Result<(), ResultsError> {
    publisher.begin_anew()?;
    let path = publisher.run_folder().join("config.toml");
    let text = read_text(&path, MAX_TEXT).map_err(ResultsError::read(&path))?;
    let sinks: Sinks = toml::from_str(&text)
        .map_err(|error| ResultsError::Config { path: path.clone(), reason: error.to_string() })?;
    let mut metadata = vec![("schema_version".to_owned(), SCHEMA_VERSION.to_string())];
    metadata.extend(run.version.clone().map(|version| ("batchlab_version".to_owned(), version)));
    metadata.extend(run.config_hash.clone().map(|hash| ("config_hash".to_owned(), hash)));
    let mut writers = Writers::open(&sinks.sink, publisher, &metadata)?;
    write(&mut writers)?;
    let row = RunRecord::to_batch(std::slice::from_ref(run))
        .map_err(|error| ResultsError::damaged(&path, error))?;
    writers.finish(&row, publisher)
}
