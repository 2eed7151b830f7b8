//! AFLOW's JSON: one entry (`aflowlib.json`), a list of them (AFLUX 1.0), or an object of numbered
//! ones (AFLUX without version). Entries are read one at a time.

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::error::Problem;
use crate::format::aflow::{self, Content};
use crate::lines::{Allowance, Counted, Fault};

/// Reads one document; entries are numbered from 1.
pub(crate) fn read(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let (stream, left) = Counted::new(stream);
    let mut parser = serde_json::Deserializer::from_reader(std::io::BufReader::new(stream));
    let mut fault = None;
    let entries = Entries { visit, fault: &mut fault, n_entry: 0, left: left.clone() };
    let read = entries.deserialize(&mut parser).and_then(|()| parser.end());
    if let Some(fault) = fault {
        return Err(fault);
    }
    read.map_err(|error| {
        let at = error.line().max(1);
        (
            at,
            match error.classify() {
                _ if left.is_spent() => Problem::TooLong.into(),
                serde_json::error::Category::Io => Fault::Io(error.into()),
                serde_json::error::Category::Eof => {
                    Problem::Truncated { expected: "the rest of the JSON document" }.into()
                }
                _ => Problem::syntax(error).into(),
            },
        )
    })
}

/// Passes on every entry of a document; an error in its content ends the parsing.
struct Entries<'a> {
    visit: &'a mut dyn FnMut(usize, Content) -> Result<(), Fault>,
    fault: &'a mut Option<(usize, Fault)>,
    n_entry: usize,
    left: Allowance,
}

impl Entries<'_> {
    fn entry<E: serde::de::Error>(&mut self, entry: Map<String, Json>) -> Result<(), E> {
        self.n_entry += 1;
        self.left.renew();
        let n_entry = self.n_entry;
        let visited = aflow::content(entry).map_err(Fault::from);
        visited.and_then(|content| (self.visit)(n_entry, content)).map_err(|fault| {
            *self.fault = Some((n_entry, fault));
            E::custom("stopped")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an entry of AFLOW, a list of entries, or an object of numbered entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element::<Map<String, Json>>()? {
            self.entry(entry)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut single = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            match value {
                Json::Object(entry) if is_number_of(&key) => self.entry(entry)?,
                value => drop(single.insert(key, value)),
            }
        }
        if single.is_empty() { Ok(()) } else { self.entry(single) }
    }
}

/// Whether a key is an entry number, like `2 of 912`.
fn is_number_of(key: &str) -> bool {
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    key.split_once(" of ").is_some_and(|(number, total)| is_number(number) && is_number(total))
}
