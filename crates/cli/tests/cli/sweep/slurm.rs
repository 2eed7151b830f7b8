//! A study on a real Slurm, if `BATCHLAB_TEST_SLURM` is set: it needs root, Debian's packages and
//! three minutes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::launcher::assert_counted_once;
use super::{STUDY, Study, wait_for};
use crate::small_run::{names, text};

struct Cluster {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Cluster {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = 20_000 + std::process::id() % 10_000;
        let script = |arguments: &[&str]| {
            let output = Command::new(script()).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let path = folder.path().to_str().unwrap();
        script(&["start", path, &port.to_string()]);
        let environment = script(&["env", path]);
        let pairs = environment.lines().filter_map(|line| line.split_once('='));
        let environment = pairs.map(|(name, value)| (name.into(), value.into())).collect();
        Self { folder, environment }
    }

    fn script(&self, command: &str) {
        let script = Command::new(script()).arg(command).arg(self.folder.path()).status();
        assert!(script.unwrap().success());
    }

    fn command(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command.args(arguments).envs(self.environment.clone()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output));
        text(&output)
    }

    fn sweep(&self, study: &Study, arguments: &[&str]) -> Command {
        let mut sweep = study.sweep(&["--launcher", "slurm"]);
        sweep.args(arguments).envs(self.environment.clone());
        sweep
    }

    fn status(&self, study: &Study) -> Value {
        let mut status = crate::small_run::batchlab();
        let status = status.args(["status", "results/small", "--json"]).current_dir(study.path());
        let output = status.envs(self.environment.clone()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all["hardware"][0].clone()
    }

    /// Processes and tasks that are at work.
    fn owners(&self, study: &Study) -> Vec<(u64, String)> {
        if names(&study.out().join("cells")).is_empty() {
            return Vec::new();
        }
        let status = self.status(study);
        let cells = status["cells"].as_array().unwrap().iter();
        let owner = |cell: &Value| {
            let owner = &cell["progress"]["owner"];
            Some((owner["process"].as_u64()?, owner["job"].as_str()?.to_owned()))
        };
        cells.filter(|cell| cell["progress"]["state"] == "at-work").filter_map(owner).collect()
    }

    /// The states of the tasks of a study, with `12_3` before each.
    fn tasks(&self, study: &Study) -> Vec<(String, String)> {
        let status = self.status(study);
        let tasks = status["slurm"]["tasks"].as_array().unwrap().clone();
        let word = |task: &Value, key: &str| task[key].as_str().unwrap().to_owned();
        tasks.iter().map(|task| (word(task, "id"), word(task, "state"))).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.folder.path()).status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm-cluster.sh")
}

/// Two workers share a study. One is killed, one cancelled, a node drained, the controller
/// restarted; a worker of another study runs out of time.
#[test]
fn a_study_on_slurm_is_complete_whatever_happens() {
    if std::env::var_os("BATCHLAB_TEST_SLURM").is_none() {
        eprintln!("skipped: BATCHLAB_TEST_SLURM is not set");
        return;
    }
    let cluster = Cluster::start();
    let endless = Study::new(STUDY);
    let long = [
        "training.steps=100000000",
        "batch_sizes=8",
        "repeats=1",
        "launcher.time=1m",
        "launcher.options=[\"--nodelist=n3\"]",
    ];
    let submitted = cluster.sweep(&endless, &long).output().unwrap();
    assert!(text(&submitted).contains("1 task for 1 cell"), "{}", text(&submitted));

    let study = Study::new(STUDY);
    // A few seconds for each of six cells, so that a worker is found in the middle of one.
    let arguments = [
        "training.steps=1500",
        "repeats=3",
        "blocks.exclusive=false",
        "launcher.workers=2",
        "launcher.options=[\"--exclude=n3\"]",
    ];
    let waiting: Child =
        cluster.sweep(&study, &arguments).arg("--wait").stderr(Stdio::piped()).spawn().unwrap();
    let mut owners = Vec::new();
    wait_for("two workers", || {
        owners = cluster.owners(&study);
        owners.len() == 2
    });
    let (killed, (_, cancelled)) = (owners[0].clone(), owners[1].clone());
    assert!(Command::new("kill").args(["-9", &killed.0.to_string()]).status().unwrap().success());
    cluster.command("scancel", &[&cancelled]);
    wait_for("two other workers", || {
        let others = cluster.owners(&study);
        others.len() == 2 && others.iter().all(|(_, job)| *job != killed.1 && *job != cancelled)
    });
    cluster.command("scontrol", &["update", "nodename=n1", "state=drain", "reason=test"]);
    let control = cluster.folder.path().join("run/control.pid");
    let process = std::fs::read_to_string(&control).unwrap();
    assert!(Command::new("kill").arg(process.trim()).status().unwrap().success());
    std::thread::sleep(Duration::from_secs(2));
    let status = cluster.status(&study);
    assert!(status["slurm"]["error"].as_str().is_some_and(|e| e.contains("squeue")), "{status}");
    cluster.script("control");
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output));
    assert_eq!(cluster.status(&study)["totals"]["n_done"], 6);
    assert_counted_once(&study, 6, 18);
    let ended = cluster.tasks(&study);
    for (task, state) in [(&killed.1, "FAILED"), (&cancelled, "CANCELLED")] {
        assert!(ended.contains(&(task.clone(), state.to_owned())), "{ended:?}");
    }
    let again = cluster.sweep(&study, &arguments).output().unwrap();
    assert!(text(&again).contains("all 6 cells are done"), "{}", text(&again));

    // Its worker has ended properly before the time limit; Slurm checks limits twice a minute.
    wait_for("the end of the task", || cluster.tasks(&endless)[0].1 != "RUNNING");
    let tables = endless.tables();
    assert_eq!(tables.runs.len(), 3);
    assert!(tables.runs.iter().all(|run| run.status == "interrupted"));
    assert!(tables.runs.iter().all(|run| run.is_exclusive == Some(true)), "it had its node");
    let status = cluster.status(&endless);
    assert_eq!(status["totals"]["n_waiting"], 1, "{status}");
    let submitted = cluster.sweep(&endless, &long).output().unwrap();
    assert!(text(&submitted).contains("1 task for 1 cell"), "{}", text(&submitted));

    // Half of a node.
    let shared = Study::new(STUDY);
    let beside = [
        "repeats=1",
        "launcher.exclusive=false",
        "launcher.workers=1",
        "launcher.options=[\"--nodelist=n3\"]",
    ];
    cluster.command("scancel", &["--nodelist=n3"]);
    let output = cluster.sweep(&shared, &beside).arg("--wait").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let tables = shared.tables();
    assert_eq!(tables.runs.len(), 6);
    assert!(tables.runs.iter().all(|run| run.is_exclusive == Some(false)));
}
