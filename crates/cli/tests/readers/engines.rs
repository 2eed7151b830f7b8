//! Models in a Python process: what a user sees if the engine works, and if it does not.

use std::path::Path;
use std::process::Command;

use super::{python, root, script, succeed};

/// Trains, evaluates and predicts with the bundled engine.
pub(super) fn the_toy_learns() {
    let dir = tempfile::tempdir().unwrap();
    let output = succeed(&mut train(dir.path(), "numpy_toy.py", &["training.steps=60"]));
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(said.contains("python on numpy "), "{said}");
    let errors = errors_on_test(dir.path());
    let [first, .., last] = &errors[..] else { panic!("{errors:?}") };
    assert!(last.1 < 0.8 * first.1, "{errors:?}");
    let run = only_run(dir.path());
    let run = run.to_str().unwrap();
    let evaluated = text(&succeed(batchlab().args(["evaluate", run])).stdout);
    assert!(evaluated.contains(&format!("{:.4}", last.1)), "{evaluated}\n{errors:?}");
    let table = dir.path().join("predictions.parquet");
    succeed(batchlab().args(["predict", run, "--out"]).arg(&table));
    let count = "import duckdb, sys; print(len(duckdb.read_parquet(sys.argv[1]).fetchall()))";
    let counted = succeed(Command::new(python()).args(["-c", count]).arg(&table));
    assert_eq!(text(&counted.stdout).trim(), "200");
    let weights =
        batchlab().args(["weights", run, "--out"]).arg(dir.path().join("w")).output().unwrap();
    assert!(!weights.status.success() && text(&weights.stderr).contains("tensor \"engine\""));
    assert_no_process(dir.path());
}

/// A step that is a single call has no stages, and the output says so.
pub(super) fn stages_are_not_invented() {
    let dir = tempfile::tempdir().unwrap();
    let output = succeed(&mut train(
        dir.path(),
        "numpy_toy.py",
        &["training.steps=4", "training.timing=stages"],
    ));
    assert!(text(&output.stderr).contains("upload, forward, backward and optimiser separately"));
    let code = "import duckdb, sys
print(duckdb.sql(f\"select count(step_ns), count(forward_ns) from '{sys.argv[1]}/tables/steps/*.parquet'\").fetchall())";
    let counted = succeed(Command::new(python()).args(["-c", code]).arg(dir.path()));
    assert_eq!(text(&counted.stdout).trim(), "[(4, 0)]");
}

/// A batch of single atoms has edge fields, which are empty.
pub(super) fn batches_without_edges_are_batches() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("atoms.xyz");
    let structure = |i: usize| {
        let head = format!("Properties=species:S:1:pos:R:3 energy={i}");
        if i.is_multiple_of(6) {
            format!("2\n{head}\nH 0 0 0\nO 1 0 0\n")
        } else {
            format!("1\n{head}\nO 0 0 0\n")
        }
    };
    std::fs::write(&file, (0..60).map(structure).collect::<String>()).unwrap();
    let engine = "
import numpy as n
sizes = set()
class E:
    def step(self, b, rate): assert len(b.sender) == len(b.distance) == b.n_edge; sizes.add(b.n_edge); return 1.0
    def predict(self, b): return n.zeros(b.n_output)
    def state(self): assert sizes == {0, 2}, sizes; return b''
    def restore(self, s): pass
def open(c): return E()
";
    let data = format!(
        "dataset={{ name = 'structures', path = '{}', target = 'energy' }}",
        file.display()
    );
    let exact = "batcher={ name = 'static', batch_size = 2, padding = 'none' }";
    let keep = "training.checkpoint={ steps = 40 }";
    succeed(&mut train_with(dir.path(), engine, &[&data, exact, keep, "training.steps=40"]));
}

/// Custom fields of structures arrive along with their atoms and structures, and none is needed for
/// a prediction.
pub(super) fn own_fields_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let structure = |i: usize, forces: &str| {
        let atoms = (0..2 + i % 3).map(|atom| match forces {
            "" => format!("H {atom} 0 0\n"),
            _ => format!("H {atom} 0 0 {i} {atom} -1 {}\n", 10 * i + atom),
        });
        let head = format!("Properties=species:S:1:pos:R:3{forces} energy={i} dipole=\"{i} 0.5\"");
        format!("{}\n{head}\n{}", 2 + i % 3, atoms.collect::<String>())
    };
    let write = |name: &str, forces: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, (0..60).map(|i| structure(i, forces)).collect::<String>()).unwrap();
        file.display().to_string()
    };
    let (with, without) = (write("with.xyz", ":forces:R:3:tag:I:1"), write("without.xyz", ""));
    let engine = "
