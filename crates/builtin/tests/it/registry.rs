//! Every registered component keeps the promises of the registry.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;

use batchlab_core::registry::{self, Kind, Registration};
use batchlab_core::{Batcher, Dataset, Model, Sink};
use serde_json::Value;

fn all() -> Vec<&'static Registration> {
    batchlab_builtin::link();
    Kind::ALL.into_iter().flat_map(|kind| registry::components(kind).into_values()).collect()
}

#[test]
fn every_plugin_folder_is_registered_under_its_name() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut n_folder = 0;
    for kind in Kind::ALL {
        for entry in std::fs::read_dir(plugins.join(format!("{kind}s"))).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let registration = registry::find(kind, &name);
            let registration = registration.unwrap_or_else(|| {
                panic!("plugins/{kind}s/{name} registers no {kind} of that name; is it in builtin?")
            });
            let folder = Path::new(registration.folder);
            assert!(folder.ends_with(format!("plugins/{kind}s/{name}")), "{}", folder.display());
            n_folder += 1;
        }
    }
    assert_eq!(n_folder, all().len(), "every component has a folder of its own");
}

/// The plugins' own tests run the kit, on the options that matter to them.
#[test]
fn every_model_runs_the_kit_in_its_tests() {
    for entry in
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/models"))
            .unwrap()
    {
        let folder = entry.unwrap().path();
        // Its parameters are in another process: crates/cli/tests/readers/engines.rs tries it.
        if folder.ends_with("python") {
            continue;
        }
        let tests = std::fs::read_dir(folder.join("tests/it")).unwrap();
        let mut texts = tests.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(texts.any(|text| text.contains("model_conformance!")), "{}", folder.display());
    }
}

#[test]
fn names_are_unique() {
    assert_eq!(registry::conflicts(), Vec::<String>::new());
}

#[test]
fn examples_deserialise_and_round_trip() {
    for registration in all() {
        let example = (registration.example)();
        let name = (registration.name)();
        assert_eq!(example["name"], name, "typetag and the example agree");
        let again = match registration.kind {
            Kind::Dataset => round_trip::<dyn Dataset>(&example),
            Kind::Model => round_trip::<dyn Model>(&example),
            Kind::Batcher => round_trip::<dyn Batcher>(&example),
            Kind::Sink => round_trip::<dyn Sink>(&example),
        };
        assert_eq!(again, example, "{} {name}", registration.kind);

        let text = toml::to_string(&example).unwrap();
        let table = toml::de::DeTable::parse(&text).unwrap();
        registration.read_table(&table).unwrap();
    }
}

fn round_trip<T: ?Sized>(example: &Value) -> Value
where
    Box<T>: both_ways::Both,
{
    let component: Box<T> = serde_json::from_value(example.clone()).unwrap();
    serde_json::to_value(&component).unwrap()
}

/// Both directions at once, because a bound on `Box<T>` cannot name two traits shortly.
mod both_ways {
    pub(super) trait Both: serde::Serialize + serde::de::DeserializeOwned {}
    impl<T: serde::Serialize + serde::de::DeserializeOwned> Both for T {}
}

#[test]
fn labels_tell_apart_what_differs() {
    batchlab_builtin::link();
    for registration in registry::components(Kind::Batcher).into_values() {
        batchlab_testkit::labels::check(registration);
    }
}

#[test]
fn unknown_keys_are_refused() {
    for registration in all() {
        let mut example = (registration.example)();
        example["no_such_key"] = Value::Bool(true);
        let text = toml::to_string(&example).unwrap();
        let table = toml::de::DeTable::parse(&text).unwrap();
        let error = registration.read_table(&table).unwrap_err();
        assert!(error.message().contains("no_such_key"), "{}: {error}", (registration.name)());
        let line = text[..error.span().unwrap().start].lines().count();
        assert!(text.lines().nth(line).unwrap().contains("no_such_key"), "{error}");
    }
}

#[test]
fn every_component_and_every_key_is_described() {
    for registration in all() {
        let name = (registration.name)();
        assert!(!registration.summary().is_empty(), "{name} has no documentation");
        let schema = (registration.schema)();
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let description = value["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{name}.{key} has no documentation");
        }
        let example = (registration.example)();
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            assert!(example.get(key).is_some(), "the example of {name} lacks {key}");
        }
    }
}
