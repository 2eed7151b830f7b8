//! The first hour with batchlab: README's commands verbatim, own data, one language for all
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
    // Other sweeps on this machine must not affect these tests.
    command.env("BATCHLAB_LOCKS", folder).env("BATCHLAB_CACHE", "off");
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = batchlab(folder, arguments);
    assert!(output.status.success(), "{arguments:?}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory with README's configurations.
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

/// Every command of README, in order, in one directory. Training is shortened, and the placeholders
/// for run names and the user's own file are filled in.
#[test]
fn the_commands_of_the_readme_work_in_their_order() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir_all(path.join("configs/study")).unwrap();
    fs::copy(root().join("configs/study/quick.toml"), path.join("configs/study/quick.toml"))
        .unwrap();
    fs::create_dir_all(path.join("configs/plan")).unwrap();
    fs::copy(root().join("configs/plan/qm9.toml"), path.join("configs/plan/qm9.toml")).unwrap();
    fs::create_dir_all(path.join("data")).unwrap();
    let sizes = "data/qm9_sizes.csv.xz";
    fs::copy(root().join(sizes), path.join(sizes)).unwrap();
    fs::write(path.join("mine.extxyz"), molecules(60)).unwrap();
    fs::write(path.join("sizes.csv"), "n_node,n_edge\n".to_owned() + &"9,72\n18,306\n".repeat(99))
        .unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let printed = blocks.flat_map(str::lines).filter_map(|line| {
        let line = line.replace("cargo run --release -- ", "batchlab ");
        Some(line.strip_prefix("batchlab ")?.to_owned())
    });
    let mut n_command = 0;
    for line in printed.filter(|line| !line.starts_with("data fetch")) {
        // External programs that read our output.
        let line = line.split(" | ").next().unwrap();
        let runs = names(&path.join("results/smoke/runs"));
        let mut line = line.split(" #").next().unwrap().trim().to_owned();
        for (name, run) in
            [("RUN_ID", runs.last()), ("runs/A", runs.first()), ("runs/B", runs.last())]
        {
            let run =
                run.map(|run| if name == "RUN_ID" { run.clone() } else { format!("runs/{run}") });
            line = run.map_or(line.clone(), |run| line.replace(name, &run));
        }
        let is_resumed = line.contains("--resume");
        let short = match line.split(' ').next().unwrap() {
            "run" if is_resumed => "training.steps=9",
            "run" => "training.steps=3 model.latent_size=8",
            "sweep" => {
                "training.steps=3 evaluation.every=3 blocks.pairs=0 model.latent_size=8 split.test=0.01 dataset.limit=100"
            }
            "plan" => "--steps 100",
            _ => "",
        };
        // A completed run resumes only if more steps are requested.
        let ends = is_resumed && !line.contains("training.steps");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("batchlab {line} {short}")]).current_dir(path);
        shell.env("BATCHLAB_LOCKS", path).env("BATCHLAB_CACHE", "off");
        let program = Path::new(env!("CARGO_BIN_EXE_batchlab")).parent().unwrap();
        shell.env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap()));
        let output = shell.output().unwrap();
        assert!(output.status.success() || ends, "batchlab {line} {short}\n{}", text(&output));
        n_command += 1;
    }
    assert!(n_command >= 25, "{n_command}");
}

