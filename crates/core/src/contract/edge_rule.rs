//! Rules for connecting the atoms of a structure.
//!
//! The rule is shared vocabulary: every data set of structures embeds [`EdgeRule`] instead of
//! defining its own. The crate `batchlab-neighbors` turns it into edges.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rule that connects the atoms of a structure.
///
/// ```toml
/// edges = "fully-connected"   # every ordered pair of different atoms
/// edges = { radius = 5.0 }    # every neighbour closer than 5 angstrom
/// edges = { nearest = 12 }    # the 12 nearest neighbours of each atom
/// ```
///
/// An edge points from a neighbour to the centre: the *receiver* is the centre, the *sender* the
/// neighbour. The displacement is the position of the receiver minus that of the sender, so it
/// points at the receiver; the distance is its length. In a periodic structure each image of an
/// atom is a separate neighbour, including images of the centre itself, and the displacement is
/// taken to the image.
///
/// Edges are sorted by receiver, then by distance, then by sender, then by image. Implied edges (of
/// open, fully connected structures), which data sets do not store, are ordered by sender instead
/// of distance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeRule {
    /// Every ordered pair of different atoms; for open structures only.
    #[default]
    FullyConnected,
    /// Every neighbour strictly closer than this many angstrom. Symmetric: if i is a neighbour of
    /// j, then j is a neighbour of i.
    Radius(Radius),
    /// This many nearest neighbours of each atom, so every atom receives the same number of edges.
    /// Ties in distance are broken by lower sender, then lower image. Not symmetric: i may be a
    /// neighbour of j without j being a neighbour of i.
    Nearest(NonZeroU32),
}

crate::checked_number! {
    /// The radius of [`EdgeRule::Radius`] in angstrom, finite and above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub struct Radius(f64): radius if radius.is_finite() && radius > 0.0,
    else "{radius} is not a radius; give a length in angstrom above 0, for example 5.0"
}

/// A radius is never NaN.
impl Eq for Radius {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, Serialize, PartialEq)]
    struct Config {
        edges: EdgeRule,
    }

    fn check(value: &str, expected: EdgeRule) {
        let config: Config = toml::from_str(&format!("edges = {value}")).unwrap();
        assert_eq!(config.edges, expected);
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }

    fn check_refused(value: &str, reason: &str) {
        let text = format!("before = 1\nedges = {value}\n");
        let error = toml::from_str::<Config>(&text).unwrap_err();
        // The span lies within the value of this key, not the whole document.
        let place = &text[error.span().unwrap()];
        assert!(value.contains(place) && !place.is_empty(), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn configuration_forms() {
        let five = EdgeRule::Radius(Radius(5.0));
        check("\"fully-connected\"", EdgeRule::FullyConnected);
        check("{ radius = 5.0 }", five);
        check("{ radius = 5 }", five);
        check("{ nearest = 12 }", EdgeRule::Nearest(NonZeroU32::new(12).unwrap()));
    }

    #[test]
    fn wrong_values_are_refused_at_their_place() {
        for radius in ["0", "0.0", "-0.0", "-1.5", "nan", "inf", "-inf"] {
            check_refused(&format!("{{ radius = {radius} }}"), "is not a radius");
        }
        check_refused("{ radius = \"5\" }", "invalid type");
        check_refused("{ nearest = 0 }", "nonzero");
        check_refused("{ nearest = -3 }", "invalid value");
        check_refused("{ nearest = 1.5 }", "invalid type");
        check_refused("\"full\"", "`fully-connected`, `radius`, `nearest`");
    }

    #[test]
    fn the_schema_names_every_form() {
        let schema = schemars::schema_for!(EdgeRule).to_value().to_string();
        for word in ["fully-connected", "radius", "nearest", "exclusiveMinimum"] {
            assert!(schema.contains(word), "{schema}");
        }
    }
}
