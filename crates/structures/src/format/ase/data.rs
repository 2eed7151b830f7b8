//! The column `data` of an ASE database: JSON in which arrays of `NumPy` are marked. `SchNetPack` keeps
//! targets and forces there.
//!
//! As bytes, the column begins with the offset of the JSON text (64-bit, little-endian); the arrays lie
//! in between, and the text holds shape, type and offset of each. As text, it holds the numbers.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use serde_json::{Map, Value as Json};

use super::unexpected;
use crate::error::{Problem, shown};
use crate::format::aflow::{Content, MAX_LIST, plain};
use crate::limits::MAX_ENTRY;
use crate::structure::{AtomArray, Numbers};

/// Which arrays have a row per atom, as far as structures of several atoms have shown it.
#[derive(Default)]
pub(super) struct PerAtom(BTreeMap<String, bool>);

impl PerAtom {
    /// Adds the requested arrays of atoms, and everything that is a property of the structure.
    pub(super) fn add(
        &mut self,
        data: ValueRef,
        asked: &[String],
        content: &mut Content,
    ) -> Result<(), Problem> {
        let (Some(structure), property) = content else { return Ok(()) };
        let n_atom = structure.atomic_number.len();
        let (object, bytes) = object(data)?;
        for (name, value) in object {
            if let Some(text) = plain(&value) {
                property.entry(name).or_insert(text);
                continue;
            }
            let Some(array) = value.get("__ndarray__").and_then(|array| Array::of(array, bytes))
            else {
                continue;
            };
            if self.is_per_atom(&name, &array.shape, n_atom) {
                if asked.contains(&name) {
                    let width = array.shape.get(1).copied().unwrap_or(1).max(1);
                    let numbers = finite(&name, array.numbers(&name)?)?;
                    let array = AtomArray { width, numbers };
                    structure.array.entry(name.clone()).or_insert(array);
                }
                if !asked.is_empty() {
                    structure.known.push(name);
                }
            } else if array.n_number() <= MAX_LIST {
                property.entry(name.clone()).or_insert(text(&array.numbers(&name)?));
            }
        }
        Ok(())
    }

    /// `[n_atom]` and `[n_atom, width]` have a row per atom. A single atom does not tell forces from a
    /// dipole, so other structures of the file do; without any, a matrix belongs to the atom.
    fn is_per_atom(&mut self, name: &str, shape: &[usize], n_atom: usize) -> bool {
        let could_be = matches!(shape, [n] | [n, _] if *n == n_atom);
        match (n_atom, self.0.get(name)) {
            (1, known) => could_be && known.copied().unwrap_or(shape.len() == 2),
            // A vector may have as many components as there are atoms.
            (_, Some(false)) => false,
            _ => {
                self.0.insert(name.to_owned(), could_be);
                could_be
            }
        }
    }
}

/// The JSON object, and the bytes in which its arrays lie.
fn object(data: ValueRef<'_>) -> Result<(Map<String, Json>, &[u8]), Problem> {
    let (json, bytes) = match data {
        ValueRef::Null => return Ok((Map::new(), &[])),
        ValueRef::Text(text) => (text, &[][..]),
        ValueRef::Blob(bytes) => {
            let offset = bytes.first_chunk().map(|offset| u64::from_le_bytes(*offset));
            let json = offset.and_then(|offset| bytes.get(usize::try_from(offset).ok()?..));
            (json.ok_or_else(|| Problem::syntax("`data` is cut off".to_owned()))?, bytes)
        }
        other => return Err(unexpected("`data` as JSON text or bytes", other)),
    };
    let json: Json = serde_json::from_slice(json)
        .map_err(|error| Problem::syntax(format!("`data`: {error}")))?;
    match json {
        Json::Object(object) => Ok((object, bytes)),
        _ => Ok((Map::new(), bytes)),
    }
}

struct Array<'a> {
    shape: Vec<usize>,
    /// `NumPy`'s name of the type, such as `float64`.
    number: &'a str,
    content: Raw<'a>,
}