import numpy as n
def own(b):
    assert b.forces.shape == (b.n_node, 3) and b.forces.dtype == n.float32 and not b.forces.flags.writeable
    assert b.dipole.shape == (b.n_graph, 2)
    real = b.real.n_node
    structure = b.origin[b.graph_of[:real]]
    atom = n.arange(real) - b.graph_offset[b.graph_of[:real]]
    assert (b.dipole[:b.real.n_graph, 0] == b.origin[:b.real.n_graph]).all()
    assert (b.dipole[b.real.n_graph:] == 0).all()
    return b.forces[:real], n.stack([structure, atom, 0 * atom - 1], axis=1), b.forces[real:]
class E:
    def step(self, b, rate):
        forces, expected, padding = own(b)
        assert (forces == expected).all() and (padding == 0).all() and b.real.n_node < b.n_node
        return 1.0
    def predict(self, b):
        forces, expected, _ = own(b)
        assert n.isnan(forces).all() or (forces == expected).all()
        print('absent' if n.isnan(forces).any() else 'present')
        return n.zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
def open(c):
    assert c.own_fields == [dict(name='forces', per='node', number='f32', width=3),
                            dict(name='dipole', per='graph', number='f32', width=2)], c.own_fields
    assert 10 < c.target_deviation < 20 < c.target_mean < 40
    return E()
";
    let data = format!(
        "dataset={{ name = 'structures', path = '{with}', target = 'energy', fields = ['dipole', 'forces', 'tag'] }}"
    );
    let fields = "model.fields=['node_class', 'forces', 'dipole']";
    let output = succeed(&mut train_with(dir.path(), engine, &[&data, fields, "training.steps=8"]));
    assert!(text(&output.stderr).contains("present") && !text(&output.stderr).contains("absent"));
    let out = dir.path().to_str().unwrap();
    let predicted = dir.path().join("predicted.parquet");
    let other = succeed(batchlab().args(["predict", out, &without, "--out"]).arg(&predicted));
    assert!(text(&other.stderr).contains("absent"), "{}", text(&other.stderr));

    let refused = |data: &str, fields: &str, expected: &[&str]| {
        let output = train_with(dir.path(), engine, &[data, fields]).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{said}");
        for part in expected {
            assert!(said.contains(part), "expected {part}:\n{said}");
        }
    };
    refused(
        &data,
        "model.fields=['node_class', 'force']",
        &[
            "model.fields asks for field \"force\", which dataset \"structures\" does not have",
            "it has: node_class, distance, displacement, sender_order, dipole, forces, tag; name more of what the data \
             have in dataset.fields",
        ],
    );
    let lacking = format!(
        "dataset={{ name = 'structures', path = '{without}', target = 'energy', fields = ['forces', 'dipole'] }}"
    );
    refused(
        &lacking,
        fields,
        &["without.xyz:1: the structure has no field `forces`; it has: dipole, energy;"],
    );
}

/// The code lines in docs/data.md write files that the data set `graphs` reads.
pub(super) fn graphs_of_other_libraries_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let page = root().join("docs/data.md");
    succeed(Command::new(python()).arg(script("graphs.py")).arg(page).arg(dir.path()));
    let engine = "
