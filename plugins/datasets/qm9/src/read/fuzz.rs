//! Real files with bytes changed, moved and lost: whatever comes out, nothing panics, and nothing
//! takes more memory than the file is worth.
//!
//! `PROPTEST_CASES=100000 cargo test -p dataset-qm9 mutated` runs longer than every test run does.

use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Small whole files of every kind: text, extended text, each packed, an archive, arrays.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let energies = [[-76.4, -40.5]; 4];
    let arrays = crate::arrays::tests::File::with_properties(energies, -0.25).bytes();
    let archive = crate::archive::tests::waters(2);
    let packed_archive = crate::archive::tests::packed(&archive);
    let xz = super::tests::pack(super::tests::EXTENDED.as_bytes());
    let texts =
        [super::tests::WATER, super::tests::EXTENDED].map(|text| text.repeat(2).into_bytes());
    [&texts[..], &[xz, archive, packed_archive, arrays]].concat()
});

/// One change of a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
    Digits(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), place()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Change::Repeat(from, to)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => place().prop_map(Change::Digits),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let n = bytes.len();
        let span = |from: &Index, to: &Index| {
            let (from, to) = (from.index(n), to.index(n));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(at, bits) => bytes[at.index(n)] ^= bits,
            Self::Cut(at) => bytes.truncate(at.index(n)),
            Self::Remove(from, to) => drop(bytes.drain(span(from, to))),
            Self::Repeat(from, to) => {
                let part = bytes[span(from, to)].to_vec();
                bytes.splice(n..n, part);
            }
            Self::Insert(at, more) => drop(bytes.splice(at.index(n)..at.index(n), more.clone())),
            // Numbers that are too large are where readers go wrong.
            Self::Digits(at) => {
                let from = at.index(n);
                let digits = bytes[from..].iter_mut().skip_while(|byte| !byte.is_ascii_digit());
                digits.take_while(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'9');
            }
        }
    }
}

fn drain(bytes: Vec<u8>) -> Result<usize, Qm9Error> {
    let mut molecules = Molecules::none();
    molecules.begin(open_stream(Path::new("mutated"), Cursor::new(bytes))?);
    let mut n = 0;
    for molecule in molecules {
        let molecule = molecule?;
        assert!(!molecule.atomic_number.is_empty());
        assert_eq!(molecule.atomic_number.len(), molecule.position.len());
        assert!(molecule.position.iter().flatten().all(|x| x.is_finite()));
        n += 1;
    }
    Ok(n)
}

#[test]
fn the_seeds_are_good() {
    for seed in SEEDS.iter() {
        assert!(drain(seed.clone()).expect("a good file") > 0);
    }
}

proptest! {
    #[test]
    fn mutated_files_are_read_or_refused(
        seed in any::<Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut bytes = seed.get(&SEEDS).clone();
        for change in &changes {
            change.apply(&mut bytes);
        }
        if let Err(error) = drain(bytes) {
            let message = error.to_string();
            prop_assert!(message.contains("mutated") && message.len() < 2000, "{}", message);
        }
    }

    #[test]
    fn mutated_tables_are_read_or_refused(changes in prop::collection::vec(change(), 1..6)) {
        let mut bytes = crate::table::tests::TABLE.as_bytes().to_vec();
        for change in &changes {
            change.apply(&mut bytes);
        }
        if let Ok(table) = crate::table::parse(Path::new("mutated"), bytes.as_slice()) {
            prop_assert!(table.property.values().flatten().all(|value| value.is_finite()));
        }
    }
}
