//! Error messages for wrong configurations and data.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

const GOOD: &str = r#"[dataset]
name = "qm9"

[model]
name = "schnet"

[batcher]
name = "dynamic"
batch_size = 8

[training]
steps = 2
"#;

/// Runs a modified copy of a valid configuration, and returns exit code and message.
fn run(change: impl Fn(String) -> String, arguments: &[&str]) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let config = change(GOOD.to_owned());
    fs::write(folder.path().join("study.toml"), config).unwrap();
    let output = batchlab(folder.path(), &[&["run", "study.toml", "--quiet"], arguments].concat());
    assert!(
        !folder.path().join("results").exists(),
        "nothing is written before everything is checked"
    );
    outcome(&output)
}

fn batchlab(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("batchlab").unwrap();
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn outcome(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn replaced(from: &'static str, to: &'static str) -> impl Fn(String) -> String {
    move |good| {
        assert!(good.contains(from));
        good.replace(from, to)
    }
}

macro_rules! says {
    ($name:ident, $code:literal, $change:expr, $arguments:expr) => {
        #[test]
        fn $name() {
            let (code, message) = run($change, &$arguments);
            insta::assert_snapshot!(stringify!($name), message);
            assert_eq!(code, $code);
        }
    };
}

fn same(good: String) -> String {
    good
}

says!(wrong_component, 2, replaced("\"dynamic\"", "\"dynamik\""), []);
says!(wrong_key, 2, replaced("batch_size = 8", "batch_size = 8\nbatchsize = 9"), []);
says!(wrong_key_of_the_file, 2, replaced("steps = 2", "steps = 2\nlerning_rate = 1"), []);
says!(wrong_table, 2, replaced("[training]", "[trainin]"), []);
says!(
    wrong_type_deep_inside,
    2,
    replaced("batch_size = 8", "batch_size = 8\nbudget = { n_node = 64, n_edge = \"many\" }"),
    []
);
says!(
    wrong_key_in_a_list,
    2,
    replaced("[training]", "[[sink]]\nname = \"parquet\"\ncompresion_level = 3\n\n[training]"),
    []
);
says!(
    a_sink_that_is_no_list,
    2,
    replaced("[training]", "[sink]\nname = \"parquet\"\n\n[training]"),
    []
);
says!(batch_size_of_1, 2, replaced("batch_size = 8", "batch_size = 1"), []);
says!(no_model, 2, replaced("[model]\nname = \"schnet\"\n", ""), []);
says!(not_toml, 2, replaced("[model]", "[model"), []);
says!(zero_steps, 2, replaced("steps = 2", "steps = 0"), []);
says!(
    everything_held_out,
    2,
    replaced("[training]", "[split]\ntest = 0.6\nvalidation = 0.5\n\n[training]"),
    []
);
says!(unknown_target, 2, replaced("\"qm9\"", "\"qm9\"\ntarget = \"U0_atm\""), []);
says!(missing_file, 3, replaced("\"qm9\"", "\"qm9\"\npath = \"data/qm10.xyz\""), []);
says!(override_with_a_wrong_value, 2, same, ["batcher.batch_size=none"]);
says!(override_of_a_wrong_key, 2, same, ["training.step=3"]);
says!(incompatible_components, 2, replaced("\"qm9\"", "\"sizes\"\npath = \"x.csv\""), []);
says!(a_device_that_is_not_there, 2, same, ["--device", "cuda:0"]);
says!(
    evaluation_that_loses_graphs,
    2,
    replaced(
        "[training]",
        "[evaluation.batcher]\nname = \"static\"\nbatch_size = 8\ncompat_drop_overflow = true\n\n[training]"
    ),
    []
);
says!(
    stages_with_prefetch,
    2,
    replaced("steps = 2", "steps = 2\ntiming = \"stages\"\nprefetch = 1"),
    []
);

/// Runs the valid configuration on a file with this content.
fn with_data(content: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("molecules.xyz"), content).unwrap();
    let config = GOOD.replace("\"qm9\"", "\"qm9\"\npath = \"molecules.xyz\"");
    fs::write(folder.path().join("study.toml"), config).unwrap();
    outcome(&batchlab(folder.path(), &["run", "study.toml", "--quiet"]))
}

const WATER: &str = "3
gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t
O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706
H\t 0.0647664923\t 0.0205621989\t 0.0015346341\t 0.294853
H\t 0.8717903737\t 1.3007924048\t 0.0006931336\t 0.294853
1671.4222\t3803.6305\t3907.698
O\tO
InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2
";

#[test]
fn truncated_file() {
    let cut = WATER.find("H\t 0.8717").unwrap();
    let (code, message) = with_data(&WATER[..cut]);
    insta::assert_snapshot!("truncated_file", message);
    assert_eq!(code, 3);
}

#[test]
fn nan_coordinate() {
    let (code, message) = with_data(&WATER.replace("0.0205621989", "nan"));
    insta::assert_snapshot!("nan_coordinate", message);
    assert_eq!(code, 3);
}

#[test]
fn empty_data_set() {
    let (code, message) = with_data("");
    insta::assert_snapshot!("empty_data_set", message);
    assert_eq!(code, 3);
}

#[test]
fn missing_configuration() {
    let folder = TempDir::new().unwrap();
    let (code, message) = outcome(&batchlab(folder.path(), &["run", "nothing.toml"]));
    insta::assert_snapshot!("missing_configuration", message);
    assert_eq!(code, 2);
}