import numpy as n
class E:
    def step(self, b, rate):
        r = b.real
        at = lambda ends: ends[:r.n_edge] - b.graph_offset[b.graph_of[ends[:r.n_edge]]]
        assert b.bond.dtype == n.uint8 and (b.bond[:r.n_edge] == at(b.sender) + 10 * at(b.receiver)).all()
        vector = (b.forces[b.receiver] - b.forces[b.sender]) / 2
        assert n.allclose(b.displacement, vector, atol=1e-6)
        assert b.node_class.max() == 2 and (b.bond[r.n_edge:] == 0).all()
        return 1.0
    def predict(self, b): return n.zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
def open(c): assert c.n_node_class == 3; return E()
";
    for name in ["pyg.npz", "jraph.npz"] {
        let file = dir.path().join(name);
        let data = format!(
            "dataset={{ name = 'graphs', path = '{}', target = 'energy', fields = ['forces', 'bond'] }}",
            file.display()
        );
        let fields = "model.fields=['node_class', 'displacement', 'forces', 'bond']";
        let out = dir.path().join(name.replace(".npz", ""));
        std::fs::create_dir(&out).unwrap();
        succeed(&mut train_with(&out, engine, &[&data, fields, "training.steps=6"]));
        // Fields missing from a file are known once it has been read.
        let output = train_with(&out, engine, &[&data, "model.fields=['node_feature']"]).output();
        let said = text(&output.unwrap().stderr);
        let expected = "needs node features, which the data do not have; the fields that they have: node_class, \
                        distance, displacement, sender_order, forces, bond";
        assert!(said.contains(expected), "{said}");
    }
}

/// An extended run ends with the same bits as one planned with that length.
pub(super) fn training_goes_on_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let keep = "training.checkpoint={ steps = 10 }";
    succeed(&mut train(&whole, "numpy_toy.py", &["training.steps=30", keep]));
    succeed(&mut train(&parts, "numpy_toy.py", &["training.steps=20", keep]));
    let first = only_run(&parts);
    let mut resume = batchlab();
    resume.args(["run", "--resume"]).arg(&first).arg("training.steps=30");
    succeed(&mut resume);
    let (whole, parts) = (errors_on_test(&whole), errors_on_test(&parts));
    let at_end = |errors: &[(i64, f64)]| errors.iter().find(|(step, _)| *step == 30).unwrap().1;
    assert_eq!(at_end(&whole).to_bits(), at_end(&parts).to_bits());
}

/// The fields of a batch that an engine sees are consistent.
pub(super) fn batches_are_what_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let engine = "
import numpy as n
def check(b):
    r = b.real
    assert b.n_graph == b.n_output == len(b.n_node_of) == len(b.output_weight)
    assert b.n_node_of.sum() == b.n_node == len(b.node_class) and b.n_edge == len(b.sender)
    assert (b.graph_of[:r.n_node] < r.n_graph).all() and r.n_graph < b.n_graph
    assert b.output_weight.sum() == b.weight_sum == r.n_output
    assert (b.output_weight[r.n_output:] == 0).all() and (b.origin[r.n_graph:] == -1).all()
    assert b.displacement.shape == (b.n_edge, 3)
    assert n.allclose(n.linalg.norm(b.displacement, axis=1), b.distance, atol=1e-5)
    assert (b.distance[r.n_edge:] == 0).all() and (b.distance[:r.n_edge] > 0.5).all()
    assert (n.diff(b.receiver) >= 0).all() and (b.receiver_offset[-1] == b.n_edge)
    assert not b.distance.flags.writeable
    try: b.edge_weight
    except AttributeError as e: assert 'model.fields' in str(e), e
class E:
    def step(self, b, rate): check(b); assert rate == 0.5; print('on standard output'); return 3.0 * b.weight_sum
    def predict(self, b): check(b); return n.full(b.n_output, 2, n.float32)
    def state(self): return b'7'
    def restore(self, s): assert s == b'7'
