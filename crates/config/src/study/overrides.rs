//! Changes of a study on the command line: `key=value` for all runs, `key=a,b,c` for one variant each.

use super::grid::STUDY_KEYS;
use crate::Diagnostic;

/// Keys of a study whose value is a list.
const LISTS: [&str; 3] = ["batch_sizes", "batchers", "vary_seeds"];
/// Keys that choose among the components of the file, by name.
const CHOICES: [&str; 2] = ["datasets", "models"];

#[derive(Debug, Default, PartialEq)]
pub(super) struct Overrides {
    pub(super) plain: Vec<String>,
    /// Names to choose, by the key of the list.
    pub(super) choices: Vec<(&'static str, Vec<String>)>,
    /// For each key, one override per value.
    pub(super) variants: Vec<Vec<String>>,
}

impl Overrides {
    pub(super) fn new(arguments: &[String]) -> Result<Self, Diagnostic> {
        let mut all = Self::default();
        for argument in arguments {
            let Some((key, value)) = argument.split_once('=') else {
                all.plain.push(argument.clone());
                continue;
            };
            let (key, values) = (key.trim(), split(value));
            if values.iter().any(|value| value.is_empty()) && values.len() > 1 {
                return Err(Diagnostic::new(format!(
                    "{argument}: there is an empty value between the commas"
                )));
            }
            let is_list = value.trim_start().starts_with('[');
            if let Some(choice) = CHOICES.into_iter().find(|&choice| choice == key && !is_list) {
                all.choices.push((choice, values.into_iter().map(str::to_owned).collect()));
            } else if LISTS.contains(&key) && !is_list {
                let quoted: Vec<String> = values.into_iter().map(quoted).collect();
                all.plain.push(format!("{key} = [{}]", quoted.join(", ")));
            } else if values.len() > 1 {
                if !is_of_run(key) {
                    return Err(Diagnostic::new(format!(
                        "{argument}: \"{key}\" is the same for the whole study; give one value"
                    )));
                }
                all.variants.push(values.into_iter().map(|v| format!("{key}={v}")).collect());
            } else {
                all.plain.push(argument.clone());
            }
        }
        Ok(all)
    }

    pub(super) fn lists_batchers(&self) -> bool {
        self.plain
            .iter()
            .any(|change| change.split_once('=').is_some_and(|(key, _)| key.trim() == "batchers"))
    }

    /// All combinations of the variants: each a list of overrides.
    pub(super) fn combinations(&self) -> Vec<Vec<String>> {
        self.variants.iter().fold(vec![Vec::new()], |all, values| {
            let with = |rest: &Vec<String>, value: &String| {
                rest.iter().chain([value]).cloned().collect::<Vec<_>>()
            };
            all.iter().flat_map(|rest| values.iter().map(move |value| with(rest, value))).collect()
        })
    }
}

/// Whether a key can differ between the runs of a study.
fn is_of_run(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or_default().trim();
    first != "study" && !STUDY_KEYS.contains(&first)
}

/// Splits at the commas outside of brackets and quotes.
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
    let is_toml = toml::de::DeTable::parse(&format!("a = {value}")).is_ok();
    if is_toml { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Overrides {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Overrides::new(&arguments).unwrap()
    }

    #[test]
    fn lists_of_the_study_stay_lists() {
        let all = of(&["batch_sizes=16,32", "batchers=static-64, { name = \"dynamic\", a = 1 }"]);
        assert_eq!(
            all.plain,
            ["batch_sizes = [16, 32]", "batchers = [\"static-64\", { name = \"dynamic\", a = 1 }]"]
        );
        assert_eq!(of(&["batch_sizes=[16]"]).plain, ["batch_sizes=[16]"]);
    }

    #[test]
    fn other_lists_are_variants() {
        let all = of(&["training.prefetch=0,1", "device=cpu", "training.steps=10,20"]);
        assert_eq!(all.plain, ["device=cpu"]);
        assert_eq!(
            all.combinations(),
            [
                ["training.prefetch=0", "training.steps=10"],
                ["training.prefetch=0", "training.steps=20"],
                ["training.prefetch=1", "training.steps=10"],
                ["training.prefetch=1", "training.steps=20"],
            ]
        );
        assert_eq!(of(&[]).combinations(), [[""; 0]]);
    }

    #[test]
    fn commas_in_brackets_and_quotes_do_not_split() {
        let all = of(&["a=[1, 2],\"x, y\",'[',{ b = 1, c = 2 }"]);
        assert_eq!(all.variants[0], ["a=[1, 2]", "a=\"x, y\"", "a='['", "a={ b = 1, c = 2 }"]);
    }

    #[test]
    fn an_empty_value_is_a_slip() {
        let error = Overrides::new(&["training.steps=10,,20".into()]).unwrap_err().to_string();
        assert!(error.contains("training.steps=10,,20: there is an empty value"), "{error}");
        let error = Overrides::new(&["blocks.steps=10,20".into()]).unwrap_err().to_string();
        assert!(error.contains("is the same for the whole study"), "{error}");
        assert_eq!(of(&["vary_seeds=split,order"]).plain, ["vary_seeds = [\"split\", \"order\"]"]);
    }

    #[test]
    fn components_are_chosen_by_name() {
        let all = of(&["models=schnet,mpeu", "datasets=qm9"]);
        assert_eq!(all.choices[0], ("models", vec!["schnet".to_owned(), "mpeu".to_owned()]));
        assert_eq!(all.choices[1], ("datasets", vec!["qm9".to_owned()]));
    }
}
