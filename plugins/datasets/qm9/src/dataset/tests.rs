use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use batchlab_core::View;
use batchlab_core::progress::Progress;

use super::*;

mod edges;

/// One atom per molecule, with the given index and element.
fn file(molecules: &[(Option<u32>, &str)]) -> tempfile::NamedTempFile {
    let mut text = String::new();
    for (index, symbol) in molecules {
        let gdb = index.map(|index| format!("gdb={index} ")).unwrap_or_default();
        writeln!(
            text,
            "1\nProperties=species:S:1:pos:R:3 {gdb}A=0 B=0 C=0 mu=0 alpha=0 homo=0 lumo=0 gap=0 r2=0 zpve=0 U0=-1 U=-1 \
             H=-1 G=-1 Cv=0\n{symbol} 0 0 0"
        )
        .expect("memory");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    file
}

fn of(file: &tempfile::NamedTempFile) -> Qm9 {
    Qm9 { path: Some(file.path().to_owned()), ..Qm9::default() }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().expect("no panic elsewhere").push(text.to_owned());
    }
}

#[test]
fn the_sample_is_what_its_description_says() {
    let start = Instant::now();
    let graphs = Qm9::default().load(&LoadContext::new()).expect("the sample");
    // Generous, because the test may share its cores; it takes a few hundredths of a second.
    assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
    assert_eq!((graphs.n_member(), graphs.n_node()), (2000, 36_151));
    assert_eq!(graphs.notes[0].1, 2000);
    assert_eq!((&*graphs.name[0], &*graphs.name[1999]), ("gdb_7", "gdb_131896"));

    let classes = graphs.node_class.as_ref().expect("elements");
    assert_eq!(classes.name, ["C", "H", "O", "N"]);
    let count = |class| classes.value.iter().filter(|&&value| value == class).count();
    assert_eq!([0, 1, 2, 3].map(count), [12_705, 18_612, 2808, 2026]);

    let members: Vec<u32> = (0..2000).collect();
    let View::ManyGraphs(sizes) = graphs.view(&members) else { panic!("many graphs") };
    assert!(sizes.iter().all(|size| size.n_edge == size.n_node * (size.n_node - 1)));
    assert_eq!(sizes.iter().map(|size| u64::from(size.n_edge)).sum::<u64>(), 634_832);

    let target = graphs.target.as_ref().expect("a target");
    assert_eq!(target.name, "U0_atom");
    let mean = target.value.iter().sum::<f64>() / 2000.0;
    // The study's training set has a mean of -75.914 eV with a standard deviation of 10.37 eV.
    assert!((mean + 75.914).abs() < 3.0 * 10.37 / 2000_f64.sqrt(), "{mean}");
    assert_eq!(graphs.fields(), Qm9::default().provides().fields);
}

