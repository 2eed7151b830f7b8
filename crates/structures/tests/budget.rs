//! Readers reserve memory before they allocate it: with an allocator that fails above the budget,
//! reading anything ends with entries or with a message.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::alloc::System;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_core::MemoryBudget;
use batchlab_structures::{ReadError, Source};
use batchlab_testkit::damage::{damaged, damages};
use cap::Cap;
use proptest::prelude::*;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const BUDGET: usize = 16 << 20;

/// Uncounted memory: buffers, names, messages.
const UNCOUNTED: usize = 1 << 20;

/// A file's name, its beginning, a repeated part, and its end.
const FILES: [(&str, &str, &str, &str); 14] = [
    ("a.json", "[{\"a\":[", "[0],", "0]}]"),
    ("a.json", "[{\"a\":[", "{\"\":0},", "0]}]"),
    ("a.json", "[{\"compound\":\"H1\",\"positions_fractional\":[", "[0,0,0],", "0]}]"),
    ("a.json", "[", "{\"a\":0},", "{}]"),
    ("a.out", "a=1", " | b=", ""),
    ("a.out", "geometry=1,1,1,90,90,90 | compound=H1 | positions_fractional=0", ";0,0,0", ""),
    ("a.csv", "cif,a", ",a", "\n"),
    (
        "a.csv",
        "compound,geometry,positions_fractional\nH1,\"[1,1,1,90,90,90]\",\"[",
        "[0,0,0],",
        "0]\"\n",
    ),
    ("a.cif", "data_a\nloop_\n_atom_site_fract_x\n", "0\n", ""),
    ("a.cif", "data_a\n", "_a 0\n", ""),
    ("a.xyz", "9999999\n\n", "H 0 0 0\n", ""),
    ("a.xyz", "1\ne=1", " a", "\nH 0 0 0\n"),
    ("a.xyz", "1\nProperties=species:S:1:pos:R:3", ":a:S:1", "\nH 0 0 0\n"),
    ("POSCAR", "H\n1\n9 0 0\n0 9 0\n0 0 9\nH\n9999999\nDirect\n", "0 0 0\n", ""),
];

fn check(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let memory = &MemoryBudget::new(BUDGET as u64);
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + BUDGET + UNCOUNTED).unwrap();
    let read = Source { path, bytes: None, wanted: None, arrays: &[], memory }
        .read(&mut |_| Ok::<_, ReadError>(ControlFlow::Continue(())));
    ALLOCATOR.set_limit(usize::MAX).unwrap();
    assert_eq!(memory.left(), BUDGET as u64, "all is given back");
    drop(read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn readers_stay_within_their_budget(
        which in 0..FILES.len(),
        n_byte in prop_oneof![1..BUDGET / 128, 1..BUDGET / 12, BUDGET / 20..BUDGET / 10],
        damages in prop::option::of(damages()),
    ) {
        thread_local! {
            static FOLDER: TempDir = TempDir::new().unwrap();
        }
        let (name, head, again, end) = FILES[which];
        let text = [head, &again.repeat(n_byte / again.len()), end].concat();
        let bytes = damages.map_or(text.clone().into_bytes(), |how| damaged(text.as_bytes(), &how));
        FOLDER.with(|folder| check(&folder.path().join(name), &bytes));
    }
}
