//! Extended XYZ as ASE reads it: files that `tests/peers/xyz.py` writes. `BATCHLAB_PYTHON` names a Python that has ASE.

use std::path::Path;
use std::process::Command;

use batchlab_structures::Entry;
use serde_json::Value;
use tempfile::TempDir;

use crate::formats::all;

#[test]
#[ignore = "needs a Python with ASE, in BATCHLAB_PYTHON"]
fn xyz_is_read_as_ase_reads_it() {
    let python = std::env::var("BATCHLAB_PYTHON").unwrap_or_else(|_| "python3".into());
    let variable = |name, otherwise: &str| std::env::var(name).unwrap_or(otherwise.into());
    let (n, seed) = (variable("BATCHLAB_FUZZ", "500"), variable("BATCHLAB_FUZZ_SEED", "1"));
    let folder = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/xyz.py");
    let made = Command::new(python).arg(script).arg(folder.path()).args([n, seed]).status();
    assert!(made.unwrap().success());
    let expected = std::fs::read(folder.path().join("expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    let (mut n_refused, mut wrong) = (0, Vec::new());
    for file in &expected {
        let path = folder.path().join(file["name"].as_str().unwrap());
        let found = all(&path).map(|(entries, _)| entries);
        let fault = match (&found, file["frames"].as_array()) {
            (Ok(entries), Some(frames)) if entries.len() == frames.len() => {
                entries.iter().zip(frames).find_map(|(entry, frame)| difference(entry, frame))
            }
            (Err(_), None) => {
                n_refused += 1;
                None
            }
            (Ok(entries), _) => Some(format!("{} frames", entries.len())),
            (Err(error), Some(_)) => Some(error.to_string()),
        };
        wrong.extend(
            fault.map(|fault| format!("{fault}\n{}", std::fs::read_to_string(&path).unwrap())),
        );
    }
    assert!(n_refused > 0 && n_refused < expected.len() / 2, "{n_refused} are refused");
    let shown = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} files:\n{shown}", wrong.len(), expected.len());
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn are_close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs().max(1.0))
}

/// What is not as ASE has it.
fn difference(entry: &Entry, frame: &Value) -> Option<String> {
    let structure = entry.structure.as_ref()?;
    let z: Vec<f64> = structure.atomic_number.iter().map(|&z| f64::from(z)).collect();
    if !are_close(&z, &numbers(&frame["numbers"])) {
        return Some(format!("{z:?}"));
    }
    if !are_close(structure.position.as_flattened(), &numbers(&frame["positions"])) {
        return Some(format!("{:?}", structure.position));
    }
    let mut cell = numbers(&frame["cell"]);
    for axis in 0..3 {
        if frame["pbc"][axis] == false {
            cell[3 * axis..3 * axis + 3].fill(0.0);
        }
    }
    if !are_close(structure.cell.unwrap_or_default().as_flattened(), &cell) {
        return Some(format!("{:?}", structure.cell));
    }
    for (key, expected) in frame["info"].as_object()? {
        let found = entry.text(key);
        let is_same = match expected {
            // A key alone stands for `T`.
            Value::Bool(truth) => found.is_some_and(|text| match text.chars().next() {
                None | Some('T' | 't') => *truth,
                Some(_) => !truth,
            }),
            Value::Number(_) => entry
                .number(key)
                .ok()
                .flatten()
                .is_some_and(|x| are_close(&[x], &numbers(expected))),
            Value::Array(_) => {
                let words =
                    found.unwrap_or_default().split([' ', ',']).filter(|word| !word.is_empty());
                let words: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
                are_close(&words, &numbers(expected))
            }
            other => found == other.as_str(),
        };
        if !is_same {
            return Some(format!("`{key}` is {found:?}, not {expected}"));
        }
    }
    None
}
