//! One AFLOW entry, in any of its formats, as keys and values.
//!
//! Keys and units: aflowlib.org's API paper, R. H. Taylor et al., Computational Materials Science
//! 93, 178 (2014). A structure is `compound` (or `species` and `composition`), `geometry` (lengths
//! in angstrom, angles in degrees) and `positions_fractional`.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde_json::{Map, Value as Json};

use crate::cell;
use crate::error::{Problem, shown};
use crate::limits::MAX_ATOM;
use crate::lines::{Fault, Lines};
use crate::number::finite;
use crate::structure::{Structure, composition, is_absent};

/// Maximum length of a list to keep as a property.
pub(crate) const MAX_LIST: usize = 32;

/// An entry without its location.
pub(crate) type Content = (Option<Structure>, BTreeMap<String, String>);

/// Keys whose values are lists.
const LISTS: [&str; 5] = ["geometry", "positions_fractional", "species", "composition", "dft_type"];

/// Structure and properties of one entry. Lists may be text.
pub(crate) fn content(mut entry: Map<String, Json>) -> Result<Content, Problem> {
    for key in LISTS {
        if let Some(value) = entry.get_mut(key)
            && let Json::String(text) = &*value
            && let Some(items) = list(key, text.trim())?
        {
            *value = items;
        }
    }
    let structure = structure(&entry)?;
    let property = entry.into_iter().filter_map(|(key, value)| Some((key, plain(&value)?)));
    Ok((structure, property.collect()))
}

/// A list as printed by Python or NumPy, or with `,` between items and `;` between rows.
fn list(key: &str, text: &str) -> Result<Option<Json>, Problem> {
    let row = |text: &str| {
        let items = text.split([',', ' ']).filter(|item| !item.is_empty());
        Json::Array(items.map(|item| Json::String(item.into())).collect())
    };
    if text.starts_with(['[', '(']) {
        let expected = "a list such as `[1, 2]`";
        let wrong = |_| Problem::Expected { expected, value: shown(text) };
        return serde_json::from_str(&in_json(text)).map(Some).map_err(wrong);
    }
    let text = text.trim_end_matches(';');
    Ok(match key {
        _ if is_absent(text) => Some(Json::Null),
        "dft_type" => None,
        "positions_fractional" if text.split(';').count() > MAX_ATOM => {
            return Err(Problem::TooManyAtoms { max: MAX_ATOM });
        }
        "positions_fractional" => Some(Json::Array(text.split(';').map(row).collect())),
        _ => Some(row(text)),
    })
}

/// Converts nested lists in either kind of brackets, with commas or blanks between items, to JSON.
fn in_json(list: &str) -> String {
    let spaced = list.replace(['[', '('], " [ ").replace([']', ')'], " ] ").replace(',', " ");
    let mut json = String::new();
    for word in spaced.split_whitespace() {
        if !(json.is_empty() || json.ends_with('[') || word == "]") {
            json.push(',');
        }
        match word {
            "[" | "]" => json.push_str(word),
            item => json += &Json::String(item.trim_matches(['\'', '"']).into()).to_string(),
        }
    }
    json
}

/// The value of a property; `None` if it is absent or nested too deeply.
pub(crate) fn plain(value: &Json) -> Option<String> {
    match value {
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Array(items) if items.len() <= MAX_LIST => {
            let items = items.iter().map(|item| match item {
                Json::String(text) => Some(text.clone()),
                Json::Number(number) => Some(number.to_string()),
                _ => None,
            });
            Some(items.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

fn structure(entry: &Map<String, Json>) -> Result<Option<Structure>, Problem> {
    let stated = |key| entry.get(key).filter(|value| !value.is_null());
    let (Some(geometry), Some(positions)) = (stated("geometry"), stated("positions_fractional"))
    else {
        return Ok(None);
    };
    let [a, b, c, alpha, beta, gamma] = numbers(geometry, "geometry")?;
    let cell = cell::vectors([a, b, c], [alpha, beta, gamma])?;
    let rows = match positions {
        Json::Array(rows) => rows,
        other => return Err(unexpected("positions_fractional as a list of lists", other)),
    };
    let atomic_number = atoms(entry)?;
    if atomic_number.len() != rows.len() {
        return Err(Problem::Disagree {
            first_key: "the formula",
            first: atomic_number.len(),
            second_key: "`positions_fractional`",
            second: rows.len(),
        });
    }
    let position = |row| Ok(cell::cartesian(numbers(row, "positions_fractional")?, &cell));
    let position = rows.iter().map(position).collect::<Result<_, Problem>>()?;
    Ok(Some(Structure { atomic_number, position, cell: Some(cell), ..Structure::default() }))
}

/// Atomic numbers in the order of the positions.
fn atoms(entry: &Map<String, Json>) -> Result<Vec<u8>, Problem> {
    if let Some(Json::String(compound)) = entry.get("compound") {
        return composition(compound);
    }
    let (Some(Json::Array(species)), Some(Json::Array(counts))) =
        (entry.get("species"), entry.get("composition"))
    else {
        let remedy = "add `compound`, or `species` and `composition`, to the entry";
        return Err(Problem::Missing { key: "compound", remedy });
    };
    if species.len() != counts.len() {
        let expected = "as many counts in `composition` as symbols in `species`";
        let value = format!("{} and {}", counts.len(), species.len());
        return Err(Problem::Expected { expected, value });
    }
    let mut formula = String::new();
    for (symbol, count) in species.iter().zip(counts) {
        let number = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        let (Some(symbol), Some(count)) = (symbol.as_str(), number) else {
            return Err(unexpected("`species` as symbols and `composition` as counts", count));
        };
        formula.extend([symbol, &count.to_string()]);
    }
    composition(&formula)
}

fn numbers<const N: usize>(value: &Json, what: &'static str) -> Result<[f64; N], Problem> {
    let items = value.as_array().filter(|items| items.len() == N);
    let items = items.ok_or_else(|| unexpected(what, value))?;
    let mut numbers = [0.0; N];
    for (number, item) in numbers.iter_mut().zip(items) {
        *number = match item {
            Json::String(text) => finite(text, what)?,
            Json::Number(stated) => finite(&stated.to_string(), what)?,
            other => return Err(unexpected(what, other)),
        };
    }
    Ok(numbers)
}

fn unexpected(expected: &'static str, found: &Json) -> Problem {
    Problem::Expected { expected, value: shown(&found.to_string()) }
}

/// Reads `aflowlib.out`: one entry per line, `key=value` joined by ` | `, lists by `,`, rows of
/// lists by `;`.
pub(crate) fn out(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let mut lines = Lines::new(stream);
    loop {
        let read = lines.next().and_then(|line| match line {
            Some(line) if line.trim().is_empty() => Ok(Some(None)),
            Some(line) => Ok(Some(Some(content(keys(line)?)?))),
            None => Ok(None),
        });
        let at = lines.number();
        match read.map_err(|fault| (at, fault))? {
            Some(Some(content)) => visit(at, content).map_err(|fault| (at, fault))?,
            Some(None) => {}
            None => return Ok(()),
        }
    }
}

fn keys(line: &str) -> Result<Map<String, Json>, Problem> {
    let pair = |item: &str| {
        let expected = "`key=value` joined by ` | `";
        let wrong = || Problem::Expected { expected, value: shown(item) };
        let (key, value) = item.split_once('=').ok_or_else(wrong)?;
        Ok((key.trim().to_owned(), Json::String(value.trim().to_owned())))
    };
    line.split(" | ").map(pair).collect()
}
