//! The first hour with batchlab: README's commands as they are written, own data, one language for all
//! commands.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::small_run::{Tables, names, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn batchlab(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    // Another sweep on this machine is none of these tests' business.
    command.env("BATCHLAB_LOCKS", folder).env("BATCHLAB_CACHE", "off");
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = batchlab(folder, arguments);
    assert!(output.status.success(), "{arguments:?}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with README's configurations.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("configs")).unwrap();
    fs::copy(root().join("configs/smoke.toml"), folder.path().join("configs/smoke.toml")).unwrap();
    folder
}

#[test]
fn what_a_run_leaves_can_be_used_as_the_readme_says() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block = readme.split("```").find(|block| block.contains("batchlab weights results/smoke"));
    let lines: Vec<&str> = block.unwrap().lines().filter(|l| l.starts_with("batchlab ")).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let folder = folder();
    for line in &lines {
        let command = line.split('#').next().unwrap();
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        good(folder.path(), &words);
    }
    for file in ["predictions.parquet", "weights.safetensors"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    let tables = Tables::read(&folder.path().join("results/smoke"));
    let [first, second] = tables.runs.as_slice() else { panic!("{:?}", tables.runs.len()) };
    assert_eq!((first.n_step, second.n_step), (Some(200), Some(400)));
    assert_eq!(second.parent.as_ref(), Some(&first.run_id));
    let own = tables.steps.iter().filter(|step| step.run_id == second.run_id);
    assert!(own.map(|step| step.step).eq(201..=400));
    for eval in &tables.evals {
        let parent_is_first = eval.run_id == second.run_id;
        let n_own = eval.step - if parent_is_first { 200 } else { 0 };
        assert_eq!(eval.train_ns.unwrap() > 0, n_own > 0, "{eval:?}");
    }
}

#[test]
fn weights_are_kept_unless_they_are_not_wanted_and_in_sweeps_if_they_are() {
    let kept = |command: &str, change: &str| {
        let folder = folder();
        let steps = "training.steps=3";
        let arguments = [command, "configs/smoke.toml", steps, "blocks.pairs=0", change, "--quiet"];
        good(folder.path(), &arguments);
        let runs = folder.path().join("results/smoke/runs");
        let run = runs.join(names(&runs).pop().unwrap());
        names(&run.join("checkpoints")).len()
    };
    let none = "training.checkpoint=none";
    let asked = "training.checkpoint={ steps = 100 }";
    assert_eq!((kept("run", "device=cpu"), kept("run", none)), (1, 0));
    assert_eq!((kept("sweep", "device=cpu"), kept("sweep", asked)), (0, 1));
}

fn molecules(n: usize) -> String {
    let molecule = |k: usize| {
        let x = 0.7 + (k % 7) as f64 / 50.0;
        format!(
            "3\nProperties=species:S:1:pos:R:3 energy={}\nO 0 0 0\nH {x} 0 0\nH 0 {x} 0\n",
            -76.0 - (k % 7) as f64 / 10.0
        )
    };
    (0..n).map(molecule).collect()
}

#[test]
fn own_data_need_no_configuration() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("mine.extxyz"), molecules(60)).unwrap();
    let own = ["--dataset", "structures", "path=mine.extxyz", "target=energy", "unit=eV"];
    for stats in [&own[..], &["mine.extxyz", "target=energy"], &["mine.extxyz"]] {
        let found = good(path, &[&["data", "stats", "--json"], stats].concat());
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["datasets"][0]["n_member"], 60, "{found}");
    }
    let plan = good(path, &[&["plan", "batch_sizes=8", "--steps", "9"], &own[..]].concat());
    assert!(plan.contains("static-2^N"), "{plan}");
    let summary = |arguments: &[&str]| -> Value {
        let all = [&["run", "--json", "--quiet", "training.steps=3"], arguments].concat();
        serde_json::from_str(&good(path, &all)).unwrap()
    };
    let with_a_file = summary(&[&["configs/smoke.toml"], &own[..]].concat());
    assert_eq!(with_a_file["header"]["dataset"], "structures");
    assert_eq!(with_a_file["header"]["target"], serde_json::json!(["energy", "eV"]));
    let alone = ["model=schnet", "batcher=static-64", "batcher.batch_size=8"];
    let alone = summary(&[&own[..], &alone].concat());
    assert_eq!(alone["header"]["batcher"], "static-64");
    let by_file = ["--dataset", "mine.extxyz", "target=energy"];
    let by_file = summary(&[&["configs/smoke.toml"], &by_file[..]].concat());
    assert_eq!(by_file["header"]["n_graph"], serde_json::json!([48, 6, 6]));
}

#[test]
fn a_stray_file_is_passed_over_and_named() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a.xyz"), molecules(5)).unwrap();
    fs::write(data.join("b.xyz"), molecules(5)).unwrap();
    fs::write(data.join("README.md"), "# What this is\n").unwrap();
    fs::write(data.join(".DS_Store"), b"\0\0\0\x01Bud1").unwrap();
    let arguments = ["data", "stats", "--dataset", "structures", "path=data", "target=energy"];
    let output = batchlab(folder.path(), &arguments);
    let printed = text(&output);
    assert!(output.status.success() && printed.contains("10 graphs"), "{printed}");
    assert!(printed.contains("passed over") && printed.contains("data/README.md"), "{printed}");
}

