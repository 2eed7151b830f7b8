use std::fs;

use batchlab_core::record::{EventRecord, MetricRecord, Record};

use super::*;

/// The content of an entry.
type Rows = Vec<(Table, RecordBatch)>;

fn metrics(range: std::ops::Range<i64>) -> (Table, RecordBatch) {
    let row = |step| MetricRecord {
        run_id: "run".into(),
        name: "a".into(),
        step: Some(step),
        value: step as f64,
    };
    (Table::Metrics, MetricRecord::to_batch(&range.map(row).collect::<Vec<_>>()).unwrap())
}

fn event(step: i64) -> (Table, RecordBatch) {
    let row = EventRecord {
        run_id: "run".into(),
        at: None,
        step: Some(step),
        kind: "note".into(),
        message: String::new(),
        payload: None,
    };
    (Table::Events, EventRecord::to_batch(&[row]).unwrap())
}

/// A journal of three entries, and their ends.
fn journal(folder: &Path) -> (PathBuf, Vec<Rows>, Vec<u64>) {
    let path = folder.join("journal");
    let mut journal = Journal::create(&path).unwrap();
    let entries = vec![vec![metrics(1..4), event(3)], vec![metrics(4..5)], vec![event(4)]];
    let mut ends = Vec::new();
    for entry in &entries {
        journal.append(entry).unwrap();
        ends.push(journal.end());
    }
    journal.sync().unwrap();
    (path, entries, ends)
}

fn read(path: &Path) -> (Vec<Rows>, u64) {
    let mut entries = Entries::open(path).unwrap();
    let read = entries.by_ref().map(|entry| entry.batches).collect();
    (read, entries.n_byte_torn())
}

fn damaged(path: &Path) -> Vec<(u64, u64)> {
    let mut entries = Entries::open(path).unwrap();
    entries.by_ref().for_each(drop);
    entries.damaged().iter().map(|place| (place.start, place.end)).collect()
}

#[test]
fn a_journal_that_is_cut_anywhere_holds_the_entries_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, entries, ends) = journal(folder.path());
    assert_eq!(read(&path), (entries.clone(), 0));
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let n = ends.iter().filter(|&&end| end <= length as u64).count();
        let torn = length as u64 - if n == 0 { 0 } else { ends[n - 1] };
        assert_eq!(read(&path), (entries[..n].to_vec(), torn), "cut at {length}");
        assert_eq!(damaged(&path), [], "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_costs_the_entry_that_it_hits_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (path, entries, ends) = journal(folder.path());
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in [0, 4, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            let hit = ends.iter().filter(|&&end| end <= at as u64).count();
            let mut rest = entries.clone();
            rest.remove(hit);
            assert_eq!(read(&path), (rest, 0), "bit {bit} of byte {at} was flipped");
            let begin = if hit == 0 { 0 } else { ends[hit - 1] };
            assert_eq!(damaged(&path), vec![(begin, ends[hit])], "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn damage_and_an_entry_that_was_cut_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (path, entries, ends) = journal(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[ends[0] as usize + 60] ^= 1;
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(read(&path), (vec![entries[0].clone()], ends[2] - 5 - ends[1]));
    assert_eq!(damaged(&path), vec![(ends[0], ends[1])]);
}

#[test]
fn a_journal_goes_on_after_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (path, entries, ends) = journal(folder.path());
    let mut journal = Journal::cut(&path, ends[0]).unwrap();
    journal.append(&[metrics(4..9)]).unwrap();
    assert_eq!(read(&path), (vec![entries[0].clone(), vec![metrics(4..9)]], 0));
}

#[test]
fn nothing_to_record_is_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::create(&path).unwrap();
    let none = MetricRecord::to_batch(&[]).unwrap();
    journal.append(&[(Table::Metrics, none)]).unwrap();
    assert_eq!((journal.end(), fs::metadata(&path).unwrap().len()), (0, 0));
    Journal::create(&path).unwrap_err();
}

/// Linux has a device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let path = PathBuf::from("/dev/full");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut journal = Journal { path, file, end: 0 };
    let error = journal.append(&[metrics(1..9)]).unwrap_err().to_string();
    assert!(error.contains("cannot write /dev/full: No space left"), "{error}");
    assert_eq!(journal.end(), 0);
}
