//! Selects the entries to keep.

use std::collections::HashSet;

use batchlab_structures::{Entry, Problem, is_absent};

#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Lower bound on formation enthalpies, in eV per atom.
    pub above: Option<f64>,
    /// Upper bound on formation enthalpies, in eV per atom.
    pub below: Option<f64>,
    /// Accepted kinds of density functional; all if empty.
    pub dft_type: Vec<String>,
    auid: HashSet<String>,
    aurl: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// An entry with the same `auid` or `aurl` came before.
    Repeated,
    NoStructure,
    NoTarget,
    /// Another kind of density functional, or none stated.
    DftType,
    /// The formation enthalpy is out of bounds.
    Enthalpy,
}

impl Reason {
    /// All reasons, in the order in which they are checked.
    pub const ALL: [Self; 5] =
        [Self::Repeated, Self::NoStructure, Self::NoTarget, Self::DftType, Self::Enthalpy];

    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Repeated => "entries left out as repeated (auid or aurl)",
            Self::NoStructure => "entries left out without positions",
            Self::NoTarget => "entries left out without target",
            Self::DftType => "entries left out by dft_type",
            Self::Enthalpy => "entries left out by formation enthalpy",
        }
    }
}

impl Filter {
    #[must_use]
    pub fn new(above: Option<f64>, below: Option<f64>, dft_type: Vec<String>) -> Self {
        Self { above, below, dft_type, ..Self::default() }
    }

    /// The reason for excluding an entry, or `None` to keep it. Entries must come in order: of
    /// repeated ones the first *kept* one stays, so an entry without positions does not block the
    /// same entry from another file.
    ///
    /// # Errors
    /// If the formation enthalpy is not a number.
    pub fn reject(
        &mut self,
        entry: &Entry,
        has_structure: bool,
        has_target: bool,
    ) -> Result<Option<Reason>, Problem> {
        let stated = |key| entry.text(key).filter(|id| !is_absent(id));
        let (auid, aurl) = (stated("auid"), stated("aurl"));
        if auid.is_some_and(|id| self.auid.contains(id))
            || aurl.is_some_and(|id| self.aurl.contains(id))
        {
            return Ok(Some(Reason::Repeated));
        }
        let reason = self.reason(entry, has_structure, has_target)?;
        if reason.is_none() {
            self.auid.extend(auid.map(str::to_owned));
            self.aurl.extend(aurl.map(str::to_owned));
        }
        Ok(reason)
    }

    fn reason(
        &self,
        entry: &Entry,
        has_structure: bool,
        has_target: bool,
    ) -> Result<Option<Reason>, Problem> {
        if !has_structure {
            return Ok(Some(Reason::NoStructure));
        }
        if !has_target {
            return Ok(Some(Reason::NoTarget));
        }
        if !self.dft_type.is_empty()
            && !self.is_accepted(entry.text("dft_type").unwrap_or_default())
        {
            return Ok(Some(Reason::DftType));
        }
        let enthalpy = entry.number("enthalpy_formation_atom")?;
        let outside = enthalpy.is_some_and(|enthalpy| {
            self.above.is_some_and(|above| enthalpy <= above)
                || self.below.is_some_and(|below| enthalpy >= below)
        });
        Ok(outside.then_some(Reason::Enthalpy))
    }

    /// Whether every kind in a list is accepted; the list may be in Python notation.
    fn is_accepted(&self, stated: &str) -> bool {
        let kinds = stated.split(',').map(|kind| kind.trim_matches(['[', ']', '\'', '"', ' ']));
        let mut kinds = kinds.filter(|kind| !kind.is_empty()).peekable();
        kinds.peek().is_some()
            && kinds.all(|kind| self.dft_type.iter().any(|accepted| accepted == kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(property: &[(&str, &str)]) -> Entry {
        let property = property.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Entry { path: "x".into(), line: 1, structure: None, property: property.collect() }
    }

    fn reject(filter: &mut Filter, property: &[(&str, &str)]) -> Option<Reason> {
        filter.reject(&entry(property), true, true).expect("numbers")
    }

    #[test]
    fn bounds_are_open_and_pass_over_what_is_not_stated() {
        let mut filter = Filter::new(Some(-10.0), Some(70.0), Vec::new());
        for (enthalpy, reason) in [
            ("-10", Some(Reason::Enthalpy)),
            ("-9.99", None),
            ("69.9", None),
            ("70", Some(Reason::Enthalpy)),
        ] {
            assert_eq!(
                reject(&mut filter, &[("enthalpy_formation_atom", enthalpy)]),
                reason,
                "{enthalpy}"
            );
        }
        assert_eq!(reject(&mut filter, &[]), None);
        assert_eq!(reject(&mut filter, &[("enthalpy_formation_atom", "nan")]), None);
        let wrong = entry(&[("enthalpy_formation_atom", "low")]);
        assert!(filter.reject(&wrong, true, true).is_err());
    }

    #[test]
    fn every_functional_must_be_accepted_however_it_is_spelled() {
        let mut filter = Filter::new(None, None, vec!["PAW_PBE".into(), "GGA".into()]);
        for accepted in ["PAW_PBE", "PAW_PBE,GGA", "['PAW_PBE']", "[\"PAW_PBE\", \"GGA\"]"] {
            assert_eq!(reject(&mut filter, &[("dft_type", accepted)]), None, "{accepted}");
        }
        for other in ["LDA", "PAW_PBE,LDA", "PAW", "", "[]"] {
            assert_eq!(
                reject(&mut filter, &[("dft_type", other)]),
                Some(Reason::DftType),
                "{other}"
            );
        }
        assert_eq!(reject(&mut filter, &[]), Some(Reason::DftType));
    }

    #[test]
    fn the_first_kept_one_of_repeated_entries_stays() {
        let mut filter = Filter::default();
        let same = [("auid", "aflow:1"), ("aurl", "a")];
        assert_eq!(filter.reject(&entry(&same), false, true), Ok(Some(Reason::NoStructure)));
        assert_eq!(filter.reject(&entry(&same), true, false), Ok(Some(Reason::NoTarget)));
        assert_eq!(reject(&mut filter, &same), None);
        assert_eq!(
            reject(&mut filter, &[("auid", "aflow:1"), ("aurl", "b")]),
            Some(Reason::Repeated)
        );
        assert_eq!(reject(&mut filter, &[("aurl", "a")]), Some(Reason::Repeated));
        assert_eq!(reject(&mut filter, &[("auid", "aflow:2"), ("aurl", "b")]), None);
        // Without a name nothing can be a repeat.
        assert_eq!([reject(&mut filter, &[]), reject(&mut filter, &[])], [None, None]);
        let unnamed = [("auid", ""), ("aurl", "null")];
        assert_eq!([reject(&mut filter, &unnamed), reject(&mut filter, &unnamed)], [None, None]);
    }
}