enum Raw<'a> {
    Bytes(&'a [u8]),
    Text(&'a [Json]),
}

impl<'a> Array<'a> {
    /// `[shape, type, offset]`, or `[shape, type, numbers]`. `None` if it is neither.
    fn of(json: &'a Json, bytes: &'a [u8]) -> Option<Self> {
        let [Json::Array(shape), Json::String(number), content] = &json.as_array()?[..] else {
            return None;
        };
        let length = |n: &Json| n.as_u64().and_then(|n| usize::try_from(n).ok());
        let shape: Vec<usize> = shape.iter().map(length).collect::<Option<_>>()?;
        let content = match content {
            Json::Array(numbers) => Raw::Text(numbers),
            offset => Raw::Bytes(bytes.get(length(offset)?..)?),
        };
        Some(Self { shape, number, content })
    }

    /// Saturating.
    fn n_number(&self) -> usize {
        self.shape.iter().fold(1, |n, length| n.saturating_mul(*length))
    }

    fn numbers(&self, name: &str) -> Result<Numbers, Problem> {
        let n = self.n_number();
        let found = match self.content {
            _ if n as u64 > MAX_ENTRY => None,
            Raw::Bytes(bytes) => self.of_bytes(bytes, n),
            Raw::Text(numbers) => self.of_text(numbers, n),
        };
        let stated = || format!("{:?} of {}", self.shape, self.number);
        found.ok_or_else(|| fault(name, "numbers of the stated shape", &stated()))
    }

    fn of_bytes(&self, bytes: &[u8], n: usize) -> Option<Numbers> {
        fn each<const N: usize, T>(
            bytes: &[u8],
            n: usize,
            of: impl Fn([u8; N]) -> T,
        ) -> Option<Vec<T>> {
            let (numbers, _) = bytes.get(..N.checked_mul(n)?)?.as_chunks();
            Some(numbers.iter().map(|bytes| of(*bytes)).collect())
        }
        Some(match self.number {
            "float64" => Numbers::Float(each(bytes, n, f64::from_le_bytes)?),
            "float32" => {
                Numbers::Float(each(bytes, n, |bytes| f64::from(f32::from_le_bytes(bytes)))?)
            }
            "int64" => {
                let numbers = each(bytes, n, |bytes| i32::try_from(i64::from_le_bytes(bytes)))?;
                Numbers::Integer(numbers.into_iter().collect::<Result<_, _>>().ok()?)
            }
            "int32" => Numbers::Integer(each(bytes, n, i32::from_le_bytes)?),
            "bool" => Numbers::Flag(each(bytes, n, |[byte]| byte != 0)?),
            _ => return None,
        })
    }

    fn of_text(&self, numbers: &[Json], n: usize) -> Option<Numbers> {
        if numbers.len() != n {
            return None;
        }
        let mut each = numbers.iter();
        Some(match self.number {
            "float64" | "float32" => Numbers::Float(each.map(Json::as_f64).collect::<Option<_>>()?),
            "int64" | "int32" => Numbers::Integer(
                each.map(|number| i32::try_from(number.as_i64()?).ok()).collect::<Option<_>>()?,
            ),
            "bool" if each.all(Json::is_boolean) => {
                Numbers::Flag(numbers.iter().filter_map(Json::as_bool).collect())
            }
            _ => return None,
        })
    }
}

/// Finite in single precision.
fn finite(name: &str, numbers: Numbers) -> Result<Numbers, Problem> {
    if let Numbers::Float(numbers) = &numbers
        && let Some(number) = numbers.iter().find(|x| !(**x as f32).is_finite())
    {
        return Err(fault(name, "finite numbers", &number.to_string()));
    }
    Ok(numbers)
}

fn fault(name: &str, expected: &'static str, value: &str) -> Problem {
    Problem::Array { name: format!("data.{name}"), expected, value: shown(value) }
}

fn text(numbers: &Numbers) -> String {
    fn joined<T: ToString>(numbers: &[T]) -> String {
        numbers.iter().map(T::to_string).collect::<Vec<_>>().join(",")
    }
    match numbers {
        Numbers::Float(numbers) => joined(numbers),
        Numbers::Integer(numbers) => joined(numbers),
        Numbers::Flag(flags) => joined(flags),
    }
}
