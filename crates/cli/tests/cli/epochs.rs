//! Training by epochs: their number, the learning rate and the end decided by evaluations, the best
//! state, and the same again after an interruption.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(clippy::cast_sign_loss, reason = "numbers of steps are not negative")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::resume::{completed, completed_in_parts, weights};
use crate::small_run::{Tables, batchlab, names, run_folder, text};

/// 300 molecules for training, in some 20 steps per epoch.
const CONFIG: &str = r#"
[dataset]
name = "qm9"
[model]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1
[split]
validation = 0.1
test = 0.75
[evaluation]
every = 1
subsets = ["validation"]
"#;

const DECIDED: &str = "learning_rate = 0.02
plateau = { factor = 0.5, patience = 0, cooldown = 1, threshold = 0.05 }
early_stopping = { patience = 4, min_epochs = 3 }
checkpoint = { steps = 7 }";

fn start(out: &Path, batcher: &str, training: &str) -> Command {
    let config = out.join("run.toml");
    let text = format!("{CONFIG}[batcher]\n{batcher}\n[training]\n{training}\n");
    fs::write(&config, text).unwrap();
    let mut command = batchlab();
    command.arg("run").arg(config).arg("--out").arg(out.join("out")).args(["--threads", "1"]);
    command
}

/// Names and bytes of the best states, without what varies between attempts.
fn best(out: &Path) -> Vec<(u64, Vec<u8>)> {
    let folder = run_folder(out).join("checkpoints").join("best");
    let state = |name: String| {
        let step = name.strip_prefix("step-").unwrap().split_once('.').unwrap().0.parse().unwrap();
        let bytes = fs::read(folder.join(name)).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        (step, bytes[8 + header..].to_vec())
    };
    names(&folder).into_iter().map(state).collect()
}

#[test]
fn an_epoch_has_the_steps_that_the_batcher_makes_of_it() {
    for (batcher, n_step) in [
        // ceil(300 / 14) batches per epoch without carry-over.
        ("name = \"static\"\nbatch_size = 15\ncomposition = \"fixed\"", 3 * 22),
        ("name = \"static\"\nbatch_size = 16\ncomposition = \"fixed\"", 3 * 20),
    ] {
        let folder = TempDir::new().unwrap();
        completed(&mut start(folder.path(), batcher, "epochs = 3"));
        let tables = Tables::read(&folder.path().join("out"));
        let run = &tables.runs[0];
        assert_eq!((run.n_step_planned, run.n_epoch_planned), (None, Some(3)));
        assert_eq!((run.n_step, tables.steps.len()), (Some(n_step), n_step as usize), "{batcher}");
        assert_eq!(tables.steps.last().unwrap().epoch, 2);
        let at: Vec<i64> = tables.evals.iter().map(|eval| eval.step).collect();
        assert_eq!(at, [0, n_step / 3, 2 * n_step / 3, n_step]);
        let before: i64 = tables.steps.iter().take(at[1] as usize).map(|step| step.step_ns).sum();
        assert_eq!(tables.evals[1].train_ns, Some(before));
    }
}

#[test]
fn in_a_cell_every_run_ends_with_its_own_epochs() {
    let folder = TempDir::new().unwrap();
    for (pairs, is_timed_beyond) in [(0, false), (1, true)] {
        let (config, out) =
            (folder.path().join("study.toml"), folder.path().join(pairs.to_string()));
        let batchers = "{ name = \"static\", batch_size = 15, composition = \"fixed\" }, \
                        { name = \"static\", batch_size = 60, composition = \"fixed\" }";
        let text = format!(
            "batchers = [{batchers}]\n{CONFIG}[training]\nepochs = 3\n\
             [blocks]\nsteps = 7\nseconds = 0.001\npairs = {pairs}\n"
        );
        fs::write(&config, text).unwrap();
        let sweep = || {
            let mut sweep = batchlab();
            sweep.arg("sweep").arg(&config).arg("--out").arg(&out);
            sweep.env("BATCHLAB_LOCKS", folder.path());
            sweep
        };
        let output = sweep().args(["--dry-run", "--json"]).output().unwrap();
        let planned: Value = serde_json::from_slice(&output.stdout).unwrap();
        let n_planned = [0, 1].map(|run| planned["cells"][0]["runs"][run]["n_step"].as_u64());
        // About 66 and 18: the last batch of an epoch is smaller, and not always among the steps
        // tried.
        let is_own = matches!(n_planned, [Some(60..=72), Some(15..=22)]);
        assert_eq!(is_own, !is_timed_beyond, "{n_planned:?}");
        completed(&mut sweep());
        let tables = Tables::read(&out);
        let mut n_step: Vec<i64> = tables.runs.iter().map(|run| run.n_step.unwrap()).collect();
        n_step.sort_unstable();
        // ceil(300 / 14) and ceil(300 / 59) batches per epoch.
        assert_eq!(n_step, [3 * 6, 3 * 22]);
        let n_all = tables.steps.len() as i64;
        assert_eq!(n_all > n_step.iter().sum::<i64>(), is_timed_beyond, "{n_all} steps");
    }
}

