//! Finds differences by key.

use serde::Serialize;
use serde_json::Value;

/// A key with different values; `null` where it is missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// For example `batcher.batch_size`.
    pub key: String,
    pub a: Value,
    pub b: Value,
}

/// Differing keys of two configurations, down to the innermost table. A table against another type
/// is a single difference.
pub(crate) fn of_configurations(a: &Value, b: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ("", a, b, &mut found);
    found
}

fn differ(key: &str, a: &Value, b: &Value, found: &mut Vec<Difference>) {
    if a == b {
        return;
    }
    if let (Value::Object(in_a), Value::Object(in_b)) = (a, b) {
        let only_b = in_b.keys().filter(|&inner| !in_a.contains_key(inner));
        for inner in in_a.keys().chain(only_b) {
            let path = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
            differ(&path, &a[inner], &b[inner], found);
        }
        return;
    }
    found.push(Difference { key: key.to_owned(), a: a.clone(), b: b.clone() });
}

pub(crate) fn of_conditions(
    a: &[(&'static str, Value)],
    b: &[(&'static str, Value)],
) -> Vec<Difference> {
    let pairs = a.iter().zip(b).filter(|((_, a), (_, b))| a != b);
    pairs
        .map(|((key, a), (_, b))| Difference { key: (*key).to_owned(), a: a.clone(), b: b.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_compared_one_by_one() {
        let a = json!({ "a": 1, "b": { "c": [1, 2], "d": "x", "gone": true }, "e": "none" });
        let b = json!({ "a": 1, "b": { "d": "y", "c": [1, 2], "new": 0.5 }, "e": { "n": 1 } });
        let found = of_configurations(&a, &b);
        let lines: Vec<String> =
            found.iter().map(|d| format!("{}: {} | {}", d.key, d.a, d.b)).collect();
        assert_eq!(
            lines,
            [
                "b.d: \"x\" | \"y\"",
                "b.gone: true | null",
                "b.new: null | 0.5",
                "e: \"none\" | {\"n\":1}"
            ]
        );
        assert_eq!(of_configurations(&a, &a), []);
    }
}
