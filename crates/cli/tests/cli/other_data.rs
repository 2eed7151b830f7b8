//! A trained model on other data: prepared as in training, however they are named, with or without
//! a target.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::Output;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::resume::completed;
use crate::small_run::{batchlab, text};

/// Distances from 0.9 to 3, of which only those below 2 make edges.
const CONFIG: &str = r#"
[dataset]
name = "structures"
path = "train.xyz"
target = "energy"
unit = "eV"
edges = { radius = 2.0 }
[model]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1
[batcher]
name = "dynamic"
batch_size = 8
[training]
steps = 5
"#;

/// Chains of atoms, with energies around -100.
fn chains(n: usize, elements: [&str; 3], key: Option<&str>) -> String {
    let mut text = String::new();
    for chain in 0..n {
        let n_atom = 3 + chain % 4;
        let energy = -100.0 - (chain * 7 % 5) as f64;
        let property = key.map(|key| format!("{key}={energy}")).unwrap_or_default();
        writeln!(text, "{n_atom}\nProperties=species:S:1:pos:R:3 {property}").unwrap();
        for atom in 0..n_atom {
            let (element, x) = (elements[atom % 3], atom as f64 * (0.9 + 0.05 * chain as f64));
            writeln!(text, "{element} {x:.3} 0 0").unwrap();
        }
    }
    text
}

const ELEMENTS: [&str; 3] = ["C", "H", "O"];

fn call(folder: &Path, arguments: &[&str]) -> Output {
    batchlab().args(arguments).args(["--threads", "1"]).current_dir(folder).output().unwrap()
}

fn trained(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("run.toml"), config).unwrap();
    let frames = |n, key| chains(n, ELEMENTS, key);
    for (name, text) in [
        ("train.xyz", frames(40, Some("energy"))),
        ("same.xyz", frames(40, Some("energy"))),
        ("bare.xyz", frames(40, None)),
        ("some.xyz", frames(20, Some("energy")) + &frames(40, None)),
        ("renamed.xyz", frames(40, Some("E"))),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let arguments = ["run", "run.toml", "--out", "out", "--threads", "1"];
    completed(batchlab().args(arguments).current_dir(folder.path()));
    folder
}

