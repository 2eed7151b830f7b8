//! The variants of a study: those of the file, each with every combination of values from the
//! command line.

use std::collections::BTreeSet;

use toml::de::DeValue;

use super::lists::Lists;
use crate::schema::schema;
use crate::text::Table;
use crate::text::merge::Inline;

/// A set of overrides, from the file and from the command line.
pub(super) struct Variant<'t> {
    pub(super) label: String,
    pub(super) table: Table<'t>,
    /// The index of the value of each varied key.
    pub(super) values: Vec<usize>,
}

impl<'t> Lists<'t> {
    /// The file's variants with their labels; a single empty one if it has none. Command-line
    /// overrides apply to all of them, and variants that no longer differ are merged.
    pub(super) fn distinct(&self, tables: &[&Table<'t>]) -> Vec<(Vec<String>, Table<'t>)> {
        let of_keys = self.varied.iter().filter_map(|values| Some(&values.first()?.1));
        let changes: Vec<&Table<'t>> = self.changes.iter().chain(of_keys).collect();
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for &table in tables {
            let mut own = table.clone();
            for &change in &changes {
                // A mistake in an override is found when it is applied to a run.
                let _ = self.source.merge(&mut own, change.clone(), schema(), Inline::Replaces);
            }
            let mut label = Vec::new();
            self.leaves("", &own, &mut label);
            if changes.is_empty() || seen.insert(label.clone()) {
                all.push((label, table.clone()));
            }
        }
        if all.is_empty() { vec![(Vec::new(), Table::new())] } else { all }
    }

    /// Flattens the file's values into `a.b=1`.
    fn leaves(&self, prefix: &str, table: &Table<'_>, all: &mut Vec<String>) {
        for (key, value) in table {
            let key = key.get_ref();
            match value.get_ref() {
                DeValue::Table(inner) => self.leaves(&format!("{prefix}{key}."), inner, all),
                _ if self.source.is_change(&value.span()) => {}
                DeValue::String(text) => all.push(format!("{prefix}{key}={text}")),
                _ => all.push(format!("{prefix}{key}={}", self.source.text(&value.span()))),
            }
        }
    }

    /// Combines labelled tables with every combination of values that vary on the command line.
    pub(super) fn combined(&self, tables: &[(Vec<String>, Table<'t>)]) -> Vec<Variant<'t>> {
        let combinations = self.varied.iter().fold(vec![Vec::new()], |all, values| {
            let with = |rest: &Vec<usize>, value| rest.iter().copied().chain([value]).collect();
            let every = |rest| (0..values.len()).map(move |value| with(rest, value));
            all.iter().flat_map(every).collect()
        });
        let variant = |values: &Vec<usize>, (label, table): &(Vec<String>, Table<'t>)| {
            let of_values = values.iter().zip(&self.varied).map(|(&value, all)| all[value].0);
            let label: Vec<&str> = label.iter().map(String::as_str).chain(of_values).collect();
            Variant { label: label.join(" "), table: table.clone(), values: values.clone() }
        };
        let every =
            tables.iter().flat_map(|of| combinations.iter().map(move |values| (values, of)));
        every.map(|(values, of)| variant(values, of)).collect()
    }
}