def open(c): assert c.options == {'a': [1, 'b']} and c.seed == 5 and c.n_node_class == 4; return E()
";
    let more = [
        "model.fields=['node_class', 'distance', 'displacement']",
        "model.options={ a = [1, 'b'] }",
        "training.seeds.init=5",
        "training.learning_rate=0.5",
        "training.steps=4",
    ];
    let output = succeed(&mut train_with(dir.path(), engine, &more));
    assert!(text(&output.stderr).contains("on standard output"));
}

/// The JAX engine computes the same as the study's program, and trains.
pub(super) fn jax_trains_and_agrees() {
    let testkit = root().join("crates/testkit/golden");
    for golden in ["schnet_qm9.safetensors.xz", "schnet_aflow.safetensors.xz"] {
        let mut check = Command::new(python());
        check.arg(script("gradients.py")).arg(root().join("plugins/models/python"));
        succeed(check.arg(testkit.join(golden)));
    }
    let dir = tempfile::tempdir().unwrap();
    let few = [
        "training.steps=6",
        "training.learning_rate=1e-3",
        "batcher={ name = 'static', batch_size = 16 }",
    ];
    let output = succeed(&mut train(dir.path(), "schnet_jax.py", &few));
    assert!(text(&output.stderr).contains("python on jax "), "{}", text(&output.stderr));
    assert_no_process(dir.path());
}

/// Each fault has its own message, a failure exit code, and leaves no process behind.
pub(super) fn faults_are_named() {
    let good = "
import numpy as n
class E:
    def step(self, b, rate): return 1.0
    def predict(self, b): return n.zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
def open(c): return E()
";
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    for (engine, expected) in [
        ("import no_such_package\n".to_owned(), "No module named 'no_such_package'"),
        ("x = 1\n".to_owned(), "defines no function open(context)"),
        ("def open(c):\n  oops\n".to_owned(), "line 2, in open"),
        (replaced("state(", "stat("), "has no method 'state'"),
        (replaced("return 1.0", "return float('nan')"), "the parameters may have changed"),
        (replaced("return 1.0", "raise ValueError(b.n_node)"), "ValueError: "),
        (replaced("return 1.0", "return 'a'"), "returned str, not a number"),
        (replaced("return 1.0", "__import__('os')._exit(3)"), "ended (exit status: 3)"),
        (replaced("return 1.0", "__import__('os').kill(__import__('os').getpid(), 9)"), "signal 9"),
        (replaced("return 1.0", "__import__('time').sleep(60)"), "model.timeout_seconds"),
        (replaced("return 1.0", "b.displacement"), "add it to model.fields"),
        (replaced("return 1.0", "b.nodes"), "a batch has no 'nodes'"),
        (replaced("zeros(b.n_output)", "zeros(b.n_output - 1)"), "returned an array of shape"),
        (replaced("zeros(b.n_output)", "zeros(b.n_output, int)"), "of type int64, not float32"),
        (replaced("return b''", "return 'text'"), "state() returned str, not bytes"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let more =
            ["training.steps=3", "model.timeout_seconds=3", "training.checkpoint={ steps = 2 }"];
        let output = train_with(dir.path(), &engine, &more).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{engine}\n{said}");
        assert!(said.contains(expected), "{engine}\nexpected: {expected}\n{said}");
        assert!(!said.contains("batchlab_worker.py\", line"), "frames of the worker:\n{said}");
        assert_no_process(dir.path());
    }
    let dir = tempfile::tempdir().unwrap();
    for (more, expected) in [
        ("model.python=no-such-python", "model.python names the interpreter"),
        ("model.file=no_such_file.py", "one that comes with the program: numpy_toy.py"),
        ("model.fields=['edge_weight']", "edge weights"),
        ("model.timeout=1", "unknown field `timeout`"),
    ] {
        let output = train(dir.path(), "numpy_toy.py", &[more]).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{more}:\n{said}");
    }
}

/// If interrupted in the middle of a long step, no process of the engine remains.
pub(super) fn an_interrupted_run_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let engine = "
import time
class E:
    def step(self, b, rate): time.sleep(0.05); return 1.0
    def predict(self, b): return __import__('numpy').zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
def open(c): print('ready'); return E()
";
    for signal in ["-INT", "-KILL"] {
        let mut run = train_with(dir.path(), engine, &["training.steps=100000"]);
        let mut run = run.stderr(std::process::Stdio::null()).spawn().unwrap();
        while processes(dir.path()).is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let pid = run.id().to_string();
        succeed(Command::new("kill").args([signal, &pid]));
        run.wait().unwrap();
        assert_no_process(dir.path());
    }
}

