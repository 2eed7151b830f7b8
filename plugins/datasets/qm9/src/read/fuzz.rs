//! Real files with bytes changed, moved and lost: whatever the result, nothing panics, and memory
//! stays proportional to the file.
//!
//! `PROPTEST_CASES=100000 cargo test -p dataset-qm9 damaged` runs longer than the default test.

use std::sync::LazyLock;

use batchlab_testkit::damage::{damaged, damages};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Small complete files of every kind: text, extended text, each compressed, an archive, arrays.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let energies = [[-76.4, -40.5]; 4];
    let arrays = crate::arrays::tests::File::with_properties(energies, -0.25).bytes();
    let archive = super::tests::archive::waters(2);
    let packed_archive = super::tests::archive::packed(&archive);
    let xz = super::tests::pack(super::tests::EXTENDED.as_bytes());
    let texts =
        [super::tests::WATER, super::tests::EXTENDED].map(|text| text.repeat(2).into_bytes());
    [&texts[..], &[xz, archive, packed_archive, arrays]].concat()
});

fn drain(bytes: &[u8]) -> Result<usize, Qm9Error> {
    let molecules = super::tests::molecules(Path::new("damaged"), Some(bytes))?;
    for molecule in &molecules {
        assert!(!molecule.atomic_number.is_empty());
        assert_eq!(molecule.atomic_number.len(), molecule.position.len());
        assert!(molecule.position.iter().flatten().all(|x| x.is_finite()));
    }
    Ok(molecules.len())
}

#[test]
fn the_seeds_are_good() {
    for seed in SEEDS.iter() {
        assert!(drain(seed).expect("a good file") > 0);
    }
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused(
        seed in any::<Index>(),
        damages in damages(),
    ) {
        let seed: &Vec<u8> = seed.get(&SEEDS);
        let bytes = damaged(seed, &damages);
        if let Err(error) = drain(&bytes) {
            let message = error.to_string();
            prop_assert!(message.contains("damaged") && message.len() < 2000, "{}", message);
        }
    }

    #[test]
    fn damaged_tables_are_read_or_refused(damages in damages()) {
        let bytes = damaged(crate::table::tests::TABLE.as_bytes(), &damages);
        if let Ok(table) = crate::table::parse(Path::new("damaged"), bytes.as_slice(), &MemoryBudget::default()) {
            prop_assert!(table.property.values().flatten().all(|value| value.is_finite()));
        }
    }
}
