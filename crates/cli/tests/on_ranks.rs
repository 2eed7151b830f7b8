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

/// Runs an engine in a process of each rank.
fn run_engine(out: &Path, engine: &str, more: &[&str]) -> Output {
    let model =
        format!("model={{ name = \"python\", file = {engine:?}, python = {:?} }}", python());
    let mut command = small_run::batchlab();
    command.arg("run").arg(small_run::smoke()).args(EXACT).args(["--threads", "1", &model]);
    for_mpi(command.args(more).arg("--out").arg(out)).output().unwrap()
}

fn completed_engine(engine: &str, more: &[&str]) -> Tables {
    let out = TempDir::new().unwrap();
    let output = run_engine(out.path(), engine, more);
    assert!(output.status.success(), "{}", text(&output));
    Tables::read(out.path())
}

/// Whether the interpreter has a package. All of them are optional, except where the gate installs
/// them.
fn has(package: &str) -> bool {
    let import = Command::new(python()).args(["-c", &format!("import {package}")]).output();
    let is_there = import.is_ok_and(|output| output.status.success());
    let is_required = package != "torch_geometric"
        && std::env::var("BATCHLAB_REQUIRE_READERS").as_deref() == Ok("1");
    assert!(is_there || !is_required, "{} has no {package}", python());
    is_there
}

#[test]
fn engines_learn_the_same_on_one_and_two_ranks() {
    let engines =
        [("numpy", "numpy_toy.py"), ("jax", "schnet_jax.py"), ("torch_geometric", "schnet_pyg.py")];
    for (_, engine) in engines.into_iter().filter(|(package, _)| has(package)) {
        // One shape: JAX compiles once.
        let few = ["batcher=static-constant", "training.steps=6"];
        let one = completed_engine(engine, &[few[0], few[1], "batcher.batch_size=17"]);
        let two = ["batcher.batch_size=9", "ranks={ local = 2 }"];
        let two = completed_engine(engine, &[few[0], few[1], two[0], two[1]]);
        assert_near(&one, &two, engine);
    }
}

/// An epoch has two steps, and in the second of them one of two ranks has no graphs.
#[test]
fn an_engine_without_graphs_takes_part_and_resumes_to_the_bit() {
    if !has("numpy") {
        return;
    }
    let [two, of_512] = ["ranks={ local = 2 }", "batcher.batch_size=513"];
    let cut = "batcher.epoch_boundary=emit-partial";
    for weighting in ["per-batch-mean", "per-graph", "per-node"] {
        let weighting = format!("training.weighting={weighting}");
        let of_1024 = [&weighting, "training.steps=5", cut, "batcher.batch_size=1025"];
        let one = completed_engine("numpy_toy.py", &of_1024);
        let n_graph: Vec<i64> = one.steps.iter().map(|step| step.n_graph).collect();
        assert_eq!(n_graph, [1024, 256, 1024, 256, 1024]);
        let all = [&weighting, "training.steps=5", cut, two, of_512];
        assert_near(&one, &completed_engine("numpy_toy.py", &all), &weighting);
    }

    let whole = completed_engine("numpy_toy.py", &["training.steps=5", cut, two, of_512]);
    let out = TempDir::new().unwrap();
    let parts = ["training.steps=3", cut, two, of_512, "training.checkpoint={ steps = 10 }"];
    let output = run_engine(out.path(), "numpy_toy.py", &parts);
    assert!(output.status.success(), "{}", text(&output));
    let mut extend = small_run::resume(out.path());
    let output = for_mpi(extend.arg("training.steps=5")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(bits(&Tables::read(out.path())), bits(&whole));

    let stages = ["training.timing=stages", "training.prefetch=0", "training.steps=3", two, of_512];
    let staged = completed_engine("numpy_toy.py", &stages);
    assert!(staged.steps.iter().all(|s| s.forward_ns.is_none() && s.all_reduce_ns.is_some()));
}

#[test]
fn engines_that_fail_on_one_rank_end_all_of_them() {
    if !has("numpy") {
        return;
    }
    let good = "
import os, numpy
rank = int(os.environ['OMPI_COMM_WORLD_RANK'])
class E:
    n_parameter = 2
    weight = numpy.zeros(2)
    def step(self, b, rate): return 1.0
    def gradients(self, b): return b.weight_sum, numpy.ones(2)
    def apply(self, gradient, rate): self.weight = self.weight - rate * gradient
    def predict(self, b): return numpy.full(b.n_output, self.weight[0])
    def state(self): return self.weight.tobytes()
    def restore(self, state): self.weight = numpy.frombuffer(state)
def open(c): return E()
";
    let on_one =
        |bad: &str| format!("return {bad} if rank == 1 else (b.weight_sum, numpy.ones(2))");
    let gradients = "return b.weight_sum, numpy.ones(2)";
    let refused = "engine n_parameter and the methods gradients and apply";
    let not_finite = "The batch of rank 1 holds graphs";
    for (from, to, code, parts) in [
        ("", "", 0, ["", ""]),
        ("def apply(", "def update(", 2, [refused, ""]),
        ("n_parameter = 2", "", 2, [refused, ""]),
        (
            "numpy.zeros(2)",
            "numpy.full(2, rank)",
            1,
            ["after 0 steps the parameters of rank 1", ""],
        ),
        (gradients, &on_one("os._exit(3)"), 1, ["error: rank 1: ", "ended (exit status: 3)"]),
        (gradients, &on_one("1.0"), 1, ["error: rank 1: ", "returned float, not a pair"]),
        (gradients, &on_one("('a', numpy.ones(2))"), 1, ["rank 1: ", "returned str, not a number"]),
        (
            gradients,
            &on_one("(1.0, numpy.ones(3))"),
            1,
            ["error: rank 1: ", "of shape (3,), not (2,)"],
        ),
        (
            gradients,
            &on_one("(numpy.nan, numpy.ones(2))"),
            5,
            [not_finite, "did not change the par"],
        ),
        // It changes all of them alike, as on one rank, and their errors are not finite.
        (
            gradients,
            &on_one("(1.0, numpy.ones(2) * numpy.nan)"),
            5,
            ["the loss on validation after 2 steps is NaN", ""],
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let out = TempDir::new().unwrap();
        let file = out.path().join("engine.py");
        fs::write(&file, good.replace(from, to)).unwrap();
        let more = ["training.steps=2", "ranks={ local = 2 }"];
        let output = run_engine(out.path(), file.to_str().unwrap(), &more);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{to}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{to}: {said}");
    }
}

fn python() -> String {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    match std::env::var("BATCHLAB_PYTHON") {
        Ok(named) => named,
        Err(_) if local.exists() => local.to_str().unwrap().to_owned(),
        Err(_) => "python3".to_owned(),
    }
}

/// What two runs have in common to the bit, by step: runs that began in the same second are read in
/// any order.
fn bits(tables: &Tables) -> Vec<(i64, u64, i64, Option<i64>)> {
    let of_step = |s: &StepRecord| (s.step, s.loss.to_bits(), s.n_edge_padded, s.n_edge_rank);
    let mut steps: Vec<_> = tables.steps.iter().map(of_step).collect();
    steps.sort_unstable();
    steps
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