fn batchlab() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.current_dir(root());
    command
}

/// An engine that dies when all requested steps are done, once.
pub(super) fn failures_while_timing_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let engine = "
import numpy as n, os
class E:
    n = 0
    def step(self, b, rate):
        self.n += 1
        if self.n > 30 and not os.path.exists('MARK'):
            open_file('MARK', 'w').close()
            os._exit(1)
        return 1.0
    def predict(self, b): return n.zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
open_file = open
def open(c): return E()
";
    let mark = dir.path().join("died");
    let sweep = train_with(
        dir.path(),
        &engine.replace("MARK", mark.to_str().unwrap()),
        &[
            "batchers=static-64,dynamic",
            "batch_sizes=16",
            "training.steps=20",
            "blocks.steps=10",
            "blocks.seconds=0.001",
            "blocks.pairs=4",
            "training.prefetch=0",
        ],
    );
    let arguments: Vec<_> = sweep.get_args().skip(1).map(std::ffi::OsStr::to_owned).collect();
    let sweep = |more: &[&str]| {
        let output = batchlab().arg("sweep").args(&arguments).args(more).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let failed = "completed, but its steps for timing only ended early: model: the engine failed";
    let (code, said) = sweep(&[]);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains(failed), "{said}");
    let status = succeed(batchlab().arg("status").arg(dir.path()));
    assert!(text(&status.stdout).contains(failed), "{}", text(&status.stdout));
    let (code, said) = sweep(&["--retry"]);
    assert_eq!(code, Some(0), "{said}");
}

/// An engine whose steps sleep 1 ms, plus 20 ms at a new shape: the report measures those 20 ms,
/// forecasts the shapes as `plan` does, and says that the length of training decides.
pub(super) fn first_uses_of_shapes_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let engine = "
import numpy as n, time
known = set()
class E:
    def step(self, b, rate):
        time.sleep(0.001 + (0 if b.shape in known else 0.02)); known.add(b.shape); return 1.0
    def predict(self, b): return n.zeros(b.n_output)
    def state(self): return b''
    def restore(self, s): pass