#[test]
fn every_target_can_be_loaded() {
    for target in TARGETS {
        let config =
            Qm9 { target: target.name.to_owned(), limit: NonZeroUsize::new(3), ..Qm9::default() };
        let graphs = config.load(&LoadContext::new()).expect(target.name);
        assert_eq!(graphs.n_member(), 3);
        let loaded = graphs.target.expect("a target");
        assert_eq!(loaded.name, target.name);
        assert!(loaded.training.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn an_unknown_target_is_answered_with_the_nearest() {
    let config = Qm9 { target: "U0_atm".to_owned(), ..Qm9::default() };
    let error = config.load(&LoadContext::new()).expect_err("no such target").to_string();
    assert!(error.contains("U0_atm") && error.contains("did you mean \"U0_atom\""), "{error}");
}

#[test]
fn classes_follow_the_order_of_appearance() {
    let file = file(&[(Some(5), "F"), (Some(9), "H"), (Some(11), "F"), (Some(12), "C")]);
    let graphs = of(&file).load(&LoadContext::new()).expect("four atoms");
    let classes = graphs.node_class.expect("elements");
    assert_eq!(
        (classes.value, classes.name),
        (vec![0, 1, 0, 2], vec!["F".to_owned(), "H".into(), "C".into()])
    );
    assert_eq!(graphs.name, ["gdb_5", "gdb_9", "gdb_11", "gdb_12"]);
}

#[test]
fn uncharacterised_molecules_are_left_out_on_request_and_counted() {
    let file =
        file(&[(Some(1), "H"), (Some(58), "C"), (Some(59), "N"), (Some(61), "O"), (Some(62), "O")]);
    let kept = of(&file).load(&LoadContext::new()).expect("five atoms");
    assert_eq!(kept.name, ["gdb_1", "gdb_58", "gdb_59", "gdb_61", "gdb_62"]);

    let config = Qm9 { drop_uncharacterized: true, ..of(&file) };
    let notes = Arc::new(Notes::default());
    let ctx =
        LoadContext { progress: Arc::clone(&notes) as Arc<dyn Progress>, ..LoadContext::new() };
    let graphs = config.load(&ctx).expect("three atoms");
    assert_eq!(graphs.name, ["gdb_1", "gdb_59", "gdb_62"]);
    // Elements of excluded molecules do not count.
    assert_eq!(graphs.node_class.expect("elements").name, ["H", "N", "O"]);
    assert_eq!(graphs.notes.iter().map(|note| note.1).collect::<Vec<_>>(), [5, 2]);
    let notes = notes.0.lock().expect("no panic elsewhere");
    assert!(
        notes.iter().any(|note| note.starts_with("2 of 5 molecules are left out")),
        "{notes:?}"
    );

    let limited = Qm9 { limit: NonZeroUsize::new(2), ..config };
    let graphs = limited.load(&LoadContext::new()).expect("two atoms");
    assert_eq!(graphs.name, ["gdb_1", "gdb_59"]);
}

#[test]
fn a_limit_beyond_the_data_is_told() {
    let file = file(&[(Some(1), "H")]);
    let notes = Arc::new(Notes::default());
    let ctx =
        LoadContext { progress: Arc::clone(&notes) as Arc<dyn Progress>, ..LoadContext::new() };
    let config = Qm9 { limit: NonZeroUsize::new(2), ..of(&file) };
    assert_eq!(config.load(&ctx).expect("one atom").n_member(), 1);
    assert_eq!(
        *notes.0.lock().expect("no panic elsewhere"),
        ["`limit` is 2, but there are only 1 molecules"]
    );
}

#[test]
fn molecules_without_index_can_be_used_but_not_looked_up() {
    let file = file(&[(Some(1), "H"), (None, "C")]);
    let graphs = of(&file).load(&LoadContext::new()).expect("two atoms");
    assert!(graphs.name[0] == "gdb_1" && graphs.name[1].ends_with("@1"), "{:?}", graphs.name);
    let config = Qm9 { drop_uncharacterized: true, ..of(&file) };
    let error = config.load(&LoadContext::new()).expect_err("no index").to_string();
    assert!(error.contains("molecule 2 of the file states no gdb index"), "{error}");
}

#[test]
fn nothing_left_repeated_or_absent_is_an_error() {
    let only = file(&[(Some(58), "H")]);
    let config = Qm9 { drop_uncharacterized: true, ..of(&only) };
    assert!(matches!(config.load(&LoadContext::new()), Err(DatasetError::Empty(_))));

    let twice = file(&[(Some(1), "H"), (Some(2), "H"), (Some(1), "H")]);
    let error = of(&twice).load(&LoadContext::new()).expect_err("a repeat").to_string();
    assert!(error.contains("molecule gdb 1 occurs twice"), "{error}");

    let nowhere = Qm9 { path: Some("no/such/file".into()), ..Qm9::default() };
    let error = nowhere.load(&LoadContext::new()).expect_err("no file").to_string();
    assert!(error.contains("no/such/file"), "{error}");

    let empty = Qm9 { path: Some("".into()), ..Qm9::default() };
    let error = empty.load(&LoadContext::new()).expect_err("no path").to_string();
    assert_eq!(error, "`path` is empty; set it to a file, or leave it out");
}

#[test]
fn the_configuration_is_read_strictly_and_written_whole() {
    let parse = |text: &str| serde_json::from_str::<Box<dyn Dataset>>(text);
    assert!(parse(r#"{"name": "qm9"}"#).is_ok());
    assert!(
        parse(r#"{"name": "qm9", "target": "gap", "limit": 5, "drop_uncharacterized": true}"#)
            .is_ok()
    );
    assert!(
        parse(r#"{"name": "qm9", "targets": "gap"}"#)
            .expect_err("a typo")
            .to_string()
            .contains("`targets`")
    );
    assert!(parse(r#"{"name": "qm9", "limit": 0}"#).is_err());
    let dataset: Box<dyn Dataset> = Box::new(Qm9::default());
    assert_eq!(
        serde_json::to_string(&dataset).expect("serialisable"),
        r#"{"name":"qm9","target":"U0_atom","edges":"fully-connected","drop_uncharacterized":false}"#
    );
}

#[test]
fn the_registered_example_and_every_field_are_described() {
    use batchlab_core::registry::{Kind, find};
    let registration = find(Kind::Dataset, "qm9").expect("registered");
    let example: Box<dyn Dataset> =
        serde_json::from_value((registration.example)()).expect("an example");
    assert!(example.load(&LoadContext::new()).is_ok());
    assert!(
        registration.summary().starts_with("QM9: small organic molecules"),
        "{}",
        registration.summary()
    );
    let schema = (registration.schema)();
    for (field, schema) in schema["properties"].as_object().expect("fields") {
        assert!(schema["description"].is_string(), "{field}");
    }
}
