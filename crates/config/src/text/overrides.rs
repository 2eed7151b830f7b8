//! Command-line overrides: `key=value` for all runs, `key=a,b,c` for one variant each.

use toml::de::DeTable;

use super::Diagnostic;

/// Keys of a study whose value is a list.
const LISTS: [&str; 5] = ["datasets", "models", "batchers", "batch_sizes", "vary_seeds"];
/// Keys that cannot vary between the runs of a study.
const SAME: [&str; 4] = ["study", "repeats", "variants", "blocks"];
/// Tables that name a component.
const COMPONENTS: [&str; 4] = ["dataset", "model", "batcher", "evaluation.batcher"];
/// The meaning of several values for a key of a run: compared in one cell, or one cell each.
const SEVERAL: [(&str, &str); 4] = [
    ("batcher", "batchers"),
    ("batcher.batch_size", "batch_sizes"),
    ("dataset", "datasets"),
    ("model", "models"),
];

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    /// Overrides of all runs, as lines of TOML.
    pub(crate) lines: Vec<String>,
    /// For each key, one override per value, along with the typed text.
    pub(crate) variants: Vec<Vec<String>>,
}

impl Overrides {
    /// `is_listed` says whether the file compares a list of what a key names; an override of the
    /// run's single one then becomes a list of one.
    pub(crate) fn new(
        arguments: &[String],
        is_listed: impl Fn(&str) -> bool,
    ) -> Result<Self, Diagnostic> {
        let mut all = Self::default();
        let is_given = |key: &str| {
            let is_of_key = |argument: &String| {
                argument.split_once('=').is_some_and(|(given, _)| given.trim() == key)
            };
            arguments.iter().any(is_of_key)
        };
        for argument in arguments {
            let Some((key, value)) = argument.split_once('=') else {
                return Err(no_change(argument));
            };
            if let Some(key) = key.strip_prefix('+') {
                let key = key.trim_start_matches('+');
                return Err(Diagnostic::new(format!(
                    "{argument}: a key is added without a plus sign"
                ))
                .help(format!("write {key}={value}")));
            }
            let (key, mut value) = (key.trim(), value.trim());
            if key.is_empty() {
                return Err(no_change(argument));
            }
            // Lists with and without brackets are equivalent.
            let inner = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
            if let (true, Some(inner)) = (LISTS.contains(&key), inner) {
                value = inner.trim().trim_end_matches(',');
            }
            // A new name means a new component: keys of the previous one no longer apply.
            let of_name = key.strip_suffix(".name").filter(|kind| COMPONENTS.contains(kind));
            let key = of_name.unwrap_or(key);
            let values = split(value);
            if values.iter().any(|value| value.is_empty()) && values.len() > 1 {
                return Err(Diagnostic::new(format!(
                    "{argument}: there is an empty value between the commas"
                )));
            }
            let several = SEVERAL.iter().find(|(one, many)| {
                *one == key && (values.len() > 1 || is_listed(many) || is_given(many))
            });
            let key = several.map_or(key, |(_, several)| several);
            if LISTS.contains(&key) {
                let quoted: Vec<String> = values.into_iter().map(quoted).collect();
                all.lines.push(format!("{key} = [{}]", quoted.join(", ")));
            } else if values.len() > 1 {
                let first = key.split('.').next().unwrap_or_default().trim();
                if SAME.contains(&first) || LISTS.contains(&first) {
                    return Err(Diagnostic::new(format!(
                        "{argument}: \"{key}\" is the same for the whole study; give one value"
                    )));
                }
                all.variants
                    .push(values.into_iter().map(|value| format!("{key}={value}")).collect());
            } else {
                all.lines.push(line(&format!("{key}={value}")));
            }
        }
        Ok(all)
    }
}

