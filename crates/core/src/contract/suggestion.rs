//! Suggestions of the probably intended name, for error messages.

use std::path::Path;

use crate::quote::shown;

/// Suggests the nearest known name, as text to append to an error message; empty if none is near.
///
/// ```
/// use batchlab_core::registry::suggestion;
/// assert_eq!(suggestion("dynamik", &["dynamic", "static"]), ", did you mean \"dynamic\"?");
/// assert_eq!(suggestion("painn", &["dynamic", "static"]), "");
/// ```
#[must_use]
pub fn suggestion(typed: &str, known: &[impl AsRef<str>]) -> String {
    nearest(typed, known)
        .map_or_else(String::new, |name| format!(", did you mean \"{}\"?", shown(name)))
}

/// The nearest known name, if near enough; otherwise the only known name that contains the typed
/// one as a word.
#[must_use]
pub fn nearest<'a>(typed: &str, known: &'a [impl AsRef<str>]) -> Option<&'a str> {
    let folded = typed.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&folded, &name.to_lowercase());
    let best = known.iter().map(AsRef::as_ref).min_by_key(|name| distance(name))?;
    let limit = (typed.chars().count().max(best.chars().count()) / 3).max(1);
    if distance(best) <= limit {
        return Some(best);
    }
    let mut with_word =
        known.iter().map(AsRef::as_ref).filter(|name| name.split('_').any(|word| word == folded));
    with_word.next().filter(|_| with_word.next().is_none())
}

/// Suggests an existing path with a similar name, as text to append to an error message; empty if
/// none is near.
#[must_use]
pub fn nearest_path(path: &Path) -> String {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return String::new() };
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    if listed.is_dir() {
        let names = names(listed);
        let near = nearest(&name.to_string_lossy(), &names).map(|near| folder.join(near));
        return near.map_or_else(String::new, |near| {
            format!(", did you mean \"{}\"?", shown(&near.to_string_lossy()))
        });
    }
    // The folder name is misspelled.
    let (Some(above), Some(wrong)) = (folder.parent(), folder.file_name()) else {
        return String::new();
    };
    let names = names(if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let near = nearest(&wrong.to_string_lossy(), &names).map(|near| above.join(near).join(name));
    near.filter(|near| near.exists()).map_or_else(String::new, |near| {
        format!(", did you mean \"{}\"?", shown(&near.to_string_lossy()))
    })
}
