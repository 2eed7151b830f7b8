//! A strategy of a study: a batcher, and options of the training that were chosen for it.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use toml::de::DeValue;

use super::lists::with;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Span, Table, Value};
use crate::training::Tunable;

#[derive(Clone)]
pub(super) struct Strategy<'t> {
    pub(super) table: Value<'t>,
    /// Changes of its runs.
    pub(super) with: Table<'t>,
    /// The options of `[training]` that `with` changes, by key.
    pub(super) tuned: Vec<(String, Tunable)>,
}

impl<'t> Strategy<'t> {
    /// Separates `with` from the batcher's own options.
    ///
    /// # Errors
    /// If `with` changes what the runs of a cell must have in common.
    pub(super) fn new(source: &Source, mut table: Value<'t>) -> Result<Self, Diagnostic> {
        let with = match table.get_mut() {
            DeValue::Table(inner) => with(source, inner)?,
            _ => Table::new(),
        };
        let mut tuned = Vec::new();
        for (key, value) in &with {
            let name = key.get_ref();
            let options = value.get_ref().as_table().filter(|_| name == "training");
            let options = options.ok_or_else(|| not_of_a_strategy(source, &key.span(), name))?;
            for key in options.keys() {
                let name = &**key.get_ref();
                let option: Result<_, Error> = Tunable::deserialize(name.into_deserializer());
                let wrong = |_| not_of_a_strategy(source, &key.span(), &format!("training.{name}"));
                tuned.push((name.to_owned(), option.map_err(wrong)?));
            }
        }
        Ok(Self { table, with, tuned })
    }
}

fn not_of_a_strategy(source: &Source, span: &Span, key: &str) -> Diagnostic {
    source.at(span, format!("{key} cannot differ between strategies that are compared")).help(
        "with of a batcher may change training.learning_rate, learning_rate_decay, \
         learning_rate_decay_steps, weight_decay and plateau",
    )
}
