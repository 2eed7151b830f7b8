use std::fs;

use batchlab_core::model::NamedTensor;
use serde_json::json;

use batchlab_core::Graphs;
use batchlab_core::graphs::{Edges, ManyGraphs, NodeClass, Target, Topology};

use super::*;

/// With a scale that has no short decimal form.
fn graphs() -> Graphs {
    let many = ManyGraphs::new(&[1, 1, 1], Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("three", Topology::Many(many)).unwrap();
    graphs.node_class = Some(NodeClass { value: vec![0; 3], name: vec!["H".into()] });
    let mut target = Target::regression("gap", "eV", vec![0.1, 0.2, 1e-3]);
    target.standardise(&[0, 1, 2]);
    graphs.target = Some(target);
    graphs
}

fn checkpoint(step: u64) -> Checkpoint {
    let tensor = |name: &str, value| NamedTensor {
        name: name.into(),
        shape: vec![2, 3],
        data: vec![value, -0.0, f32::MIN_POSITIVE, f32::INFINITY, 1e-45, step as f32],
    };
    let shape = |n_node| Shape { n_node, n_edge: u32::MAX, n_graph: 3, n_output: 2 };
    Checkpoint {
        state: RunState {
            format: FORMAT,
            run_id: "run".into(),
            step,
            n_update: step,
            cursor: Cursor { epoch: 1, batch: 1, carried: vec![7, 3], last: Some(5) },
            n_shape: step.min(2) as i64,
            journal_end: u64::MAX,
            config: json!({ "training": { "seeds": { "order": u64::MAX } } }),
            config_path: "a b/c.toml".into(),
            data: TrainingData::of(&graphs()).unwrap(),
            schedule: crate::schedule::Schedule::default(),
            is_warm: true,
            dataset_hash: "ab".into(),
            arithmetic: "avx2".into(),
            version: "0.1.0".into(),
        },
        trainer: TrainerState {
            tensors: vec![tensor("moment1.a", 0.25), tensor("parameter.a", 1.5)],
            n_update: step,
            engine: b"any bytes".to_vec(),
        },
        ledger: [shape(64), shape(128)][..step.min(2) as usize].to_vec(),
    }
}

const KEEP: NonZeroU32 = NonZeroU32::new(2).unwrap();

fn newest_step(folder: &Path) -> (Result<Option<u64>, String>, Vec<String>) {
    let mut damaged = Vec::new();
    let newest = newest(folder, &mut |error| damaged.push(error.to_string()));
    (newest.map(|c| c.map(|c| c.state.step)).map_err(|error| error.to_string()), damaged)
}

#[test]
fn a_checkpoint_comes_back_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = checkpoint(3);
    let path = written.write(folder.path(), KEEP).unwrap();
    let mut read = Checkpoint::read(&path).unwrap();
    let sort = |c: &mut Checkpoint| c.trainer.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    sort(&mut written);
    sort(&mut read);
    assert_eq!(read, written);
    let bits = |c: &Checkpoint| {
        c.trainer.tensors[0].data.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&read), bits(&written));
}

#[test]
fn the_newest_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for step in [1, 2, 10, 9] {
        checkpoint(step).write(folder.path(), KEEP).unwrap();
    }
    let steps: Vec<_> = list(folder.path()).iter().filter_map(|path| file::step_of(path)).collect();
    assert_eq!(steps, [9, 10]);
    assert_eq!(newest_step(folder.path()), (Ok(Some(10)), vec![]));
    assert_eq!(newest_step(&folder.path().join("none")), (Ok(None), vec![]));
}

#[test]
fn every_damaged_byte_is_noticed_and_the_one_before_is_used() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(1).write(folder.path(), KEEP).unwrap();
    let path = checkpoint(2).write(folder.path(), KEEP).unwrap();
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(Checkpoint::read(&path).is_err(), "byte {at} was changed");
    }
    for (n_byte, reason) in [
        (bytes.len() / 2, "it ends within its header"),
        (bytes.len() - 1, "its tensors do not fill the file"),
    ] {
        fs::write(&path, &bytes[..n_byte]).unwrap();
        let (newest, damaged) = newest_step(folder.path());
        assert_eq!(newest, Ok(Some(1)));
        assert!(damaged[0].contains(&format!("is damaged: {reason}")), "{damaged:?}");
    }

    let first = list(folder.path()).remove(0);
    fs::write(&first, "").unwrap();
    let (newest, damaged) = newest_step(folder.path());
    assert!(newest.unwrap_err().contains(&first.display().to_string()));
    assert_eq!(damaged.len(), 2);
}

#[test]
#[cfg(unix)]
fn nothing_that_lies_in_the_folder_is_written_through_or_kept_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("letter"), "mine").unwrap();
    std::os::unix::fs::symlink(at("letter"), at("unfinished.tmp")).unwrap();
    fs::write(at(".unfinished-abc"), "half of a checkpoint").unwrap();
    let path = checkpoint(1).write(folder.path(), KEEP).unwrap();
    assert_eq!(fs::read(at("letter")).unwrap(), b"mine");
    assert!(!at(".unfinished-abc").exists());
    // A long, empty file is rejected before it is read.
    fs::File::create(&path).unwrap().set_len(100 << 30).unwrap();
    assert!(Checkpoint::read(&path).is_err());
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut future = checkpoint(1);
    future.state.format = 9;
    let path = future.write(folder.path(), KEEP).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(error.contains("version 9") && error.contains("reads version 2"), "{error}");
}

#[test]
fn a_state_that_contradicts_itself_is_damaged_though_its_hash_fits() {
    type Change = fn(&mut RunState);
    let changes: [(&str, Change); 7] = [
        ("after 0 updates", |state| state.n_update = 0),
        ("beyond the end", |state| state.config = json!({ "training": { "steps": 2 } })),
        ("in batch 4", |state| state.cursor.batch = 4),
        ("with 4 shapes", |state| state.n_shape = 4),
        ("says 1", |state| state.n_shape = 1),
        ("with -1 shapes", |state| state.n_shape = -1),
        ("its last evaluation was after step 4", |state| {
            state.schedule = serde_json::from_value(json!({
                "factor": 1.0, "n_not_lower": 0, "n_cooldown": 0, "n_not_better": 0, "last_step": 4,
            }))
            .unwrap();
        }),
    ];
    for (part, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let mut wrong = checkpoint(3);
        change(&mut wrong.state);
        wrong.trainer.n_update = wrong.state.n_update;
        let path = wrong.write(folder.path(), KEEP).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("is damaged") && error.contains(part), "{part}: {error}");
    }
    for step in [0, 4, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(3).write(folder.path(), KEEP).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let other =
            path.with_file_name(name.replace("step-000000000003", &format!("step-{step:012}")));
        fs::rename(path, &other).unwrap();
        let error = Checkpoint::read(&other).unwrap_err().to_string();
        assert!(error.contains("is not the step in its name"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = checkpoint(u64::MAX).write(folder.path(), KEEP).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(error.contains("beyond the end"), "{error}");
}
