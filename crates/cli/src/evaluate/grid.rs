//! `batchlab evaluate --grid`: evaluates one trained model with many batchers, accuracy against
//! time.

use std::fmt::Write;

use anyhow::{Result, bail};
use batchlab_run::ModelEvaluation;
use serde_json::{Value, json};

use crate::exit::Usage;

mod picture;

pub(super) use picture::picture;

/// An option of the batcher, with its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    key: String,
    values: Vec<String>,
}

/// Parses `k=16,32`; a comma within brackets or quotes does not separate values.
pub(super) fn values(text: &str) -> Result<Values, String> {
    let example = "give an option of the batcher with its values, such as k=16,32";
    let (key, list) = text.split_once('=').ok_or_else(|| format!("{text:?}: {example}"))?;
    let (mut values, mut value, mut depth, mut is_quoted) =
        (Vec::new(), String::new(), 0_u32, false);
    for c in list.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !is_quoted => {
                values.push(std::mem::take(&mut value));
                continue;
            }
            _ => {}
        }
        value.push(c);
    }
    values.push(value);
    let values: Vec<String> = values.into_iter().map(|value| value.trim().to_owned()).collect();
    if key.trim().is_empty() || values.iter().any(String::is_empty) {
        return Err(format!("{text:?}: {example}"));
    }
    Ok(Values { key: key.trim().to_owned(), values })
}

/// The label and the batcher table of every combination of the values.
pub(super) fn combinations(
    batcher: Option<&str>,
    grid: &[Values],
) -> Result<Vec<(String, String)>> {
    let Some(batcher) = batcher else {
        bail!(Usage(
            "--grid needs --batcher, whose options it changes, such as --batcher neighbor"
                .to_owned()
        ));
    };
    let inner = batcher.trim();
    let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
    let table =
        if inner.contains('=') { inner.trim().to_owned() } else { format!("name = \"{inner}\"") };
    let mut all = vec![(String::new(), table)];
    for Values { key, values } in grid {
        all = all
            .iter()
            .flat_map(|(name, table)| {
                values.iter().map(move |value| {
                    let name = format!("{name} {key}={value}").trim().to_owned();
                    // A bare word is a string, as elsewhere on the command line.
                    let is_toml = toml::from_str::<toml::Table>(&format!("x = {value}")).is_ok();
                    let value = if is_toml { value.clone() } else { format!("\"{value}\"") };
                    (name, format!("{table}, {key} = {value}"))
                })
            })
            .collect();
    }
    Ok(all)
}

/// One combination, evaluated several times.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The last evaluation; predictions do not vary.
    pub(crate) evaluation: ModelEvaluation,
    /// Total seconds of each repeat, including preparation by the batcher.
    pub(crate) seconds: Vec<f64>,
    /// Seconds of prediction in each repeat, including copies to the device: what remains if
    /// batches are cached.
    pub(crate) predicting: Vec<f64>,
}

impl Entry {
    pub(super) fn new(name: &str, evaluation: ModelEvaluation) -> Self {
        let (name, seconds, predicting) = (name.to_owned(), Vec::new(), Vec::new());
        Self { name, evaluation, seconds, predicting }
    }

    pub(super) fn add(&mut self, evaluation: &ModelEvaluation) {
        self.seconds.push(evaluation.total_ns as f64 / 1e9);
        self.predicting.push(evaluation.forward_ns as f64 / 1e9);
    }

    pub(crate) fn seconds(&self) -> f64 {
        batchlab_stats::median(&self.seconds).unwrap_or(f64::NAN)
    }

    /// The quantity to maximise: accuracy, or negative error.
    pub(crate) fn quality(&self) -> Option<f64> {
        let record = self.evaluation.record.as_ref()?;
        record.accuracy.or(record.rmse.map(|rmse| -rmse))
    }
}

