//! Training on several ranks, through the real binary and a real MPI. Not built without the feature
//! `mpi`:
//!
//! ```text
//! cargo test --release --workspace --features batchlab-cli/mpi --test on_ranks -- --test-threads=1
//! ```

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "cli/small_run.rs"]
mod small_run;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use batchlab_core::record::StepRecord;
use small_run::{Tables, checkpoints, names, run_folder, start, text};
use tempfile::TempDir;

/// Longer than any of these runs takes, shorter than anyone waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings under which all batches of an epoch are full: the training set has 1,280 graphs.
const EXACT: [&str; 5] = [
    "batcher=exact",
    "split={ validation = 0.18, test = 0.18 }",
    "training.steps=25",
    "evaluation.every=10",
    "training.prefetch=1",
];

/// Tests may run as root, where Open MPI asks to be told so, and in containers, where one process
/// may not read the memory of another.
fn for_mpi(command: &mut Command) -> &mut Command {
    command
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
}

fn run(out: &Path, settings: &[&str]) -> Output {
    for_mpi(&mut start(out, settings)).output().unwrap()
}

fn completed(settings: &[&str]) -> Tables {
    let out = TempDir::new().unwrap();
    let output = run(out.path(), settings);
    assert!(output.status.success(), "{}", text(&output));
    Tables::read(out.path())
}

fn of_size<'a>(more: &[&'a str]) -> Vec<&'a str> {
    EXACT.iter().chain(more).copied().collect()
}

/// The same program under `mpirun`, with a group of arguments for each rank.
fn mpirun(ranks: &[Vec<String>]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none"]);
    for (rank, arguments) in ranks.iter().enumerate() {
        if rank > 0 {
            command.arg(":");
        }
        command.args(["-n", "1", env!("CARGO_BIN_EXE_batchlab")]).args(arguments);
    }
    for_mpi(&mut command);
    command
}

/// The arguments of a run.
fn arguments(out: &Path, settings: &[&str]) -> Vec<String> {
    let command = start(out, settings);
    command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect()
}

fn assert_near(one: &Tables, several: &Tables, what: &str) {
    let near = |a: f64, b: f64| (a - b).abs() <= 2e-4 * a.abs().max(b.abs());
    assert_eq!(one.steps.len(), several.steps.len(), "{what}");
    for (a, b) in one.steps.iter().zip(&several.steps) {
        assert_eq!((a.n_graph, a.n_edge), (b.n_graph, b.n_edge), "{what}, step {}", a.step);
        assert_eq!(a.weight_sum.to_bits(), b.weight_sum.to_bits(), "{what}, step {}", a.step);
        assert!(near(a.loss, b.loss), "{what}, step {}: {} and {}", a.step, a.loss, b.loss);
    }
    for (a, b) in one.evals.iter().zip(&several.evals) {
        assert_eq!((a.step, &a.subset, a.n_output), (b.step, &b.subset, b.n_output), "{what}");
        let (a_mae, b_mae) = (a.mae.unwrap(), b.mae.unwrap());
        assert!(near(a_mae, b_mae), "{what}, evaluation {}: {a_mae} and {b_mae}", a.step);
    }
}

#[test]
fn one_two_and_four_ranks_learn_the_same() {
    for weighting in ["per-batch-mean", "per-graph", "per-node"] {
        let weighting = format!("training.weighting={weighting}");
        let one = completed(&of_size(&[&weighting, "batcher.batch_size=17"]));
        let two = "ranks={ local = 2, assignment = \"lpt\" }";
        let two = completed(&of_size(&[&weighting, "batcher.batch_size=9", two]));
        assert_near(&one, &two, &weighting);
        assert_eq!((one.runs[0].n_rank, two.runs[0].n_rank), (Some(1), Some(2)));
        let shares = |step: &StepRecord| {
            let largest = step.n_edge_rank.unwrap();
            largest < step.n_edge && 2 * largest >= step.n_edge && step.rank_wait_ns.unwrap() > 0
        };
        assert!(two.steps.iter().all(shares));
    }
    let one = completed(&of_size(&["batcher.batch_size=17"]));
    let four = completed(&of_size(&["batcher.batch_size=5", "ranks={ local = 4 }"]));
    assert_near(&one, &four, "four ranks");
}

/// What two runs have in common to the bit.
fn bits(tables: &Tables) -> Vec<(i64, u64, i64, Option<i64>)> {
    let of_step = |s: &StepRecord| (s.step, s.loss.to_bits(), s.n_edge_padded, s.n_edge_rank);
    tables.steps.iter().map(of_step).collect()
}