def open(c): return E()
";
    let sweep = train_with(
        dir.path(),
        engine,
        &[
            "batchers=static-64,dynamic",
            "batch_sizes=16",
            "training.steps=150",
            "blocks.steps=25",
            "blocks.seconds=0.02",
            "blocks.pairs=4",
            "training.prefetch=0",
        ],
    );
    let sweep: Vec<_> = sweep.get_args().skip(1).map(std::ffi::OsStr::to_owned).collect();
    // The forecast counts those 20 ms once per shape, and dynamic batching has a single shape.
    let planned = succeed(batchlab().arg("sweep").args(&sweep).args(["--dry-run", "--json"]));
    let planned: serde_json::Value = serde_json::from_slice(&planned.stdout).unwrap();
    let [static_64, dynamic] = [0, 1].map(|place| {
        let run = &planned["cells"][0]["runs"][place];
        let of = |name: &str| run[name].as_f64().unwrap();
        of("run_s") - of("step_s") * of("n_step")
    });
    assert!(static_64 > 0.2 && dynamic < 0.5 * static_64, "{planned}");
    succeed(batchlab().arg("sweep").args(sweep));
    let report = |option: &str| {
        text(
            &succeed(batchlab().arg("report").arg(dir.path()).args(["--steps", "20000", option]))
                .stdout,
        )
    };
    let report: serde_json::Value = serde_json::from_str(&report("--json")).unwrap();
    let total = &report["total_times"][0];
    let strategies = total["strategies"].as_array().unwrap();
    let of = |name: &str| strategies.iter().find(|s| s["batcher"] == name).unwrap();
    for strategy in strategies {
        let seconds = strategy["shape_s"]["value"].as_f64().unwrap();
        // 20 ms, with tolerance for other load on the machine.
        assert!((0.01..2.0).contains(&seconds), "{strategy}");
    }
    let n_shape = |name: &str, step: f64| {
        let course = of(name)["course"].as_array().unwrap();
        let at = course.iter().find(|point| point[0].as_f64().unwrap() >= step).unwrap();
        at[1].as_f64().unwrap()
    };
    let plan = batchlab()
        .args(["plan", "configs/smoke.toml", "batchers=static-64,dynamic", "batch_sizes=16"])
        .args(["--steps", "10000", "--json"])
        .output()
        .unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    for (place, name) in ["static-64", "dynamic"].into_iter().enumerate() {
        let planned = plan["plans"][0]["strategies"][place]["shapes"]["n_shape"].as_f64().unwrap();
        assert!((n_shape(name, 9_999.0) - planned).abs() < 0.5, "{name}: {planned}");
    }
    assert!(
        of("static-64")["share"].as_f64().unwrap() > 0.2
            && total["spans"].as_array().unwrap().len() > 1
    );
    assert_eq!(total["asked"]["n_step"], 20_000);
}

fn train_with(out: &Path, engine: &str, more: &[&str]) -> Command {
    let file = out.join("engine.py");
    std::fs::write(&file, engine).unwrap();
    train(out, file.to_str().unwrap(), more)
}

/// The engine gets a marker in its environment by which its process is found.
fn train(out: &Path, file: &str, more: &[&str]) -> Command {
    let mut run = batchlab();
    run.env("BATCHLAB_TEST_MARK", out);
    run.args(["run", "configs/smoke.toml", "training.learning_rate=0.1"]);
    let interpreter = python();
    run.arg(format!(
        "model={{ name = 'python', file = '{file}', python = '{}' }}",
        interpreter.display()
    ));
    run.args(more).arg("--out").arg(out);
    run
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn only_run(out: &Path) -> std::path::PathBuf {
    let runs: Vec<_> = std::fs::read_dir(out.join("runs")).unwrap().flatten().collect();
    assert_eq!(runs.len(), 1);
    runs[0].path()
}

/// Steps and test errors of all runs in a directory.
fn errors_on_test(out: &Path) -> Vec<(i64, f64)> {
    let code = "import duckdb, sys, json
print(json.dumps(duckdb.sql(f\"select step, rmse from '{sys.argv[1]}/tables/evals/*.parquet' where subset = 'test' order by step\").fetchall()))";
    let output = succeed(Command::new(python()).args(["-c", code]).arg(out));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Engine processes that carry the marker of a directory.
fn processes(out: &Path) -> Vec<String> {
    let mark = format!("BATCHLAB_TEST_MARK={}", out.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let read = |file| std::fs::read(entry.path().join(file)).unwrap_or_default();
            text(&read("cmdline")).contains("batchlab_worker.py")
                && text(&read("environ")).contains(&mark)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn assert_no_process(out: &Path) {
    // After its program was killed, an engine checks twice a second whether it is still there.
    for _ in 0..60 {
        if processes(out).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("left: {:?}", processes(out));
}
