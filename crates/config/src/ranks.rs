//! Training on several ranks.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use batchlab_ranks::{Assignment, Cost};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Number of ranks that train together, and how they share the graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RanksTable")]
struct Table {
    /// Number of ranks, started by `mpirun` or `srun`. Give either this or `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-known-as" = ["n_rank", "n_ranks", "world_size", "size"]))]
    n: Option<NonZeroU32>,
    /// Number of ranks on this machine, which batchlab starts itself (with `mpirun`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-known-as" = ["nproc_per_node"]))]
    local: Option<NonZeroU32>,
    /// Which graphs a rank trains on in each step.
    #[serde(default)]
    assignment: Assignment,
    /// The size that `assignment` balances.
    #[serde(default)]
    cost: Cost,
    /// Seconds after which a rank that does not answer is given up and training ends.
    #[serde(default = "default_timeout")]
    timeout: NonZeroU32,
}

/// Number of ranks that train together, and how they share the graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "Table")]
pub struct Ranks {
    pub n: NonZeroU32,
    /// Whether batchlab starts them itself.
    pub is_local: bool,
    pub assignment: Assignment,
    pub cost: Cost,
    /// In seconds.
    pub timeout: NonZeroU32,
}

impl From<Ranks> for Table {
    fn from(ranks: Ranks) -> Self {
        let Ranks { n, is_local, assignment, cost, timeout } = ranks;
        let (n, local) = if is_local { (None, Some(n)) } else { (Some(n), None) };
        Self { n, local, assignment, cost, timeout }
    }
}

fn default_timeout() -> NonZeroU32 {
    NonZeroU32::new(600).expect("600 is not 0")
}

// Implemented by hand, so that an error within the table keeps its position and message.
impl<'de> Deserialize<'de> for Ranks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTable;
        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Ranks;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of ranks, or a table such as { local = 2 }")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Ranks, E> {
                let n = u32::try_from(n).ok().and_then(NonZeroU32::new);
                let wrong = || E::custom("give the number of ranks: a whole number, 1 or more");
                Ok(Ranks {
                    n: n.ok_or_else(wrong)?,
                    is_local: false,
                    assignment: Assignment::default(),
                    cost: Cost::default(),
                    timeout: default_timeout(),
                })
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Ranks, E> {
                self.visit_i64(i64::try_from(n).unwrap_or(i64::MAX))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Ranks, A::Error> {
                let table = de::value::MapAccessDeserializer::new(map);
                let Table { n, local, assignment, cost, timeout } = Table::deserialize(table)?;
                let (Some(one), None) = (n.or(local), n.and(local)) else {
                    let message = "give either n, the number of ranks that mpirun or srun starts, \
                                   or local, the number of ranks to start here";
                    return Err(de::Error::custom(message));
                };
                Ok(Ranks { n: one, is_local: local.is_some(), assignment, cost, timeout })
            }
        }
        deserializer.deserialize_any(NumberOrTable)
    }
}

impl JsonSchema for Ranks {
    fn schema_name() -> Cow<'static, str> {
        "Ranks".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 1 }, table] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Run {
        ranks: Ranks,
    }

    #[test]
    fn a_number_is_a_table_of_defaults() {
        let parse = |text: &str| toml::from_str::<Run>(text).map(|run| run.ranks);
        let four = parse("ranks = 4").unwrap();
        assert_eq!(four, parse("ranks = { n = 4, assignment = \"fixed\" }").unwrap());
        assert!(!four.is_local);
        let local = parse("ranks = { local = 2, assignment = \"lpt\", cost = \"nodes\" }").unwrap();
        assert!(local.is_local);
        let again = parse(&toml::to_string(&Run { ranks: local }).unwrap()).unwrap();
        assert_eq!(again, local);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("ranks = 0", "1 or more"),
            ("ranks = -2", "1 or more"),
            ("ranks = \"two\"", "a number of ranks, or a table"),
            ("ranks = {}", "give either n"),
            ("ranks = { n = 2, local = 2 }", "give either n"),
            ("ranks = { local = 0 }", "nonzero"),
            ("ranks = { locals = 2 }", "unknown field `locals`"),
            ("ranks = { local = 2, assignment = \"lptt\" }", "unknown variant `lptt`"),
        ] {
            let error = toml::from_str::<Run>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