fn predict(folder: &Path, arguments: &[&str]) -> (RecordBatch, String) {
    let fixed = ["predict", "out", "--out", "p.parquet"];
    let output = call(folder, &[&fixed, arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    let file = File::open(folder.join("p.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    (reader.build().unwrap().next().unwrap().unwrap(), text(&output))
}

fn predictions(folder: &Path, arguments: &[&str]) -> Vec<f64> {
    let (rows, _) = predict(folder, arguments);
    rows["prediction"].as_primitive::<Float64Type>().values().to_vec()
}

fn names(rows: &RecordBatch) -> Vec<&str> {
    rows["name"].as_string::<i32>().iter().map(Option::unwrap).collect()
}

#[test]
fn predictions_are_the_same_however_the_data_are_named() {
    let trained = trained(CONFIG);
    let folder = trained.path();
    let reference = predictions(folder, &["--subset", "all"]);
    let mean = reference.iter().sum::<f64>() / reference.len() as f64;
    assert!((mean + 102.0).abs() < 5.0, "in eV, not standardised: {mean}");
    // Without the keys that are as in training, in place of another file.
    let table = "[dataset]\nname = \"structures\"\npath = \"same.xyz\"\n";
    fs::write(folder.join("table.toml"), table).unwrap();
    fs::remove_file(folder.join("train.xyz")).unwrap();
    for arguments in [
        &["same.xyz"][..],
        &["bare.xyz"],
        &["renamed.xyz"],
        &["renamed.xyz", "target=E"],
        &["same.xyz", "edges={ radius = 2 }", "unit=eV"],
        &["--dataset", "bare.xyz"],
        &["--dataset", "structures", "path=bare.xyz"],
        &["path=bare.xyz"],
        &["dataset.path=same.xyz"],
        &["table.toml"],
        &["--dataset", "table.toml", "path=bare.xyz"],
    ] {
        assert_eq!(predictions(folder, arguments), reference, "{arguments:?}");
    }
    assert_eq!(predictions(folder, &["same.xyz", "limit=3"]), reference[..3]);

    let (rows, printed) = predict(folder, &["some.xyz"]);
    assert!(printed.contains("the 20 with a target: RMSE"), "{printed}");
    assert_eq!(rows["target"].null_count(), 40);
    assert_eq!(names(&rows)[..2], ["some.xyz@0", "some.xyz@1"]);
    assert_eq!(rows["prediction"].as_primitive::<Float64Type>().values()[20..], reference);

    fs::create_dir(folder.join("all")).unwrap();
    fs::write(folder.join("all/one.xyz"), chains(1, ELEMENTS, None)).unwrap();
    let with_id = chains(1, ELEMENTS, None).replace("pos:R:3", "pos:R:3 id=mp-7");
    fs::write(folder.join("all/two.xyz"), with_id).unwrap();
    let (rows, printed) = predict(folder, &["all"]);
    assert_eq!(names(&rows), ["one.xyz", "mp-7"]);
    assert!(printed.contains("no graph has the target \"energy\""), "{printed}");
}

#[test]
fn data_made_in_another_way_are_refused_or_warned_of() {
    let trained = trained(CONFIG);
    let folder = trained.path();
    let reference = predictions(folder, &["same.xyz"]);
    let nitrogen = chains(2, ["C", "N", "O"], Some("energy")) + &chains(40, ELEMENTS, None);
    fs::write(folder.join("nitrogen.xyz"), nitrogen).unwrap();
    let table = "[dataset]\nname = \"structures\"\npath = \"same.xyz\"\nunit = \"kJ/mol\"\n";
    fs::write(folder.join("table.toml"), table).unwrap();
    for (arguments, part, is_other) in [
        (
            &["same.xyz", "edges={ radius = 2.5 }"][..],
            "edges.radius: 2.0 in the checkpoint, 2.5",
            true,
        ),
        (&["--dataset", "structures", "path=same.xyz", "edges={ nearest = 2 }"], "edges", true),
        (&["edges=fully-connected"], "edges: {\"radius\":2.0} in the checkpoint", true),
        (&["table.toml"], "unit: \"eV\" in the checkpoint, \"kJ/mol\" now", false),
        (
            &["nitrogen.xyz"],
            "classes that do not occur in the training data: N; known classes: C, H, O",
            false,
        ),
        (&["--dataset", "qm9", "target=gap"], "do not occur in the training data: N", true),
    ] {
        for command in [&["evaluate", "out"][..], &["predict", "out", "--out", "x.parquet"]] {
            let output = call(folder, &[command, arguments].concat());
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            let printed = text(&output);
            assert!(printed.contains(part) && printed.contains("--allow-mismatch"), "{printed}");
        }
        if arguments.contains(&"qm9") {
            continue;
        }
        let allowed = [arguments, &["--allow-mismatch"]].concat();
        let (rows, printed) = predict(folder, &allowed);
        assert!(printed.contains("warning: ") && printed.contains(part), "{printed}");
        assert_eq!(rows.num_rows(), 40, "graphs that cannot be predicted are left out");
        let found = rows["prediction"].as_primitive::<Float64Type>().values();
        assert_eq!(found[..] != reference, is_other, "{arguments:?}");
    }
    assert!(!folder.join("x.parquet").exists());
    let output = call(folder, &["evaluate", "out", "renamed.xyz", "target=E"]);
    assert!(text(&output).contains("warning: the target is \"E\""), "{}", text(&output));
    // Impossible requests are reported before data are read.
    for (arguments, part) in [
        (&["same.xyz", "--batcher", "ibmb"][..], "batchers of graphs: bucketed, dynamic, packed"),
        (
            &["--dataset", "one-graph", "path=none.npz"],
            "model \"schnet\" does not work on one graph",
        ),
        (&["--dataset", "aflow", "path=none"], "not given are as in training"),
        (&["same.xyz", "classes=[\"a\"]"], "classes have no unit; remove `unit = \"eV\"`"),
        (&["--dataset", "qm9", "unit=eV"], "\"unit\" is not a key of data set \"qm9\""),
        (
            &["same.xyz", "training.steps=9"],
            "\"training.steps\" is not a key of data set \"structures\"",
        ),
        (&["same.xyz", "bare.xyz"], "several data sets"),
        (&["--dataset", "sam.xyz"], "neither a file nor a data set"),
    ] {
        let output = call(folder, &[&["evaluate", "out"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(part), "{}", text(&output));
    }
}

#[test]
fn a_unit_that_nothing_has_is_warned_of() {
    let of_qm9 = CONFIG.replace(
        "name = \"structures\"\npath = \"train.xyz\"\ntarget = \"energy\"\nunit = \"eV\"\nedges = { radius = 2.0 }",
        "name = \"qm9\"\nlimit = 100",
    );
    let without = CONFIG.replace("unit = \"eV\"\n", "");
    for (config, arguments, part) in [
        (
            &of_qm9,
            &["bare.xyz", "unit=kcal/mol"][..],
            Some(
                "no graph has the target \"U0_atom\", so its unit or classes have no effect: \
                  predictions are in eV",
            ),
        ),
        (&of_qm9, &["bare.xyz", "classes=[\"a\"]"], Some("unit or classes have no effect")),
        (&of_qm9, &["bare.xyz"], None),
        (&of_qm9, &["bare.xyz", "unit=eV"], None),
        (&without, &["same.xyz"], None),
        (&without, &["bare.xyz", "unit=eV"], Some("unit: not set in the checkpoint, \"eV\" now")),
        (
            &of_qm9,
            &["same.xyz", "target=energy"],
            Some("values of the target are numbers without a unit, but in eV in training"),
        ),
    ] {
        let trained = trained(config);
        let (_, printed) = predict(trained.path(), &[arguments, &["--allow-mismatch"]].concat());
        let warned: Vec<&str> = printed.lines().filter(|l| l.contains("warning: ")).collect();
        assert!(!printed.contains("\"1\""), "{printed}");
        match part {
            Some(part) => assert!(printed.contains(part), "{arguments:?}: {printed}"),
            None => assert_eq!(warned, Vec::<&str>::new(), "{arguments:?}"),
        }
    }
    let trained = trained(&without);
    let output = call(trained.path(), &["evaluate", "out", "--json"]);
    assert!(text(&output).contains("\"unit\": null"), "{}", text(&output));
}

#[test]
fn classes_need_no_target_either() {
    let classes =
        "target = \"energy\"\nclasses = [\"-100\", \"-101\", \"-102\", \"-103\", \"-104\"]";
    let config = CONFIG.replace("target = \"energy\"\nunit = \"eV\"", classes)
        + "loss = \"cross-entropy\"\n";
    let trained = trained(&config);
    let folder = trained.path();
    let reference = predictions(folder, &["same.xyz"]);
    for file in ["bare.xyz", "renamed.xyz"] {
        assert_eq!(predictions(folder, &[file]), reference);
    }
    let (_, printed) = predict(folder, &["some.xyz"]);
    assert!(printed.contains("the 20 with a target: accuracy"), "{printed}");
}
