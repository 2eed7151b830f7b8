//! Workers that are submitted to Slurm, with commands that stand in for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{STUDY, Study, wait_for};
use crate::small_run::{batchlab, names, text};

/// Every task is started, one after the other.
const SBATCH: &str = r#"
echo "$@" >> submitted
for word; do case $word in --array=0-*) last=${word#--array=0-};; esac; script=$word; done
for task in $(seq 0 "$last"); do
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$((8 + task)) sh "$script" >> log 2>&1
done
echo 7
"#;
const NO_TASK: &str = "exit 0";
const NO_ACCOUNTING: &str = "echo 'Slurm accounting storage is disabled' >&2; exit 1";
const WHOLE_NODE: &str = "echo JobId=8 RunTime=00:01:00 TimeLimit=04:00:00 OverSubscribe=NO";

/// Two cells.
const SHORT: [&str; 4] = ["repeats=1", "training.steps=12", "--launcher", "slurm"];

impl Study {
    /// A command of Slurm.
    fn command(&self, name: &str, script: &str) {
        let path = self.path().join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn on_slurm() -> Self {
        let study = Self::new(STUDY);
        for (name, script) in [
            ("sbatch", SBATCH),
            ("squeue", NO_TASK),
            ("sacct", NO_ACCOUNTING),
            ("scontrol", WHOLE_NODE),
        ] {
            study.command(name, script);
        }
        study
    }

    fn with_slurm<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path().join("bin").display()))
    }

    fn launch(&self, arguments: &[&str]) -> Output {
        let mut sweep = self.sweep(&[&SHORT[..], arguments].concat());
        self.with_slurm(&mut sweep).output().unwrap()
    }

    fn shown(&self) -> String {
        let mut status = batchlab();
        status.args(["status", "results/small"]).current_dir(self.path());
        text(&self.with_slurm(&mut status).output().unwrap())
    }

    fn submitted(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("submitted")).unwrap_or_default();
        let array = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        text.lines().map(array).collect()
    }
}

/// Every cell is done once, and of each attempt that counts there is every run once.
pub(super) fn assert_counted_once(study: &Study, n_cell: usize, n_run: usize) {
    let cells = study.out().join("cells/here");
    let mut attempts = BTreeSet::new();
    for cell in names(&cells).into_iter().filter(|name| cells.join(name).is_dir()) {
        let inside = names(&cells.join(&cell));
        let done: Vec<&String> = inside.iter().filter(|name| name.starts_with("done.")).collect();
        assert_eq!(done.len(), 1, "{inside:?}");
        let done = fs::read_to_string(cells.join(&cell).join("done.1/done.json")).unwrap();
        let done: Value = serde_json::from_str(&done).unwrap();
        attempts.insert(done["cell"].as_str().unwrap().to_owned());
    }
    let tables = study.tables();
    let is_counted = |cell: &Option<String>| cell.as_ref().is_some_and(|c| attempts.contains(c));
    let counted: Vec<_> = tables.runs.iter().filter(|run| is_counted(&run.cell)).collect();
    assert!(counted.iter().all(|run| run.status == "completed"));
    let distinct: BTreeSet<_> = counted.iter().map(|run| (&run.cell, &run.batcher)).collect();
    assert_eq!((attempts.len(), distinct.len(), counted.len()), (n_cell, n_run, n_run));
}

