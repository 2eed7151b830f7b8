//! Suggests remedies for errors, from the schema of what may be written there.

use batchlab_core::registry::nearest;
use serde_json::Value as Json;
use toml::de::{DeValue, Error};

use crate::forms::{self, Found};
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Table, Value};

/// An error found by serde in the table `here`, which a schema describes.
pub(crate) fn mistake(
    source: &Source,
    error: &Error,
    here: &str,
    table: &Table<'_>,
    schema: &Json,
) -> Diagnostic {
    let message = error.message().trim();
    let Some(span) = error.span() else { return source.whole(message) };
    match forms::find(schema, table, &span) {
        Some(Found::UnknownKey(key, known)) => {
            let remedy = near(key, &known).or_else(|| right_place(key, here));
            remedy.into_iter().fold(source.at(&span, message), Diagnostic::help)
        }
        Some(Found::Value(value, schema)) => wrong_value(source, message, value, schema),
        None => source.at(&span, message),
    }
}

/// The error for a key that neither run nor study tables have.
pub(crate) fn unknown_key(source: &Source, table: &Table<'_>) -> Option<Diagnostic> {
    let known: Vec<&str> =
        schema()["properties"].as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
    let key = table.keys().find(|key| !known.contains(&key.get_ref().as_ref()))?;
    let name = key.get_ref().as_ref();
    let remedy = right_place(name, "").or_else(|| near(name, &known));
    let remedy = remedy.unwrap_or_else(|| format!("known: {}", known.join(", ")));
    Some(source.at(&key.span(), format!("there is no key \"{name}\" here")).help(remedy))
}

fn near(key: &str, known: &[&str]) -> Option<String> {
    nearest(key, known).map(|name| format!("did you mean \"{name}\"?"))
}

fn wrong_value(source: &Source, message: &str, value: &Value<'_>, schema: &Json) -> Diagnostic {
    let (span, value) = (value.span(), value.get_ref());
    let typed = source.text(&span);
    let has_type = forms::has_type(schema, value);
    // A word instead of a table such as { power = 2 }.
    let is_key = |word: &&str| {
        forms::forms(schema).iter().any(|form| form["properties"].get(*word).is_some())
    };
    if let Some(word) = value.as_str().filter(is_key) {
        let diagnostic = source.at(&span, format!("\"{word}\" needs a value"));
        return diagnostic.help(format!("write {{ {word} = 2 }}, with your number"));
    }
    // serde reports numbers out of range in terms of Rust types.
    if !has_type || value.is_integer() && message.starts_with("invalid value") {
        let found = if typed.len() < 60 { typed } else { value.type_str() };
        let words = forms::in_words(schema);
        let diagnostic = source.at(&span, format!("expected {words}, found `{found}`"));
        let remedy = number(value, schema).or_else(|| forms::instead(schema, value, typed));
        return remedy.into_iter().fold(diagnostic, |all, form| all.help(format!("write {form}")));
    }
    match value {
        // Alternatives that are tables with a single key.
        DeValue::Table(table) if table.len() != 1 && message.starts_with("wanted") => {
            let forms = forms::instead(schema, value, typed);
            let diagnostic = source.at(&span, "this is a table with one key");
            forms.into_iter().fold(diagnostic, |all, form| all.help(format!("write {form}")))
        }
        DeValue::String(word) => {
            let words = forms::words(schema);
            let remedy = near(word, &words).filter(|_| !words.contains(&word.as_ref()));
            remedy.into_iter().fold(source.at(&span, message), Diagnostic::help)
        }
        _ => source.at(&span, message),
    }
}

/// For a count written with a decimal point or an exponent: the integer, or the two nearest. For a
/// percentage: the share.
fn number(value: &DeValue<'_>, schema: &Json) -> Option<String> {
    let probe = |text: &str| {
        let value = DeValue::parse(text).ok()?;
        forms::has_type(schema, value.get_ref()).then_some(())
    };
    match value {
        DeValue::Float(number) => {
            let number: f64 = number.as_str().parse().ok()?;
            let (below, above) = (number.floor(), number.ceil());
            (1.0..9e15).contains(&number).then_some(())?;
            probe("1")?;
            Some(if below < above { format!("{below} or {above}") } else { number.to_string() })
        }
        DeValue::String(text) => {
            let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
            probe("0.5")?;
            Some((percent / 100.0).to_string())
        }
        _ => None,
    }
}

/// `["lr"]`: names for a key in other programs.
const KNOWN_AS: &str = "x-known-as";

/// Says where a key belongs that is unknown in the table `here`; `None` if that is unclear.
fn right_place(key: &str, here: &str) -> Option<String> {
    let words = match key {
        "optimizer" | "optim" | "optimiser" => {
            "the optimizer is Adam; its keys are training.learning_rate and training.weight_decay"
        }
        "seed" | "seeds" => {
            "seeds are training.seeds.order, training.seeds.init and training.seeds.split"
        }
        "batch_size" | "batchsize" | "bs" => {
            "the batch size of a run is batcher.batch_size; a study compares batch_sizes = [16, 32]"
        }
        "cutoff" | "radius" | "r_max" => "here it is dataset.edges = { radius = 5.0 }, in angstrom",
        "file" => "here it is dataset.path",
        "out" | "output" => "it is the option --out",
        "threads" => "it is the option --threads",
        _ => {
            let (mut own, mut others) = (Vec::new(), Vec::new());
            find(schema(), "", &key.to_ascii_lowercase(), &mut own, &mut others);
            own.retain(|place| {
                place.strip_suffix(key).is_none_or(|table| table.trim_end_matches('.') != here)
            });
            return match (own.as_slice(), others.first()) {
                (_, Some(other)) => Some(format!("here it is {other}")),
                ([], None) => None,
                (own, None) => Some(format!("it belongs to a table: {}", own.join(" or "))),
            };
        }
    };
    Some(words.to_owned())
}

/// All locations of a key in the tables of a configuration and of its components, and of keys known
/// by that name in other programs.
fn find(schema: &Json, path: &str, key: &str, own: &mut Vec<String>, others: &mut Vec<String>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if !path.is_empty() && name == key && !own.contains(&place) {
            own.push(place.clone());
        }
        if value[KNOWN_AS].as_array().is_some_and(|names| names.iter().any(|name| name == key)) {
            others.push(place.clone());
        }
        find(value, &place, key, own, others);
    }
    // Entries of a study's lists are the same as those of its runs.
    if ["dataset", "model", "batcher"].contains(&path) {
        for component in schema["oneOf"].as_array().into_iter().flatten() {
            find(component, path, key, own, others);
        }
    }
}
