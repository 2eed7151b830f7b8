//! A study with the real binary.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod ends;
mod launcher;
mod slurm;
mod turns;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::small_run::{Tables, batchlab, names, text};

/// Two batch sizes and two repeats of three batchers, in a second or two.
const STUDY: &str = r#"
study = "small"
batchers = ["static-64", "dynamic", { name = "static", padding = { power = 2 } }]
batch_sizes = [8, 16]
repeats = 2

[[datasets]]
name = "qm9"
limit = 200

[[models]]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1

[training]
steps = 25
warmup_steps = 2

[blocks]
steps = 5
seconds = 1e-6
pairs = 2
"#;

struct Study {
    folder: TempDir,
}

impl Study {
    fn new(study: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("study.toml"), study).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn out(&self) -> std::path::PathBuf {
        self.path().join("results/small")
    }

    /// The command. The device lock is in the directory, so that tests do not interfere.
    fn sweep(&self, arguments: &[&str]) -> Command {
        let mut command = batchlab();
        command.args(["sweep", "study.toml", "--threads", "1", "--hardware", "here"]);
        command.args(arguments).current_dir(self.path()).env("BATCHLAB_LOCKS", self.path());
        command
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.sweep(arguments).args(["--json", "--quiet"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn status(&self) -> Value {
        let command = ["status", "results/small", "--json"];
        let output = batchlab().args(command).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all["hardware"][0].clone()
    }

    /// Number of cells in each state.
    fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for cell in self.status()["cells"].as_array().unwrap() {
            let state = cell["progress"]["state"].as_str().unwrap().to_owned();
            *states.entry(state).or_default() += 1;
        }
        states
    }

    fn tables(&self) -> Tables {
        Tables::read(&self.out())
    }
}

/// Each cell of the tables with its runs' batchers; no batcher occurs twice among completed runs.
fn cells(tables: &Tables) -> BTreeMap<String, BTreeSet<String>> {
    let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in tables.runs.iter().filter(|run| run.status == "completed") {
        let batchers = cells.entry(run.cell.clone().unwrap()).or_default();
        assert!(batchers.insert(run.batcher.clone()), "{} twice in {:?}", run.batcher, run.cell);
    }
    cells
}

/// Every cell of the study was trained entirely in one process. A process killed while publishing
/// may have left part of a cell.
fn assert_is_complete(tables: &Tables) {
    let mut whole = cells(tables);
    whole.retain(|_, batchers| batchers.len() == 3);
    // Without the part that differs between processes.
    let name = |cell: &String| cell.rsplit_once('-').unwrap().0.to_owned();
    let cells: BTreeSet<String> = whole.keys().map(name).collect();
    assert_eq!(cells.len(), 4, "{whole:?}");
}

/// One cell of two strategies.
const ONE_CELL: [&str; 3] = ["batch_sizes=16", "repeats=1", "batchers=dynamic,static-64"];

#[test]
fn widths_that_mean_nothing_are_refused() {
    let study = Study::new(STUDY);
    for width in ["0", "100%", "-1%", "narrow"] {
        let output = study.sweep(&["--ci-width", width]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{width}: {}", text(&output));
    }
    let output = study.sweep(&["--ci-width", "2%", "blocks.exclusive=false"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(!study.path().join("results").exists());
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_timing_study_refuses_a_second_worker_on_the_device() {
    let study = Study::new(STUDY);
    let long = ["training.steps=4000"];
    let first = study.sweep(&long).arg("--quiet").spawn().unwrap();
    wait_for("a run", || !names(&study.out().join("wip")).is_empty());
    let second = study.sweep(&long).output().unwrap();
    let pid = first.id();
    kill(first);
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    let message = String::from_utf8(second.stderr).unwrap();
    insta::assert_snapshot!("device_busy", message.replace(&pid.to_string(), "[pid]"));
    // The system releases the device, however its owner exited.
    study.done(&["training.steps=10", "repeats=1", "batch_sizes=8"]);
}

#[test]
fn a_sweep_can_wait_for_the_device() {
    let study = Study::new(STUDY);
    let lock = fs::File::create(study.path().join("batchlab-device-cpu.lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = study.sweep(&ONE_CELL);
    let waiting = waiting.arg("--wait").stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(!study.out().join("runs").exists());
    lock.unlock().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).matches("note: waiting: device cpu is in use").count(), 1);
    assert_eq!(study.tables().runs.len(), 2);
}

/// A cell is done only with the tables of its runs.
#[test]
fn results_that_are_gone_are_trained_again() {
    let study = Study::new(STUDY);
    let arguments = ["batch_sizes=8,16", "repeats=1", "batchers=dynamic,static-64"];
    study.done(&arguments);
    let first = study.tables();
    let gone = |batch_size: i64| {
        let run = first.runs.iter().find(|run| run.batch_size == Some(batch_size)).unwrap();
        run.run_id.clone()
    };
    // One table of one run, and everything of another, as `doctor` advises for an unwanted run.
    fs::remove_file(study.out().join(format!("tables/steps/{}.parquet", gone(8)))).unwrap();
    for table in names(&study.out().join("tables")) {
        let _ = fs::remove_file(study.out().join(format!("tables/{table}/{}.parquet", gone(16))));
    }
    fs::remove_dir_all(study.out().join("runs").join(gone(16))).unwrap();
    assert_eq!(study.states(), BTreeMap::from([("waiting".to_owned(), 2)]));
    let report = batchlab().arg("report").arg(study.out()).output().unwrap();
    let reason = format!("with run {}, whose results are gone", gone(16));
    assert!(text(&report).contains(&reason), "{}", text(&report));
    let output = study.sweep(&arguments).args(["--dry-run", "--json"]).output().unwrap();
    let planned: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(planned["n_cell_done"], 0);
    let output = study.sweep(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).matches("its results are gone or changed").count(), 2);
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 2)]));
    assert_eq!(study.done(&arguments)["n_done"], 0);
    let report = batchlab().arg("report").arg(study.out()).output().unwrap();
    assert!(!text(&report).contains("results are gone"), "{}", text(&report));
}

/// If the open-file limit is too low for a cell, nothing starts and nothing is left behind.
#[test]
fn a_cell_with_too_many_files_leaves_nothing_behind() {
    let study = Study::new(STUDY);
    let batchers: Vec<String> = (1..=20)
        .map(|n| format!("{{ name = \"static\", padding = {{ multiple = {n} }} }}"))
        .collect();
    let batchers = format!("batchers=[{}]", batchers.join(", "));
    let arguments = [batchers.as_str(), "batch_sizes=8", "repeats=1", "training.steps=2"];
    let limited = |limit: &str| {
        let sweep = study.sweep(&arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")]).arg(sweep.get_program());
        shell.args(sweep.get_args()).current_dir(study.path());
        shell.env("BATCHLAB_LOCKS", study.path()).output().unwrap()
    };
    // Wherever the last free file would have been used.
    for n in 96..104 {
        let output = limited(&format!("ulimit -n {n}"));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("as with `ulimit -n 1024`"), "{}", text(&output));
        assert_eq!(text(&output).matches("Too many open files").count(), 1, "{}", text(&output));
        assert_eq!(names(&study.out().join("runs")), Vec::<String>::new());
        assert_eq!(names(&study.out().join("wip")), Vec::<String>::new());
    }
    // The soft limit is raised.
    let output = limited("ulimit -S -n 100");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(study.tables().runs.len(), 20);
}

/// A path that is not valid text is no reason to lose the summary.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_needs_no_name_in_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let study = Study::new(STUDY);
    let out = std::ffi::OsStr::from_bytes(b"r\xffsults");
    let mut sweep =
        study.sweep(&["batch_sizes=8", "repeats=1", "training.checkpoint={ steps = 10 }"]);
    let output = sweep.arg("--json").arg("--out").arg(out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["n_done"], &all["out"]), (&1.into(), &"r\u{fffd}sults".into()));
    let run = batchlab()
        .args([
            "run",
            "study.toml",
            "batchers=dynamic",
            "batch_sizes=8",
            "repeats=1",
            "--json",
            "--out",
        ])
        .arg(out)
        .current_dir(study.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run));
    assert!(serde_json::from_slice::<Value>(&run.stdout).is_ok());
}

