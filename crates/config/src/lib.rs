//! Configurations of runs and studies: TOML, read and checked before anything is loaded.
//!
//! There is one language and one reader, [`StudyFile`]: a run's configuration is a study of one run.
//! It has three rooms. `text` makes tables with places of a file and of changes from the command line, and
//! puts one over another. `component` finds and reads the components that tables name. `study` expands lists
//! into runs. Reading a run takes four steps, each with its own kind of error: the text must be TOML, each
//! component's table must fit the component of that name, the rest must have the fields of [`Config`], and the
//! components must fit each other.
//!
//! This crate names no plugin and does not know what a run does.

mod checkpointing;
mod component;
mod config;
mod evaluation;
mod forms;
mod load;
mod number;
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
pub use schedule::{Criterion, EarlyStopping, Length, Plateau};
pub use study::blocks::Blocks;
pub use study::{Setting, StudyFile, ToForecast};
pub use text::diagnostic::Diagnostic;
pub use training::{Seeds, Timing, Training};

/// What a program adds to every configuration.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// TOML with tables for those that a configuration lacks.
    pub tables: &'static str,
    /// The batcher of evaluations, as TOML, where the data set holds many graphs; of one that is given without
    /// a name, or without a batch size that it needs, what it lacks.
    pub of_graphs: &'static str,
    /// The same, where it holds the nodes of one.
    pub of_nodes: &'static str,
    /// Batching strategies by label.
    pub labels: Labels<'static>,
}
