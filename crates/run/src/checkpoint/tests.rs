use std::fs;

use batchlab_core::model::NamedTensor;
use serde_json::json;

use super::*;

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
            cursor: Cursor { epoch: 1, batch: 2, carried: vec![7, 3], last: Some(5) },
            n_shape: 2,
            journal_end: u64::MAX,
            config: json!({ "training": { "seeds": { "order": u64::MAX } } }),
            config_path: "a b/c.toml".into(),
            schedule: crate::schedule::Schedule::default(),
            dataset_hash: "ab".into(),
            arithmetic: "avx2".into(),
            version: "0.1.0".into(),
        },
        trainer: TrainerState {
            tensors: vec![tensor("moment1.a", 0.25), tensor("parameter.a", 1.5)],
            n_update: step,
        },
        ledger: vec![shape(64), shape(128)],
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
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (newest, damaged) = newest_step(folder.path());
    assert_eq!(newest, Ok(Some(1)));
    assert!(damaged[0].contains("is damaged: its tensors do not fill it"), "{damaged:?}");

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
    // A long file of nothing is refused before it is read.
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
    assert!(error.contains("version 9") && error.contains("reads 1"), "{error}");
}