/// The Pareto frontier of quality and time.
fn frontier(entries: &[Entry]) -> Vec<bool> {
    let point = |entry: &Entry| Some((entry.seconds(), entry.quality()?));
    let points: Vec<Option<(f64, f64)>> = entries.iter().map(point).collect();
    let is_beaten = |(seconds, quality): (f64, f64)| {
        points
            .iter()
            .flatten()
            .any(|&(s, q)| s <= seconds && q >= quality && (s < seconds || q > quality))
    };
    points.iter().map(|point| point.is_some_and(|point| !is_beaten(point))).collect()
}

pub(super) fn as_text(what: &str, entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0).max(7);
    let is_classes =
        entries.iter().any(|e| e.evaluation.record.as_ref().is_some_and(|r| r.accuracy.is_some()));
    let quality = if is_classes { "accuracy %" } else { "RMSE" };
    let mut text = format!(
        "{what}\n  {:width$}  {quality:>10}  {:>10}  {:>10}  {:>10}  batches\n",
        "options", "ms", "predicting", "outputs/s"
    );
    for (entry, is_best) in entries.iter().zip(frontier(entries)) {
        let quality = match entry.quality() {
            Some(quality) if is_classes => format!("{:.2}", 100.0 * quality),
            Some(quality) => format!("{:.4}", -quality),
            None => "-".to_owned(),
        };
        let n = entry.evaluation.predictions.len() as f64;
        let _ = writeln!(
            text,
            "{} {:width$}  {quality:>10}  {:>10.2}  {:>10.2}  {:>10.0}  {}",
            if is_best { "*" } else { " " },
            entry.name,
            1e3 * entry.seconds(),
            1e3 * batchlab_stats::median(&entry.predicting).unwrap_or(f64::NAN),
            n / entry.seconds(),
            entry.evaluation.n_batch,
        );
    }
    text + "* Pareto-optimal: no other is both as good and faster; times are medians; the first includes \
            the batcher's preparation, the second only what remains if batches are cached\n"
}

pub(super) fn as_json(entries: &[Entry]) -> Vec<Value> {
    let frontier = frontier(entries);
    let value = |(entry, is_best): (&Entry, bool)| {
        let Entry { name, evaluation, seconds, predicting } = entry;
        let record = evaluation.record.as_ref();
        json!({
            "options": name,
            "batcher": evaluation.batcher,
            "n_output": evaluation.predictions.len(),
            "n_batch": evaluation.n_batch,
            "accuracy": record.and_then(|record| record.accuracy),
            "macro_f1": record.and_then(|record| record.macro_f1),
            "rmse": record.and_then(|record| record.rmse),
            "seconds": seconds,
            "seconds_of_predicting": predicting,
            "is_frontier": is_best,
        })
    };
    entries.iter().zip(frontier).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_brackets_divide_nothing() {
        let read = |text: &str| values(text).map(|values| values.values);
        assert_eq!(read("k=16, 32").unwrap(), ["16", "32"]);
        assert_eq!(read("fanout=[5, 5],[10,10]").unwrap(), ["[5, 5]", "[10,10]"]);
        assert_eq!(read("x=\"a,b\",c").unwrap(), ["\"a,b\"", "c"]);
        for text in ["k", "k=", "=3", "k=1,,2"] {
            assert!(read(text).unwrap_err().contains("such as k=16,32"), "{text}");
        }
    }

    #[test]
    fn combinations_are_tables() {
        let grid = [values("k=1,2").unwrap(), values("order=tour").unwrap()];
        let all = combinations(Some("{ name = \"ibmb\" }"), &grid).unwrap();
        let table = |k: u32| format!("name = \"ibmb\", k = {k}, order = \"tour\"");
        assert_eq!(
            all,
            [("k=1 order=tour".to_owned(), table(1)), ("k=2 order=tour".to_owned(), table(2)),]
        );
        assert_eq!(combinations(Some("full"), &[]).unwrap()[0].1, "name = \"full\"");
        assert!(combinations(None, &grid).is_err());
    }
}