#[test]
fn a_run_repeats_and_resumes_to_the_bit() {
    let settings = ["ranks={ local = 2, assignment = \"lpt-equal\" }", "training.steps=4000"];
    let whole = completed(&settings);
    assert_eq!(bits(&whole), bits(&completed(&settings)));

    let out = TempDir::new().unwrap();
    let settings = [settings[0], settings[1], "training.checkpoint={ steps = 20 }"];
    let child = Running::start(&mut start(out.path(), &settings), out.path());
    Running::until("the first checkpoint", || !checkpoints(out.path()).is_empty());
    Running::signal("-TERM", child.id());
    let output = child.end();
    // mpirun passes the signal on after five seconds, which may have been too late.
    let is_done = Tables::read(out.path()).runs.iter().any(|run| run.status == "completed");
    if !is_done {
        assert_eq!(output.status.code(), Some(6), "{}", text(&output));
        let three = "ranks={ local = 3, assignment = \"lpt-equal\" }";
        let other = for_mpi(small_run::resume(out.path()).arg(three)).output().unwrap();
        assert!(!other.status.success() && text(&other).contains("ranks"), "{}", text(&other));
        let output = for_mpi(&mut small_run::resume(out.path())).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(bits(&whole), bits(&Tables::read(out.path())));
}

#[test]
fn ranks_that_would_not_train_the_same_do_not_begin() {
    let out = TempDir::new().unwrap();
    let same = arguments(out.path(), &["ranks=2"]);
    let other = arguments(out.path(), &["ranks=2", "training.seeds.order=7"]);
    let output = mpirun(&[same, other]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains("the ranks were not started with the same training"), "{said}");
    assert!(said.contains("configuration: ") && said.contains("on rank 1"), "{said}");
    assert!(names(&out.path().join("tables")).is_empty());
}

#[test]
fn wrong_numbers_of_ranks_are_said() {
    let out = TempDir::new().unwrap();
    for (settings, n_process, part) in [
        (vec!["ranks=3"], 2, "asks for 3 ranks, but MPI has 2"),
        (
            vec!["ranks=2"],
            0,
            "asks for 2 ranks, but MPI has 1: start 2 processes with `mpirun -n 2",
        ),
        (vec![], 2, "add ranks=2, or start one process"),
        (vec!["ranks={ local = 2 }", "batcher.batch_size=1500"], 0, "use at most 1 rank"),
        (vec!["ranks={ local = 0 }"], 0, "ranks"),
    ] {
        let output = match n_process {
            0 => run(out.path(), &settings),
            n => mpirun(&vec![arguments(out.path(), &settings); n]).output().unwrap(),
        };
        assert_eq!(output.status.code(), Some(2), "{settings:?} {}", text(&output));
        assert!(text(&output).contains(part), "{settings:?} {}", text(&output));
    }
    assert!(names(&out.path().join("tables")).is_empty());
}

#[test]
fn without_mpirun_it_is_said() {
    let out = TempDir::new().unwrap();
    let output = start(out.path(), &["ranks={ local = 2 }"]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("apt-get install openmpi-bin"), "{}", text(&output));
}

const LONG: [&str; 3] =
    ["training.steps=100000", "training.checkpoint={ steps = 10 }", "evaluation.every=100000"];

#[test]
fn a_rank_that_hangs_is_named_and_the_state_is_saved() {
    let out = TempDir::new().unwrap();
    let settings = of_size(&["ranks={ local = 2, timeout = 4 }"]);
    let settings: Vec<&str> = settings.into_iter().chain(LONG).collect();
    let child = Running::start(&mut start(out.path(), &settings), out.path());
    Running::until("the first checkpoint", || !checkpoints(out.path()).is_empty());
    Running::signal("-STOP", child.rank(1));
    let stopped = Instant::now();
    let output = child.end();
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("rank 1 (process "), "{}", text(&output));
    assert!(text(&output).contains("has not answered for 4 s"), "{}", text(&output));
    let tables = Tables::read(out.path());
    let (last, _) = *checkpoints(out.path()).last().unwrap();
    assert_eq!(tables.steps.last().unwrap().step.unsigned_abs(), last, "saved after the last step");
    assert_eq!(tables.runs[0].status, "failed");
    let run = run_folder(out.path());
    let more = format!("training.steps={}", last + 5);
    let mut again = small_run::batchlab();
    again.args(["run", "--threads", "1", &more, "--resume"]).arg(&run);
    let output = for_mpi(&mut again).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_killed_rank_ends_the_others_and_its_checkpoint_stays() {
    let out = TempDir::new().unwrap();
    let settings = of_size(&["ranks={ local = 2 }"]);
    let settings: Vec<&str> = settings.into_iter().chain(LONG).collect();
    let child = Running::start(&mut start(out.path(), &settings), out.path());
    Running::until("the first checkpoint", || !checkpoints(out.path()).is_empty());
    Running::signal("-KILL", child.rank(1));
    let killed = Instant::now();
    let output = child.end();
    assert!(killed.elapsed() < PATIENCE, "{:?}", killed.elapsed());
    assert!(!output.status.success());
    assert!(text(&output).contains("rank 1"), "{}", text(&output));
    assert!(!checkpoints(out.path()).is_empty());
}

/// A run in progress.
struct Running {
    child: Child,
    /// In the command of each of its processes.
    mark: String,
}

impl Running {
    fn start(command: &mut Command, out: &Path) -> Self {
        let command = for_mpi(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: command.spawn().unwrap(), mark: out.to_str().unwrap().to_owned() }
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn until(what: &str, is_there: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_there() {
            assert!(begin.elapsed() < PATIENCE, "{what} does not come");
            sleep(Duration::from_millis(5));
        }
    }

    /// The process of a rank.
    fn rank(&self, rank: usize) -> u32 {
        let rank = format!("OMPI_COMM_WORLD_RANK={rank}\0");
        let contains = |process: &Path, file: &str, part: &str| {
            let bytes = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(part)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let mut found = processes.filter(|process| {
            contains(process, "cmdline", &self.mark) && contains(process, "environ", &rank)
        });
        found.next().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    fn signal(signal: &str, process: u32) {
        let status = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn end(mut self) -> Output {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if begin.elapsed() > PATIENCE {
                Self::signal("-TERM", self.id());
                sleep(Duration::from_secs(5));
                self.child.kill().unwrap();
            }
            sleep(Duration::from_millis(10));
        }
        self.child.wait_with_output().unwrap()
    }
}
