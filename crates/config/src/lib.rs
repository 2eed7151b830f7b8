//! Configurations of runs and studies: TOML, parsed and checked before anything is loaded.
//!
//! There is one language and one reader, [`StudyFile`]: the configuration of a run is a study of
//! one run. The crate has three parts. `text` turns a file and command-line overrides into tables
//! with source positions, and merges them. `component` finds and parses the components that tables
//! name. `study` expands lists into runs. Reading a run takes four steps, each with its own kind of
//! error: the text must be TOML, each component's table must fit the component of that name, the
//! rest must have the fields of [`Config`], and the components must be compatible.
//!
//! This crate names no plugin and does not know what a run does.

mod checkpointing;
mod component;
mod config;
mod evaluation;
mod forms;
mod load;
mod number;
mod ranks;
mod schedule;
pub mod schema;
mod study;
mod text;
mod training;

pub use checkpointing::{Checkpointing, Saving};
pub use component::names::{Labels, batcher_of_argument};
pub use config::Config;
pub use evaluation::{Evaluation, PerClass, Split, Subset};
pub use load::LoadedConfig;
pub use number::{Fraction, Positive};
pub use ranks::Ranks;
pub use schedule::{Criterion, EarlyStopping, Length, Plateau};
pub use study::blocks::Blocks;
pub use study::launcher::{Launcher, RetryTime, SlurmOption, TaskTime};
pub use study::{Setting, StudyFile, ToForecast};
pub use text::diagnostic::Diagnostic;
pub use training::{Seeds, Timing, Training, Tunable};

/// Defaults that a program adds to every configuration.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Default tables, as TOML, for those that a configuration lacks.
    pub tables: &'static str,
    /// The default evaluation batcher, as TOML, for data sets of many graphs. It also completes a
    /// batcher given without a name, or without a batch size that it needs.
    pub of_graphs: &'static str,
    /// The same, for data sets of nodes of one graph.
    pub of_nodes: &'static str,
    /// Batching strategies by label.
    pub labels: Labels<'static>,
}