/// The same file and the same changes, whatever the command.
#[test]
fn all_commands_read_the_same_language() {
    let folder = folder();
    let path = folder.path();
    let study = "batchers = [\"static-64\", \"dynamic\"]\nbatch_sizes = [8, 16]\nrepeats = 2\n\
                 [[datasets]]\nname = \"qm9\"\nlimit = 200\n[[models]]\nname = \"schnet\"\n\
                 [training]\nsteps = 3\n";
    fs::write(path.join("study.toml"), study).unwrap();
    let checked = good(path, &["check", "study.toml"]);
    assert_eq!(checked.lines().count(), 4, "{checked}");
    let json: Value =
        serde_json::from_str(&good(path, &["check", "study.toml", "--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 8);
    let plan = good(path, &["plan", "study.toml", "--steps", "9", "--json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["plans"][0]["strategies"].as_array().unwrap().len(), 4);
    let stats = good(path, &["data", "stats", "study.toml", "--json"]);
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["datasets"][0]["n_member"], 200);
    // One of all these runs is a run, under the same name in all commands.
    let one = ["study.toml", "batchers=exact", "batch_sizes=8", "repeats=1"];
    let label = |command: &[&str]| {
        let all = [command, &one].concat();
        let value: Value = serde_json::from_str(&good(path, &all)).unwrap();
        let found = [&value["header"]["batcher"], &value["plans"][0]["strategies"][0]["label"]];
        found.into_iter().find_map(Value::as_str).unwrap().to_owned()
    };
    assert_eq!(label(&["run", "--json", "--quiet"]), "exact");
    assert_eq!(label(&["plan", "--json", "--steps", "5"]), "exact");
    let resolved: toml::Table =
        toml::from_str(&good(path, &[&["check"], &one[..]].concat())).unwrap();
    assert_eq!(resolved["batcher"]["batch_size"].as_integer(), Some(8));
}

/// What a run records works from another folder, where its relative paths mean nothing.
#[test]
fn a_recorded_configuration_works_from_any_folder() {
    let folder = folder();
    fs::write(folder.path().join("mine.extxyz"), molecules(60)).unwrap();
    let own = ["--dataset", "structures", "path=mine.extxyz", "target=energy"];
    let run = ["run", "configs/smoke.toml", "training.steps=3", "--quiet"];
    good(folder.path(), &[&run[..], &own].concat());
    let runs = folder.path().join("results/smoke/runs");
    let config = runs.join(names(&runs).pop().unwrap()).join("config.toml");
    let elsewhere = TempDir::new().unwrap();
    good(elsewhere.path(), &["run", config.to_str().unwrap(), "--quiet"]);
    let [here, there] =
        [folder.path(), elsewhere.path()].map(|path| Tables::read(&path.join("results/smoke")));
    assert_eq!(here.runs[0].config_hash, there.runs[0].config_hash);
    assert_eq!(here.timeless_steps(), there.timeless_steps());
}

#[test]
fn a_report_names_the_one_command_that_made_a_sweep() {
    let folder = folder();
    let sweep = ["sweep", "configs/smoke.toml", "batchers=exact,dynamic", "training.steps=4"];
    good(folder.path(), &[&sweep[..], &["blocks.pairs=0", "--quiet"]].concat());
    good(folder.path(), &["report", "results/smoke", "--html", "report.html"]);
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    let command = "batchlab sweep configs/smoke.toml batchers=exact,dynamic training.steps=4";
    assert_eq!(page.matches(command).count(), 1);
    assert!(!page.contains("batchlab run "), "the runs of a sweep are not named one by one");
}

#[test]
fn nonsense_is_said_before_training_and_at_the_end_and_is_recorded() {
    let check = |kind: &str, changes: &[&str], part: &str| {
        let folder = folder();
        let run = ["run", "configs/smoke.toml", "training.steps=3", "dataset.limit=200"];
        let output = batchlab(folder.path(), &[&run[..], changes].concat());
        let printed = text(&output);
        assert!(output.status.success(), "{printed}");
        assert_eq!(printed.matches(part).count(), 2, "{printed}");
        let (before, after) =
            (printed.find("warning: ").unwrap(), printed.find("outcome").unwrap());
        assert!(before < after && printed[after..].contains(part), "{printed}");
        let events = Tables::read(&folder.path().join("results/smoke")).events;
        let found: Vec<_> = events.iter().filter(|event| event.kind == kind).collect();
        assert_eq!(found.len(), 1, "{kind}");
        assert!(found[0].message.contains(part) && found[0].step.is_none(), "{:?}", found[0]);
    };
    check(
        "mostly_oversize",
        &["batcher.budget={ n_node = 10, n_edge = 20 }"],
        "160 of 160 training graphs are larger than a batch of",
    );
    check(
        "small_training_set",
        &["batcher=static-64", "batcher.batch_size=500"],
        "a batch has room for 499 graphs, and there are 160 to train on",
    );
    // Nine of ten molecules have atoms that are 100 angstrom apart.
    let far = |k: usize| {
        let x = if k.is_multiple_of(10) { 1.0 } else { 100.0 };
        format!("2\nProperties=species:S:1:pos:R:3 energy={}\nH 0 0 0\nH {x} 0 0\n", k % 7)
    };
    let data = TempDir::new().unwrap();
    let path = data.path().join("far.extxyz");
    fs::write(&path, (0..200).map(far).collect::<String>()).unwrap();
    let path = format!("path={}", path.display());
    check(
        "mostly_without_edges",
        &["--dataset", "structures", &path, "target=energy"],
        "of 160 training graphs have no edge",
    );
}