fn no_change(argument: &str) -> Diagnostic {
    let is_file = std::path::Path::new(argument).extension().is_some_and(|extension| {
        ["toml", "yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_file {
        return Diagnostic::new(format!("{argument} is a second configuration; there can be one"))
            .help("give differences from the first as key=value");
    }
    let diagnostic = Diagnostic::new(format!("{argument} is not an override: write key=value"));
    match argument.split_once(':') {
        Some((key, value)) => diagnostic.help(format!("write {}={}", key.trim(), value.trim())),
        None => diagnostic,
    }
}

/// An override as a line of TOML. A value that is not TOML is taken as a string:
/// `dataset.target=U0` needs no quotes, and neither do list items.
pub(crate) fn line(change: &str) -> String {
    let line = change.replace('\n', " ");
    // A line without a value is rejected as invalid TOML.
    let Some((key, value)) = line.split_once('=') else { return line + " = ?" };
    let key: Vec<&str> = key.split('.').map(str::trim).collect();
    let (key, value) = (key.join("."), value.trim());
    let plain = format!("{key} = {value}");
    if DeTable::parse(&plain).is_ok() || DeTable::parse(&format!("{key} = 0")).is_err() {
        return plain;
    }
    if let Some(inner) = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
        let quoted: Vec<String> = split(inner).into_iter().map(quoted).collect();
        return format!("{key} = [{}]", quoted.join(", "));
    }
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

/// Splits at commas outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) => quote = (c != open).then_some(open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// Quotes a value that is not TOML.
fn quoted(value: &str) -> String {
    let is_toml = DeTable::parse(&format!("a = {value}")).is_ok();
    if is_toml { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Overrides {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Overrides::new(&arguments, |_| false).unwrap()
    }

    #[test]
    fn lists_of_the_study_stay_lists() {
        let all = of(&["batch_sizes=16,32", "batchers=static-64, { name = \"dynamic\", a = 1 }"]);
        assert_eq!(
            all.lines,
            ["batch_sizes = [16, 32]", "batchers = [\"static-64\", { name = \"dynamic\", a = 1 }]"]
        );
        assert_eq!(of(&["batch_sizes=[16]"]).lines, ["batch_sizes = [16]"]);
        assert_eq!(of(&["batchers=[a, b]"]), of(&["batchers=a,b"]));
        assert_eq!(
            of(&["evaluation.subsets=[train, \"test\"]"]).lines,
            ["evaluation.subsets = [\"train\", \"test\"]"]
        );
    }

    #[test]
    fn other_lists_are_variants() {
        let all = of(&["training.prefetch=0,1", "device=cpu", "training.steps=10,20"]);
        assert_eq!(all.lines, ["device = \"cpu\""]);
        assert_eq!(
            all.variants,
            [
                ["training.prefetch=0", "training.prefetch=1"],
                ["training.steps=10", "training.steps=20"],
            ]
        );
    }

    #[test]
    fn commas_in_brackets_and_quotes_do_not_split() {
        let all = of(&["a=[1, 2],\"x, y\",'[',{ b = 1, c = 2 }"]);
        assert_eq!(all.variants[0], ["a=[1, 2]", "a=\"x, y\"", "a='['", "a={ b = 1, c = 2 }"]);
    }

    #[test]
    fn an_empty_value_is_a_slip() {
        let error =
            Overrides::new(&["training.steps=10,,20".into()], |_| false).unwrap_err().to_string();
        assert!(error.contains("training.steps=10,,20: there is an empty value"), "{error}");
        let error =
            Overrides::new(&["blocks.steps=10,20".into()], |_| false).unwrap_err().to_string();
        assert!(error.contains("is the same for the whole study"), "{error}");
        assert_eq!(of(&["vary_seeds=split,order"]).lines, ["vary_seeds = [\"split\", \"order\"]"]);
    }

    #[test]
    fn components_are_chosen_by_name() {
        let all = of(&["models=schnet,mpeu", "datasets=qm9"]);
        assert_eq!(all.lines, ["models = [\"schnet\", \"mpeu\"]", "datasets = [\"qm9\"]"]);
    }

    #[test]
    fn several_values_of_a_component_are_a_list_of_the_study() {
        assert_eq!(of(&["batcher=a,b"]), of(&["batchers=a,b"]));
        assert_eq!(of(&["batcher.batch_size=8,16"]), of(&["batch_sizes=8,16"]));
        assert_eq!(of(&["model=schnet,mpeu"]), of(&["models=[schnet, mpeu]"]));
        assert_eq!(of(&["batcher=a"]).lines, ["batcher = \"a\""]);
    }

    #[test]
    fn what_is_no_change_is_explained() {
        let says = |argument: &str, part: &str| {
            let error = Overrides::new(&[argument.to_owned()], |_| false).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        says("other.toml", "second configuration");
        says("training.steps:3", "write training.steps=3");
        says("+training.steps=3", "write training.steps=3");
        says("nothing", "write key=value");
        says("=3", "write key=value");
    }
}
