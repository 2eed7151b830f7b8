//! The list of real compositions and volumes.

use std::io::Read as _;
use std::path::PathBuf;

use batchlab_core::DatasetError;
use batchlab_structures::composition;
use liblzma::bufread::XzDecoder;

/// `compound,volume_cell`, one crystal per line; see `data/README.md` for its origin.
const LIST: &[u8] = include_bytes!("../../../../data/aflow_icsd_formulas.csv.xz");
const NAME: &str = "data/aflow_icsd_formulas.csv.xz (compiled in)";

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Formula {
    /// Atomic numbers, `[n_atom]`, in the order of the formula.
    pub(crate) atomic_number: Vec<u8>,
    /// Of the cell, in cubic angstrom.
    pub(crate) volume: f64,
}

/// The first `limit` lines.
pub(crate) fn list(limit: usize) -> Result<Vec<Formula>, DatasetError> {
    let mut text = String::new();
    let io = |source| DatasetError::Io { path: PathBuf::from(NAME), source };
    XzDecoder::new(LIST).read_to_string(&mut text).map_err(io)?;
    parse(&text, limit)
}

fn parse(text: &str, limit: usize) -> Result<Vec<Formula>, DatasetError> {
    let line = |(at, line): (usize, &str)| {
        let malformed =
            |message| DatasetError::Malformed { path: NAME.into(), line: at + 1, message };
        let found = line
            .split_once(',')
            .and_then(|(compound, volume)| Some((compound, volume.parse().ok()?)));
        let (compound, volume) = found
            .filter(|&(_, volume): &(&str, f64)| volume.is_finite() && volume > 0.0)
            .ok_or_else(|| malformed(format!("expected a formula and a volume, found `{line}`")))?;
        let atomic_number =
            composition(compound).map_err(|problem| malformed(problem.to_string()))?;
        Ok(Formula { atomic_number, volume })
    };
    text.lines().enumerate().skip(1).take(limit).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_sizes() {
        let list = list(usize::MAX).unwrap();
        let n_atom: Vec<usize> = list.iter().map(|formula| formula.atomic_number.len()).collect();
        // As stated in data/README.md for `aflow_icsd_sizes.csv.xz`.
        assert_eq!((n_atom.len(), n_atom.iter().sum::<usize>() * 12), (9255, 2_119_272));
        assert_eq!((n_atom.iter().min(), n_atom.iter().max()), (Some(&2), Some(&144)));
        let per_atom = |formula: &Formula| formula.volume / formula.atomic_number.len() as f64;
        assert!(list.iter().all(|formula| (5.0..240.0).contains(&per_atom(formula))));
    }

    #[test]
    fn faults_are_named() {
        let fault = |text| parse(text, usize::MAX).unwrap_err().to_string();
        assert!(
            fault("h\nNa1,20\nNa1\n").contains(":3: expected a formula and a volume, found `Na1`")
        );
        assert!(fault("h\nNa1,-2\n").contains("found `Na1,-2`"));
        assert!(fault("h\nXx1,2\n").contains(":2: unknown element `Xx`"));
    }
}