#[test]
fn what_evaluations_decide_is_the_same_after_an_interruption_to_the_last_bit() {
    for batcher in [
        "name = \"static\"\nbatch_size = 16\npadding = { multiple = 64 }",
        "name = \"dynamic\"\nbatch_size = 16",
    ] {
        let training = format!("epochs = 60\n{DECIDED}");
        let whole = TempDir::new().unwrap();
        completed(&mut start(whole.path(), batcher, &training));
        let whole = whole.path().join("out");
        let reference = Tables::read(&whole);
        let kinds: Vec<&str> = reference.events.iter().map(|event| event.kind.as_str()).collect();
        assert!(kinds.contains(&"learning_rate") && kinds.contains(&"early_stopping"), "{kinds:?}");
        assert!(reference.steps.last().unwrap().epoch < 59, "it ends early");
        let rate = |at: usize| reference.steps[at].learning_rate;
        assert!(rate(reference.steps.len() - 1) < rate(0));
        // The best evaluation is the first with the lowest loss, four before the last.
        let loss = |at: usize| reference.evals[at].loss.unwrap();
        let least =
            (1..reference.evals.len()).min_by(|&a, &b| loss(a).total_cmp(&loss(b))).unwrap();
        assert_eq!(least + 4, reference.evals.len() - 1);
        let [(step, _)] = best(&whole)[..] else { panic!("one best state") };
        assert_eq!(step as i64, reference.evals[least].step);

        let parts = completed_in_parts(|folder| start(folder, batcher, &training));
        let out = parts.path().join("out");
        let again = Tables::read(&out);
        assert_eq!(again.timeless_steps(), reference.timeless_steps(), "{batcher}");
        assert_eq!(again.timeless_evals(), reference.timeless_evals(), "{batcher}");
        assert_eq!(weights(&out), weights(&whole), "{batcher}");
        assert_eq!(best(&out), best(&whole), "{batcher}");
    }
}

/// A run that extends another one makes the same decisions as a single run of that length: no
/// evaluation counts twice, an extra evaluation after the last step has no later effect, and the
/// best state exists even if it was found earlier.
#[test]
fn what_evaluations_decide_is_the_same_in_an_extended_run_to_the_last_bit() {
    let batcher = "name = \"dynamic\"\nbatch_size = 32";
    for (unit, of_epoch, every) in [("epochs", 1, 2), ("steps", 9, 4)] {
        let begin = |folder: &Path, length: i64| {
            let training = format!(
                "{unit} = {}\nlearning_rate = 0.05\nplateau = {{ factor = 0.5, patience = 0, threshold = \
                 0.05 }}\nearly_stopping = {{ patience = 3 }}",
                length * of_epoch
            );
            let mut command = start(folder, batcher, &training);
            command.arg(format!("evaluation.every={every}"));
            command
        };
        let whole = TempDir::new().unwrap();
        completed(&mut begin(whole.path(), 6));
        let whole = whole.path().join("out");
        let reference = Tables::read(&whole);
        for split in 1..6 {
            let parts = TempDir::new().unwrap();
            completed(&mut begin(parts.path(), split));
            let out = parts.path().join("out");
            let parent = run_folder(&out);
            let mut extend = batchlab();
            extend.args(["run", "--threads", "1", "--resume"]).arg(&parent);
            completed(extend.arg(format!("training.{unit}={}", 6 * of_epoch)));
            let mut both = Tables::read(&out);
            both.steps.sort_by_key(|step| step.step);
            let what = format!("{unit}, every {every}, {split} of 6");
            assert_eq!(both.timeless_steps(), reference.timeless_steps(), "{what}");
            fs::remove_dir_all(parent).unwrap();
            assert_eq!(weights(&out), weights(&whole), "{what}");
            assert_eq!(best(&out), best(&whole), "{what}");
        }
    }
}

