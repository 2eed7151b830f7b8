//! The targets of a crystal.

use batchlab_core::graphs;
use batchlab_structures::{Entry, Problem, is_absent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The target to learn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Target {
    /// Formation enthalpy in eV per atom.
    #[default]
    #[serde(rename = "enthalpy_formation_atom")]
    FormationEnthalpy,
    /// Band gap in eV; 0 for metals.
    Egap,
    /// Whether it is a metal: the classes `metal` and `non-metal` (any other value of `Egap_type`,
    /// including half-metals).
    #[serde(rename = "metal")]
    Metal,
}

impl Target {
    /// The value of an entry, or its class index; `None` if the entry does not state it.
    ///
    /// # Errors
    /// If a value that should be a number is not.
    pub fn of(self, entry: &Entry) -> Result<Option<f64>, Problem> {
        match self {
            Self::FormationEnthalpy => entry.number("enthalpy_formation_atom"),
            Self::Egap => entry.number("Egap"),
            Self::Metal => {
                let kind = entry.text("Egap_type").filter(|kind| !is_absent(kind));
                let is_metal = |kind: &str| kind.trim().eq_ignore_ascii_case("metal");
                Ok(kind.map(|kind| if is_metal(kind) { 0.0 } else { 1.0 }))
            }
        }
    }

    /// The column of all values.
    pub(crate) fn column(self, value: Vec<f64>) -> graphs::Target {
        match self {
            Self::FormationEnthalpy => {
                graphs::Target::regression("enthalpy_formation_atom", "eV/atom", value)
            }
            Self::Egap => graphs::Target::regression("Egap", "eV", value),
            Self::Metal => {
                let names = ["metal", "non-metal"].map(str::to_owned).into();
                graphs::Target::classes("metal", names, value)
            }
        }
    }
}
