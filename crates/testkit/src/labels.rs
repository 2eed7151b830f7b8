//! Checks that labels are unique.

use batchlab_core::Batcher;
use batchlab_core::registry::Registration;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value};

type Table = Map<String, Value>;

/// Pairs of configurations per batcher.
const N_PAIR: u32 = 1000;

/// Checks that two configurations of a batcher have the same label only if they are equal, ignoring
/// the batch size if it has its own column. The options are derived from the JSON schema, so that
/// none can be forgotten.
///
/// # Panics
/// With the pair of configurations that have the same label.
pub fn check(batcher: &Registration) {
    let config = Config { cases: N_PAIR, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&pairs(batcher), |(one, other)| {
        let [one, other] = [one, other].map(|table| open(table).expect("every value is valid"));
        prop_assert_eq!(
            one.label() == other.label(),
            identity(&*one) == identity(&*other),
            "{} and {} have the labels {} and {}",
            identity(&*one),
            identity(&*other),
            one.label(),
            other.label()
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("batcher \"{}\": {error}", (batcher.name)());
    }
}

fn open(table: Table) -> Option<Box<dyn Batcher>> {
    serde_json::from_value(Value::Object(table)).ok()
}

/// All options with their defaults, without the batch size if results have it elsewhere.
fn identity(batcher: &dyn Batcher) -> Value {
    let mut options = serde_json::to_value(batcher).expect("options are plain values");
    if batcher.batch_size().is_some() {
        options.as_object_mut().expect("options are a table").remove("batch_size");
    }
    options
}

/// A configuration, and a copy with some options changed.
fn pairs(batcher: &Registration) -> impl Strategy<Value = (Table, Table)> {
    let Value::Object(example) = (batcher.example)() else { panic!("an example is a table") };
    (changes(batcher, &example), changes(batcher, &example)).prop_map(move |(some, more)| {
        let mut one = example.clone();
        one.extend(some);
        let mut other = one.clone();
        other.extend(more);
        (one, other)
    })
}

/// Valid values for some options.
fn changes(batcher: &Registration, example: &Table) -> BoxedStrategy<Vec<(String, Value)>> {
    let schema = (batcher.schema)();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let change = |(key, property): (String, Value)| {
        let example = example.clone();
        let what = format!("values of {key} that its batcher takes");
        let change = values(&property, &schema).prop_filter_map(what, move |value| {
            let mut table = example.clone();
            table.insert(key.clone(), value.clone());
            open(table).map(|_| (key.clone(), value))
        });
        prop::option::weighted(0.3, change)
    };
    let all: Vec<_> = properties.into_iter().map(change).collect();
    all.prop_map(|changes| changes.into_iter().flatten().collect()).boxed()
}

/// Values described by a JSON schema, and few others.
fn values(schema: &Value, root: &Value) -> BoxedStrategy<Value> {
    if let Some(constant) = schema.get("const") {
        return Just(constant.clone()).boxed();
    }
    if let Some(path) = schema["$ref"].as_str() {
        let target = root.pointer(path.trim_start_matches('#')).expect("references lead somewhere");
        return values(target, root);
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(list) = schema[key].as_array() {
            let one = |item: &Value| match key {
                "enum" => Just(item.clone()).boxed(),
                _ => values(item, root),
            };
            return proptest::strategy::Union::new(list.iter().map(one)).boxed();
        }
    }
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    match kinds[0].as_str().unwrap_or_default() {
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "number" => (1_u32..100).prop_map(|percent| (f64::from(percent) / 100.0).into()).boxed(),
        "integer" => {
            let least = schema["minimum"].as_u64().unwrap_or(0);
            (least..least + 9).prop_map(Value::from).boxed()
        }
        "string" => "[a-z]{1,2}".prop_map(Value::from).boxed(),
        "array" => prop::collection::vec(values(&schema["items"], root), 1..4)
            .prop_map(Value::from)
            .boxed(),
        "object" => tables(schema, root),
        "null" => Just(Value::Null).boxed(),
        other => panic!("options of type {other:?} cannot be varied yet; add the type here"),
    }
}

fn tables(schema: &Value, root: &Value) -> BoxedStrategy<Value> {
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let entry = |(key, property): (String, Value)| {
        let is_required = required.contains(&Value::from(key.as_str()));
        let value = values(&property, root).prop_map(move |value| (key.clone(), value));
        if is_required { value.prop_map(Some).boxed() } else { prop::option::of(value).boxed() }
    };
    let all: Vec<_> = properties.into_iter().map(entry).collect();
    all.prop_map(|entries| Value::Object(entries.into_iter().flatten().collect())).boxed()
}