#[test]
fn a_dry_run_prints_script_and_command() {
    let study = Study::on_slurm();
    let output = study.launch(&[
        "--dry-run",
        "launcher.partition=gpu",
        "launcher.account=ml",
        "launcher.time=1day 30m",
        "launcher.gpus=1",
        "launcher.cpus=8",
        "launcher.options=[\"--mem=32G\", \"--acc=other\"]",
        "launcher.workers=1",
        "--ci-width",
        "2%",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let path = study.path().canonicalize().unwrap().display().to_string();
    let said = text(&output).replace(&path, "[folder]");
    let said = said.replace(&study.path().display().to_string(), "[folder]");
    let said = said.replace(env!("CARGO_BIN_EXE_batchlab"), "[program]");
    // The name ends with a hash of the folder.
    let name = said.split("--job-name=").nth(1).unwrap().lines().next().unwrap().to_owned();
    let said = said.replace(&name, "batchlab-small-here-[hash]");
    insta::assert_snapshot!("launcher_dry_run", said);
    assert!(!study.path().join("results").exists());
}

#[test]
fn mistakes_in_the_launcher_are_shown() {
    let study = Study::on_slurm();
    let of = |change: &str| {
        let output = study.launch(&[change]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        text(&output)
    };
    let changes = [
        "launcher.partitoin=gpu",
        "launcher.time=soon",
        "launcher.time=5s",
        "launcher.retry_for=long",
        "launcher.options=[\"--array=0-9\"]",
        "launcher.options=[\"-a0-9\"]",
        "launcher.options=[\"--arr=0-9\"]",
        "launcher.options=[\"--job=mine\"]",
        "launcher.options=[\"--mem=32G --array 0-9\"]",
        "launcher.options=[\"mem=32G\"]",
        "launcher.workers=0",
    ];
    insta::assert_snapshot!("launcher_mistakes", changes.map(of).join("\n"));
    assert!(study.submitted().is_empty());
}

#[test]
fn what_is_missing_is_submitted() {
    let study = Study::on_slurm();
    // One of two tasks is queued.
    let name = study.launch(&["--dry-run"]);
    let name = text(&name).split("--job-name=").nth(1).unwrap().lines().next().unwrap().to_owned();
    study.command("squeue", &format!("echo '5_0|PENDING|Resources|{name}'"));
    let output = study.launch(&[]);
    assert!(text(&output).contains("submitted job 7: 1 task for 2 cells"), "{}", text(&output));
    // The task that there was has trained all of it.
    let shown = study.shown();
    assert!(
        shown.contains("2 of 2 cells are done") && shown.contains("1 task pending (Resources)"),
        "{shown}"
    );
    study.command("squeue", NO_TASK);
    let output = study.launch(&["--wait"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("all 2 cells are done; nothing was submitted"));
    assert_eq!(study.submitted(), ["--array=0-0"]);
    assert_counted_once(&study, 2, 6);
    assert!(study.tables().runs.iter().all(|run| run.is_exclusive == Some(true)));
}

/// Slurm has preempted the first task, and then refuses for a while; the third submission in a row
/// that finishes nothing is the last.
#[test]
fn ended_tasks_are_submitted_again_but_not_for_ever() {
    let study = Study::on_slurm();
    let first = "[ -e first ] || { touch first; echo \"$@\" >> submitted; echo 6; exit; }";
    let busy = "echo >> busy; [ $(wc -l < busy) -gt 2 ] || { echo busy >&2; exit 1; }";
    study.command("sbatch", &format!("{first}\n{busy}\n{SBATCH}"));
    let output = study.launch(&["--wait", "launcher.workers=1", "blocks.exclusive=false"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("has failed: busy; asking again"), "{}", text(&output));
    assert_eq!(study.submitted().len(), 2);
    assert_counted_once(&study, 2, 6);

    let study = Study::on_slurm();
    study.command("sbatch", "echo \"$@\" >> submitted; echo 6");
    let output = study.launch(&["--wait"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("finished no cell, and 2 are left"), "{}", text(&output));
    assert_eq!(study.submitted(), ["--array=0-1"; 3]);
}

#[test]
fn slurm_that_refuses_for_ever_is_not_asked_for_ever() {
    let study = Study::on_slurm();
    study.command(
        "sbatch",
        "[ -e first ] && { echo limit reached >&2; exit 1; }; touch first; echo 6",
    );
    let output = study.launch(&["--wait", "launcher.retry_for=1s"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("has failed: limit reached; asking again"), "{said}");
    let last =
        "has failed: limit reached; given up after 1s (launcher.retry_for), with 2 of 2 cells left";
    assert!(said.contains(last), "{said}");
    // A queue that does not answer is the same.
    study.command("squeue", "[ -e second ] && { echo down >&2; exit 1; }; touch second");
    fs::remove_file(study.path().join("first")).unwrap();
    let output = study.launch(&["--wait", "launcher.retry_for=1s"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("squeue has failed: down; given up"), "{}", text(&output));
}

#[test]
fn slurm_that_is_absent_slow_or_refuses_is_said() {
    let study = Study::on_slurm();
    study.command("sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1");
    let output = study.launch(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("sbatch has failed: sbatch: error: invalid partition"),
        "{}",
        text(&output)
    );
    fs::remove_file(study.path().join("bin/squeue")).unwrap();
    let mut sweep = study.sweep(&SHORT);
    let output = sweep.env("PATH", study.path().join("bin")).output().unwrap();
    assert!(text(&output).contains("squeue cannot be started"), "{}", text(&output));

    // The cells are shown all the same.
    study.command("sbatch", SBATCH);
    study.command("squeue", NO_TASK);
    assert!(study.launch(&[]).status.success());
    study.command("squeue", "sleep 60");
    let start = Instant::now();
    let shown = study.shown();
    assert!(start.elapsed() < Duration::from_secs(40));
    assert!(shown.contains("2 of 2 cells are done"), "{shown}");
    assert!(shown.contains("unknown: Slurm's command squeue has not answered for 10 s"), "{shown}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let study = Study::on_slurm();
    fs::create_dir_all(study.out()).unwrap();
    fs::write(study.out().join("slurm"), "in the way").unwrap();
    let output = study.launch(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("results/small/slurm"), "{}", text(&output));
    assert!(study.submitted().is_empty());
}

/// A worker within a job.
fn worker(study: &Study, arguments: &[&str]) -> Value {
    let mut sweep = study.sweep(&[arguments, &["--json", "training.steps=12"]].concat());
    sweep.envs([("SLURM_JOB_ID", "8"), ("SLURM_CPUS_ON_NODE", "4"), ("SLURMD_NODENAME", "n1")]);
    let output = study.with_slurm(&mut sweep).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let mut value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value["said"] = String::from_utf8_lossy(&output.stderr).into();
    value
}

#[test]
fn a_cell_is_not_started_if_it_takes_longer_than_the_job_has() {
    let study = Study::on_slurm();
    // A kind of cell that was never trained is started.
    study.command("scontrol", "echo RunTime=00:59:59 TimeLimit=01:00:00 OverSubscribe=NO");
    let first = worker(&study, &["batch_sizes=16", "repeats=1"]);
    assert_eq!(first["n_done"], 1, "{first}");
    let second = worker(&study, &["batch_sizes=8,16"]);
    // Of the other size one as well.
    assert_eq!((&second["n_done"], &second["is_time_up"]), (&1.into(), &true.into()), "{second}");
    let said = second["said"].as_str().unwrap();
    assert!(said.contains("not started: qm9 schnet B=16, repeat 1 takes about"), "{said}");
    study.command("scontrol", WHOLE_NODE);
    assert_eq!(worker(&study, &["batch_sizes=8,16"])["n_done"], 2);
    study.command("scontrol", "exit 1");
    let unknown = worker(&study, &["batch_sizes=32"]);
    assert_eq!(unknown["n_done"], 2);
    assert!(unknown["said"].as_str().unwrap().contains("time that this job has left"), "{unknown}");
}

#[test]
fn times_of_a_shared_node_are_not_compared() {
    let study = Study::on_slurm();
    let node = "case $2 in job) echo RunTime=00:00:01 TimeLimit=UNLIMITED OverSubscribe=OK;; *) echo CPUTot=";
    study.command("scontrol", &format!("{node}8;; esac"));
    let done = worker(&study, &["batch_sizes=8", "repeats=1"]);
    assert!(done["said"].as_str().unwrap().contains("other jobs may run on this node"), "{done}");
    assert!(study.tables().runs.iter().all(|run| run.is_exclusive == Some(false)));
    let report = batchlab().arg("report").arg(study.out()).output().unwrap();
    assert!(text(&report).contains("left out: 3 runs"), "{}", text(&report));
    // It has all processors of its node.
    study.command("scontrol", &format!("{node}4;; esac"));
    worker(&study, &["batch_sizes=16", "repeats=1"]);
    let alone = study.tables().runs.into_iter().filter(|run| run.is_exclusive == Some(true));
    assert_eq!(alone.count(), 3);
}

/// Schedulers announce the end of a job with these.
#[test]
fn a_worker_that_is_told_to_end_gives_its_cell_back() {
    for signal in ["-TERM", "-USR1", "-USR2"] {
        let study = Study::new(STUDY);
        let long = ["training.steps=2000", "batch_sizes=8", "repeats=1", "--quiet"];
        let worker = study.sweep(&long).stdout(Stdio::piped()).spawn().unwrap();
        wait_for("a run", || !names(&study.out().join("wip")).is_empty());
        let pid = worker.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = worker.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{signal}: {}", text(&output));
        assert!(output.stdout.is_empty());
        assert_eq!(study.states(), BTreeMap::from([("waiting".to_owned(), 1)]));
        let runs = study.out().join("runs");
        let state = |name: &str| {
            let has = |run: &String| runs.join(run).join(name).exists();
            names(&runs).iter().filter(|run| has(run)).count()
        };
        let begun = names(&runs);
        let n_begun = begun.len();
        assert_eq!((state("journal"), state("checkpoints")), (n_begun, n_begun));
        // Once the cell is done, nothing needs them.
        study.done(&["training.steps=2000", "batch_sizes=8", "repeats=1"]);
        assert_eq!((state("journal"), names(&runs).len()), (0, n_begun + 3));
        assert!(begun.iter().all(|run| !runs.join(run).join("checkpoints").exists()));
        let tables = study.tables();
        let n_interrupted = tables.runs.iter().filter(|run| run.status == "interrupted").count();
        assert_eq!(n_interrupted, n_begun, "their rows stay");
    }
}