/// A key on the command line replaces the one that it excludes in the file.
#[test]
fn a_change_replaces_its_alternative() {
    let folder = folder();
    let path = folder.path();
    let file = "[dataset]\nname = \"one-graph\"\n[model]\nname = \"gcn\"\n\
                [batcher]\nname = \"ibmb\"\nmax_aux_per_batch = 90\nepsilon = 1e-3\n\
                [split]\npublished = false\nper_class = { train = 2, validation = 2 }\n\
                [training]\nepochs = 3\ncheckpoint = \"none\"\n";
    fs::write(path.join("nodes.toml"), file).unwrap();
    let molecules = "[dataset]\nname = \"qm9\"\nedges = { nearest = 4 }\n[model]\nname = \"schnet\"\ncutoff_angstrom = 4.0\n\
                     [batcher]\nname = \"static\"\nbatch_size = 8\npadding = \"constant\"\n\
                     [training]\nsteps = 3\n";
    fs::write(path.join("graphs.toml"), molecules).unwrap();
    let study = "batchers = [\"static-64\", { name = \"dynamic\" }]\nbatch_sizes = [8, 16]\n\
                 [[datasets]]\nname = \"qm9\"\n[[models]]\nname = \"schnet\"\n[[models]]\nname = \"painn\"\n\
                 [training]\nsteps = 3\n[[variants]]\ntraining.prefetch = 0\n[[variants]]\ntraining.prefetch = 1\n";
    fs::write(path.join("study.toml"), study).unwrap();
    let resolved = |arguments: &[&str]| -> toml::Table {
        toml::from_str(&good(path, &[&["check"], arguments].concat())).unwrap()
    };
    for (file, changes, table, is, is_not) in [
        ("nodes.toml", "training.steps=5", "training", "steps", "epochs"),
        ("configs/smoke.toml", "training.epochs=5", "training", "epochs", "steps"),
        ("nodes.toml", "split.test=0.25", "split", "test", "per_class"),
        (
            "nodes.toml",
            "batcher.outputs_per_batch=9",
            "batcher",
            "outputs_per_batch",
            "max_aux_per_batch",
        ),
        ("nodes.toml", "batcher.outputs=random", "batcher", "epsilon", "max_aux_per_batch"),
        ("nodes.toml", "training.checkpoint.steps=7", "training", "checkpoint", "steps"),
        ("graphs.toml", "model.name=mpeu", "model", "latent_size", "cutoff_angstrom"),
        ("graphs.toml", "batcher.name=dynamic", "batcher", "budget", "compat_drop_overflow"),
    ] {
        let found = resolved(&[file, changes]);
        let table = found[table].as_table().unwrap();
        assert!(table.contains_key(is) && !table.contains_key(is_not), "{changes}: {table:?}");
    }
    let edges = |changes| resolved(&["graphs.toml", changes])["dataset"]["edges"].to_string();
    assert_eq!(edges("dataset.edges.radius=3"), "{ radius = 3.0 }");
    let padding = |changes| resolved(&["graphs.toml", changes])["batcher"]["padding"].to_string();
    assert_eq!(padding("batcher.padding.power=2"), "{ power = 2 }");
    // Two mutually exclusive overrides are still an error.
    let both = ["check", "configs/smoke.toml", "training.steps=5", "training.epochs=5"];
    assert!(text(&batchlab(path, &both)).contains("give either steps or epochs, not both"));

    let cells = |changes: &[&str]| {
        let checked = good(path, &[&["check", "study.toml"], changes].concat());
        checked.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(cells(&[]).len(), 2 * 2 * 2);
    assert_eq!(cells(&["training.prefetch=0"]).len(), 2 * 2, "the variants are one");
    assert_eq!(cells(&["training.prefetch=2,3"]).len(), 2 * 2 * 2);
    assert_eq!(cells(&["model=schnet"]).len(), 2 * 2, "one of the models that are listed");
    assert_eq!(cells(&["batcher.batch_size=32", "model=schnet"]).len(), 2);
    let one = ["batcher=static-64", "model=painn", "batcher.batch_size=32", "training.prefetch=0"];
    let one = resolved(&[&["study.toml"], &one[..]].concat());
    assert_eq!(one["batcher"]["batch_size"].as_integer(), Some(32));
    assert_eq!(one["model"]["name"].as_str(), Some("painn"));
    let sizes = good(path, &["check", "study.toml", "--json", "batch_sizes=32", "model=painn"]);
    let sizes: Value = serde_json::from_str(&sizes).unwrap();
    for run in sizes.as_array().unwrap() {
        assert_eq!(run["batcher"]["batch_size"], 32, "{run}");
    }
}

#[test]
fn one_graph_trains_at_first_try() {
    let folder = folder();
    fs::copy(root().join("configs/cora.toml"), folder.path().join("configs/cora.toml")).unwrap();
    let epochs = "training.epochs=2";
    for arguments in [
        &["run", "configs/cora.toml", "batcher=ibmb", epochs][..],
        &["run", "--dataset", "one-graph", "model=gcn", "batcher=full", epochs],
    ] {
        let output = batchlab(folder.path(), arguments);
        let printed = text(&output);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("accuracy") && printed.contains("nodes"), "{printed}");
        assert!(!printed.contains("graphs"), "nodes are called nodes: {printed}");
    }
    let checked = good(folder.path(), &["check", "configs/cora.toml"]);
    let checked: toml::Table = toml::from_str(&checked).unwrap();
    assert_eq!(checked["evaluation"]["batcher"]["name"].as_str(), Some("full"));
    assert_eq!(checked["training"]["loss"].as_str(), Some("cross-entropy"));
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
    assert!(printed.contains("skipped") && printed.contains("data/README.md"), "{printed}");
}

/// The same file and the same overrides, whatever the command.
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
    // A single one of these runs is a run, under the same name in all commands.
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

/// The recorded configuration of a run works from another directory, where its relative paths mean
/// nothing.
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
        "a batch has room for 499 graphs, but there are only 160 to train on",
    );
    check(
        "empty_subset",
        &["dataset.limit=7"],
        "there are no graphs for validation and test: 0.1 of 7",
    );
    // All have the same energy; a standard deviation of 0 is not a measured scale.
    let same = "2\nProperties=species:S:1:pos:R:3 energy=-1.5\nH 0 0 0\nH 1 0 0\n".repeat(40);
    let data = TempDir::new().unwrap();
    let path = data.path().join("same.extxyz");
    fs::write(&path, same).unwrap();
    let path = format!("path={}", path.display());
    check(
        "constant_target",
        &["--dataset", "structures", &path, "target=energy"],
        "all 32 training graphs have the same target, \"energy\" = -1.5",
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
