//! When to save the training state.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::number::Positive;

/// When to save the training state: every `steps` steps or every `minutes` minutes, whichever comes
/// first, and after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpointing {
    /// Steps between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<NonZeroU64>,
    /// Minutes between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<Positive>,
    /// Number of most recent checkpoints to keep.
    #[serde(default = "default_keep")]
    pub keep: NonZeroU32,
}

/// `"none"`, or when to save the state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "Written")]
pub enum Saving {
    /// Only when the run is interrupted.
    Never,
    /// At these intervals, and after the last step.
    At(Checkpointing),
}

impl Saving {
    /// When to save the state; `None`: never.
    #[must_use]
    pub fn at(self) -> Option<Checkpointing> {
        match self {
            Self::Never => None,
            Self::At(when) => Some(when),
        }
    }
}

/// The form in the file.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Word(&'static str),
    Table(Checkpointing),
}

const NEVER: &str = "none";

impl From<Saving> for Written {
    fn from(saving: Saving) -> Self {
        saving.at().map_or(Self::Word(NEVER), Self::Table)
    }
}

// Implemented by hand, so that an error within the table keeps its position and message.
impl<'de> Deserialize<'de> for Saving {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Saving;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", or a table such as { steps = 1000 } or { minutes = 10 }")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Saving, E> {
                match word {
                    NEVER => Ok(Saving::Never),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Saving, A::Error> {
                let table = de::value::MapAccessDeserializer::new(map);
                Checkpointing::deserialize(table).map(Saving::At)
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}

impl JsonSchema for Saving {
    fn schema_name() -> Cow<'static, str> {
        "Saving".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Checkpointing>();
        json_schema!({ "oneOf": [{ "const": NEVER }, table] })
    }
}

impl Checkpointing {
    /// The default for `keep`: if the newest checkpoint is damaged, the previous one is left.
    pub const KEEP: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
}

fn default_keep() -> NonZeroU32 {
    Checkpointing::KEEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_a_word_and_everything_else_a_table() {
        #[derive(Serialize, Deserialize)]
        struct Training {
            checkpoint: Saving,
        }
        let parse = |text: &str| toml::from_str::<Training>(text);
        let never = parse("checkpoint = \"none\"").unwrap();
        assert_eq!(never.checkpoint.at(), None);
        assert_eq!(toml::to_string(&never).unwrap(), "checkpoint = \"none\"\n");
        let at = parse("checkpoint = { steps = 5 }").unwrap();
        assert_eq!(at.checkpoint.at().and_then(|when| when.steps), NonZeroU64::new(5));
        let again = parse(&toml::to_string(&at).unwrap()).unwrap();
        assert_eq!(again.checkpoint, at.checkpoint);
        for (text, part) in [
            ("checkpoint = \"never\"", "expected \"none\", or a table such as"),
            ("checkpoint = 100", "expected \"none\", or a table such as"),
            ("checkpoint = { step = 3 }", "unknown field `step`"),
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn steps_and_minutes_are_positive() {
        let parse = toml::from_str::<Checkpointing>;
        let checkpointing = parse("steps = 100").unwrap();
        assert_eq!(checkpointing.steps, NonZeroU64::new(100));
        assert_eq!((checkpointing.minutes, checkpointing.keep.get()), (None, 2));
        assert_eq!(toml::to_string(&checkpointing).unwrap(), "steps = 100\nkeep = 2\n");
        assert!(parse("minutes = 0.5\nkeep = 1").is_ok());
        for (text, part) in [
            ("steps = 0", "nonzero"),
            ("minutes = 0", "above 0"),
            ("every = 3", "unknown field `every`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
