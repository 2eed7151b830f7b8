//! Files with bytes changed, moved and removed: a loader must read or reject them, but never panic.
//!
//! `PROPTEST_CASES=100000 cargo test -p <the loader> damaged` tries more cases than a normal test
//! run; a memory limit (`ulimit -v`) reveals allocations for sizes that are not checked first.

use std::fs;
use std::path::Path;

use batchlab_core::{Dataset, Graphs, LoadContext};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// One change to a file. Positions wrap around at the end of the file.
#[derive(Debug, Clone)]
pub enum Damage {
    /// Replaces a byte.
    Byte(usize, u8),
    /// Truncates the file.
    Cut(usize),
    /// Removes bytes from a position on.
    Remove(usize, usize),
    /// Repeats bytes from a position on.
    Repeat(usize, usize, usize),
    /// Inserts one of `TOKENS`.
    Insert(usize, &'static str),
    /// Makes the number at or after a position as large as its digits allow.
    Digits(usize),
}

/// Words and numbers that readers must treat specially.
const TOKENS: &[&str] = &[
    "-1",
    "999999999999999999999",
    "1e999",
    "nan",
    "\"",
    "'",
    ";",
    "{",
    "[[[[",
    "(",
    "\0",
    "\u{fe0f}",
    "\n",
    "_",
    "loop_",
    "data_",
    "0",
    ",",
    " | ",
    "=",
    "|O",
];

/// One to five changes.
pub fn damages() -> impl Strategy<Value = Vec<Damage>> {
    vec(damage(), 1..6)
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), 1..60_usize).prop_map(|(at, n)| Damage::Remove(at, n)),
        2 => (at(), 1..60_usize, 1..30_usize).prop_map(|(at, n, times)| Damage::Repeat(at, n, times)),
        4 => (at(), select(TOKENS)).prop_map(|(at, token)| Damage::Insert(at, token)),
        2 => at().prop_map(Damage::Digits),
    ]
}

#[must_use]
pub fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        if !bytes.is_empty() {
            damage.apply(&mut bytes);
        }
    }
    bytes
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Byte(at, byte) => bytes[at % len] = *byte,
            Self::Cut(at) => bytes.truncate(at % len),
            Self::Remove(at, n) => drop(bytes.drain(at % len..(at % len + n).min(len))),
            Self::Repeat(at, n, times) => {
                let end = (at % len + n).min(len);
                let piece = bytes[at % len..end].repeat(*times);
                bytes.splice(end..end, piece);
            }
            Self::Insert(at, token) => {
                drop(bytes.splice(at % len..at % len, token.bytes()));
            }
            Self::Digits(at) => {
                let from = at % len;
                let digits = bytes[from..].iter_mut().skip_while(|byte| !byte.is_ascii_digit());
                digits.take_while(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'9');
            }
        }
    }
}

/// Loads a data set from a possibly damaged file: a successful result must be consistent, and an
/// error must fit on a few lines and name the file with its folder.
pub fn loads_or_refuses(dataset: &dyn Dataset, path: &Path, bytes: &[u8]) -> Result<(), String> {
    loads_or_refuses_in(path.parent().unwrap_or(path), dataset, path, bytes)
}

/// The same for a data set of several files: the error must name a file in `folder`, not
/// necessarily the damaged one, since a damaged file may be inconsistent with another.
pub fn loads_or_refuses_in(
    folder: &Path,
    dataset: &dyn Dataset,
    path: &Path,
    bytes: &[u8],
) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| error.to_string())?;
    let message = match dataset.load(&LoadContext::new()) {
        Ok(graphs) => return consistent(&graphs),
        Err(error) => error.to_string(),
    };
    let readable = message.len() < 2000 && !message.contains(['\0', '\u{1b}']);
    let names_file = message.contains(&*folder.to_string_lossy());
    if readable && names_file { Ok(()) } else { Err(format!("an unclear message: {message:?}")) }
}

fn consistent(graphs: &Graphs) -> Result<(), String> {
    graphs.check().map_err(|error| error.to_string())?;
    let values = graphs.target.iter().flat_map(|target| &target.value);
    let positions = graphs.position.iter().flatten().flatten();
    let finite =
        values.clone().all(|v| !v.is_infinite()) && positions.clone().all(|x| x.is_finite());
    if finite { Ok(()) } else { Err("a target or a position is not finite".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn changes_fit_into_any_file(bytes in vec(any::<u8>(), 0..50), damages in damages()) {
            prop_assert!(damaged(&bytes, &damages).len() <= 50 + 5 * 60 * 30);
        }
    }

    #[test]
    fn digits_become_nines_and_pieces_repeat() {
        let after = |damage| String::from_utf8(damaged(b"n 120\n", &[damage]));
        assert_eq!(after(Damage::Digits(1)).as_deref(), Ok("n 999\n"));
        assert_eq!(after(Damage::Repeat(0, 2, 2)).as_deref(), Ok("n n n 120\n"));
        assert_eq!(after(Damage::Remove(6, 2)).as_deref(), Ok("120\n"));
        assert_eq!(after(Damage::Insert(2, "-1")).as_deref(), Ok("n -1120\n"));
    }
}