#[test]
fn a_study_without_end_is_refused_at_once() {
    let many = "\n[[variants]]\ntraining.learning_rate = 1e-3";
    let values: Vec<String> = (1..200).map(|n| n.to_string()).collect();
    let steps = format!("training.steps={}", values.join(","));
    let warmup = format!("training.warmup_steps={}", values.join(","));
    let refused = [
        (STUDY.to_owned(), vec!["repeats=100000"], "600000 runs"),
        (STUDY.to_owned(), vec!["repeats=4294967295"], "runs"),
        (STUDY.to_owned() + &many.repeat(20_000), vec![], "20000 variants"),
        (STUDY.to_owned(), vec![&*steps, &*warmup], "39601 variants"),
    ];
    for (study, arguments, part) in refused {
        let study = Study::new(&study);
        let start = Instant::now();
        let mut check = batchlab();
        check.args(["check", "study.toml"]).args(arguments).current_dir(study.path());
        let output = check.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{part}: {}", text(&output));
        let message = text(&output);
        assert!(message.contains(part) && message.contains("20000 are the maximum"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(60), "{part}");
    }
}

#[test]
fn a_run_that_fails_does_not_take_the_others_with_it() {
    // At this batch size, the budget of one batcher is too small for any graph.
    let batchers = "batchers=dynamic,{ name = \"dynamic\", budget = { n_node = 12, n_edge = 12 }, oversize = \"error\" }";
    let study = Study::new(STUDY);
    let arguments = [batchers, "batch_sizes=8", "repeats=1"];
    let output = study.sweep(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    let tables = study.tables();
    let completed = tables.runs.iter().filter(|run| run.status == "completed").count();
    assert_eq!(completed, 1, "{}", text(&output));
    let state = &study.status()["cells"][0]["progress"];
    let failed: Vec<&Value> =
        state["runs"].as_array().unwrap().iter().filter(|run| run["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{state}");
    assert!(failed[0]["reason"].as_str().unwrap().contains("oversize"), "{state}");
    // It is not retried automatically.
    let again = study.sweep(&arguments).output().unwrap();
    assert_eq!((again.status.code(), study.tables().runs.len()), (Some(7), tables.runs.len()));
    let retried = study.sweep(&arguments).arg("--retry").output().unwrap();
    assert_eq!(retried.status.code(), Some(7));
    assert!(study.tables().runs.len() > tables.runs.len());
}

#[test]
fn a_dry_run_tells_what_it_will_take_and_writes_nothing() {
    let study = Study::new(STUDY);
    let output = study.sweep(&["--dry-run", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["n_cell"], &all["n_run"]), (&4.into(), &12.into()));
    assert!(all["seconds"].as_f64().unwrap() > 0.0 && all["n_byte"].as_u64().unwrap() > 100_000);
    assert_eq!(all["cells"][3]["cell"]["batch_size"], 16);
    assert_eq!(all["cells"][3]["n_pair"], 2);
    let difference = all["cells"][3]["difference"].as_f64().unwrap();
    assert!(difference > 0.0, "{all}");
    let narrow = study.sweep(&["--dry-run", "--json", "--ci-width", "0.001%"]).output().unwrap();
    let narrow: Value = serde_json::from_slice(&narrow.stdout).unwrap();
    assert_eq!(narrow["cells"][3]["n_pair"], 160);
    assert!(narrow["seconds"].as_f64() > all["seconds"].as_f64());
    assert!(!study.path().join("results").exists());

    let missing = "datasets={ name = \"qm9\", path = \"nowhere.npz\" }";
    let missing = missing.replace("datasets={", "datasets=[{") + "]";
    let output = study.sweep(&["--dry-run", &missing]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("not counted, because it cannot run"), "{}", text(&output));
}

#[test]
fn what_is_done_is_not_counted_again() {
    let study = Study::new(STUDY);
    study.done(&["batch_sizes=8", "repeats=1"]);
    let output = study.sweep(&["--dry-run", "--json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["n_cell"], &all["n_cell_done"]), (&4.into(), &1.into()), "{all}");
    let cells = all["cells"].as_array().unwrap();
    let bytes = |cell: &&Value| cell["n_byte"].as_u64().unwrap();
    let waiting = cells.iter().filter(|cell| cell["is_done"] == false);
    assert_eq!(all["n_byte"], waiting.map(|cell| bytes(&cell)).sum::<u64>());
    // Completed cells are not tried again.
    assert!(cells[0]["seconds"].is_null() && cells[0]["runs"] == Value::Array(Vec::new()));
    let output = study.sweep(&["--dry-run"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("1 of 4 cells are done; 3 with 9 runs: about "), "{lines}");

    let output = study.sweep(&["--dry-run", "batch_sizes=8", "repeats=1"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("all 1 cells are done; there is nothing to train"), "{lines}");
    assert!(!lines.contains("hours"), "{lines}");

    // A sweep with other choices lists other cells; the first one is not forgotten.
    study.done(&["batch_sizes=16", "repeats=1"]);
    let status = study.status();
    assert_eq!(
        (status["cells"].as_array().unwrap().len(), &status["n_done_beside"]),
        (1, &1.into())
    );
}

#[test]
fn namesakes_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let of = |datasets: &str, models: &str| {
        let study = format!(
            "batchers = [\"dynamic\"]\nbatch_sizes = [8]\ndatasets = {datasets}\nmodels = {models}\n\
             variants = [{{ training.prefetch = 0 }}, {{ dataset.limit = 9 }}]\n[training]\nsteps = 2\n"
        );
        fs::write(folder.path().join("study.toml"), study).unwrap();
        let output =
            batchlab().args(["check", "study.toml"]).current_dir(&folder).output().unwrap();
        let printed = text(&output);
        let cells = printed.lines().filter(|line| line.contains("repeat 0"));
        cells.map(|line| line.split(" B=8").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let two = "[\"qm9\", { name = \"qm9\", target = \"gap\", edges = { radius = 4.0 } }]";
    let wide = "[{ name = \"schnet\" }, { name = \"schnet\", latent_size = 8 }]";
    let cells = of(two, wide);
    let mut distinct = cells.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            "qm9 edges.radius=4.0 target=gap schnet latent_size=64",
            "qm9 edges.radius=4.0 target=gap schnet latent_size=8",
            "qm9 edges=fully-connected target=U0_atom schnet latent_size=64",
            "qm9 edges=fully-connected target=U0_atom schnet latent_size=8",
        ]
    );
    assert_eq!(cells.len(), 8, "variants are named once: {cells:?}");
    assert_eq!(of("[\"qm9\"]", "[\"schnet\", \"mpeu\"]")[..2], ["qm9 schnet", "qm9 schnet"]);
    assert_eq!(of("[\"qm9\"]", "[\"schnet\", \"mpeu\"]")[2..], ["qm9 mpeu", "qm9 mpeu"]);
}

/// The message for a modified copy of a valid study.
fn refusal(change: impl Fn(&str) -> String, arguments: &[&str]) -> String {
    let study = Study::new(&change(STUDY));
    let output = study.sweep(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(!study.path().join("results").exists(), "everything is checked before anything starts");
    String::from_utf8(output.stderr).unwrap()
}

macro_rules! refuses {
    ($($name:ident: $from:expr => $to:expr, $arguments:expr;)*) => {$(
        #[test]
        fn $name() {
            let message = refusal(
                |good| {
                    assert!(good.contains($from));
                    good.replace($from, $to)
                },
                &$arguments,
            );
            insta::assert_snapshot!(stringify!($name), message);
        }
    )*};
}

refuses! {
    unknown_key: "repeats = 2" => "repeat = 2", [];
    unknown_strategy: "\"dynamic\"" => "\"dynamik\"", [];
    unknown_model: "\"schnet\"" => "\"shnet\"", [];
    wrong_key_of_a_model: "latent_size = 8" => "latent_sise = 8", [];
    wrong_key_of_a_batcher: "padding = { power = 2 }" => "paddin = { power = 2 }", [];
    batcher_twice: "padding = { power = 2 }" => "padding = { multiple = 64 }", [];
    no_batch_sizes: "batch_sizes = [8, 16]" => "", [];
    batch_size_of_1: "[8, 16]" => "[8, 1]", [];
    both_forms: "study = \"small\"" => "study = \"small\"\nmodel = { name = \"mpeu\" }", [];
    second_gpu: "name = \"schnet\"\nlatent_size = 8\nn_gaussian = 8\nn_interaction = 1" =>
        "name = \"python\"\nfile = \"numpy_toy.py\"", ["--device", "cuda:1"];
    impossible_variant: "study" => "study", ["training.timing=combined,stages", "training.prefetch=1"];
    unknown_choice: "study" => "study", ["models=painm"];
    changes_that_are_no_table: "limit = 200" => "limit = 200\nwith = 3", [];
    changes_of_a_strategy_that_all_share: "padding = { power = 2 }" =>
        "padding = { power = 2 }, with = { training.learning_rate = 0.1, training.epochs = 3 }", [];
}