#[test]
fn the_best_state_is_the_one_that_is_evaluated() {
    let folder = TempDir::new().unwrap();
    let batcher = "name = \"dynamic\"\nbatch_size = 16";
    let training = "epochs = 60\nlearning_rate = 0.05\nearly_stopping = { patience = 2 }";
    let output = start(folder.path(), batcher, training).output().unwrap();
    let summary = text(&output);
    assert!(output.status.success(), "{summary}");
    let out = folder.path().join("out");
    let [(step, _)] = best(&out)[..] else { panic!("one best state") };
    let evals = Tables::read(&out).evals;
    let recorded = evals.iter().find(|eval| eval.step == step as i64).unwrap();
    let last = evals.last().unwrap();
    assert!((step as i64) < last.step);
    // The summary has the errors of both, and says why training ended.
    for part in [
        format!(
            "completed, stopped early: 2 evaluations of the validation set did not improve the loss reached \
             after step {step}\n"
        ),
        format!("last state   after {} steps\n", last.step),
        format!(" -> {:.4} eV, MAE {:.4} eV; ", last.rmse.unwrap(), last.mae.unwrap()),
        format!("best state   after {step} steps, which evaluate and predict take\n"),
        format!(
            "validation   RMSE {:.4} eV, MAE {:.4} eV after {step} steps; ",
            recorded.rmse.unwrap(),
            recorded.mae.unwrap()
        ),
    ] {
        assert!(summary.contains(&part), "{part} is missing:\n{summary}");
    }
    let mut command = batchlab();
    command.arg("evaluate").arg(run_folder(&out)).args(["--subset", "validation", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["step"].as_u64(), Some(step));
    let rmse = printed["rmse"].as_f64().unwrap();
    assert!((rmse - recorded.rmse.unwrap()).abs() < 1e-6 * rmse);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let batcher = "name = \"dynamic\"\nbatch_size = 16";
    for (training, part) in [
        ("steps = 10\nepochs = 3", "give either steps or epochs, not both"),
        ("learning_rate = 0.1", "training needs steps or epochs, as in steps = 1000"),
        ("epochs = 3\nplateau = { factor = 1.0 }", "1 is not a share"),
        ("epochs = 3\nplateau = { min_learning_rate = -1.0 }", "min_learning_rate = -1"),
        ("epochs = 3\nearly_stopping = {}", "missing field `patience`"),
        (
            "epochs = 3\nearly_stopping = { patience = 1, by = \"accuracy\" }",
            "numbers have no accuracy",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let output = start(folder.path(), batcher, training).output().unwrap();
        assert!(text(&output).contains(part), "{}", text(&output));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    }
    let folder = TempDir::new().unwrap();
    let mut command = start(folder.path(), batcher, "epochs = 3\nplateau = {}");
    let output = command.arg("evaluation.subsets=[\"test\"]").output().unwrap();
    assert!(text(&output).contains("it needs the validation set"), "{}", text(&output));
}

#[test]
fn nothing_is_decided_by_a_validation_set_without_members() {
    let batcher = "name = \"dynamic\"\nbatch_size = 16";
    for (key, table) in [("plateau", "{}"), ("early_stopping", "{ patience = 1 }")] {
        let folder = TempDir::new().unwrap();
        let mut command = start(folder.path(), batcher, &format!("epochs = 3\n{key} = {table}"));
        let output = command.arg("split.validation=0.0").output().unwrap();
        let printed = text(&output);
        let expected = format!("training.{key} needs a validation set, but it is empty");
        assert!(printed.contains(&expected), "{printed}");
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(!folder.path().join("out").join("runs").exists(), "{printed}");
    }
}
