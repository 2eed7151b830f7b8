//! Quotes untrusted text in output for shells, databases and people, so that a printed command,
//! when copied, runs exactly as printed.

use std::path::Path;

/// Quotes a path as one shell word.
///
/// ```
/// use batchlab_core::quote::shell;
/// assert_eq!(shell("results/smoke".as_ref()), "results/smoke");
/// assert_eq!(shell("my $(rm) data".as_ref()), "'my $(rm) data'");
/// ```
#[must_use]
pub fn shell(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

/// For `serialize_with`: writes any path to JSON, replacing invalid UTF-8.
///
/// # Errors
/// Errors from the serialiser.
pub fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Quotes text as one shell word.
#[must_use]
pub fn shell_word(text: &str) -> String {
    // Lists of labels stay readable: a comma is special only inside braces.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,@:".contains(c);
    if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // A shell word cannot contain a NUL byte.
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map_or_else(|_| String::new(), std::borrow::Cow::into_owned)
}

/// Quotes text as an SQL literal.
///
/// ```
/// assert_eq!(batchlab_core::quote::sql("Ada's"), "'Ada''s'");
/// ```
#[must_use]
pub fn sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Escapes a folder for use in a file name pattern.
///
/// ```
/// assert_eq!(batchlab_core::quote::pattern("run[1]*"), "run[[]1][*]");
/// ```
#[must_use]
pub fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

/// At most the first 60 characters of an invalid line or value of a file, for messages.
///
/// ```
/// use batchlab_core::quote::shown;
/// assert_eq!(shown(" 1e9\u{1b}[31m "), "1e9\\u{1b}[31m");
/// assert_eq!(shown(&"a".repeat(61)), "a".repeat(60) + "...");
/// ```
#[must_use]
pub fn shown(value: &str) -> String {
    excerpt(value.trim(), 60)
}

/// At most the first `n` characters of untrusted text, with control characters escaped, since a
/// terminal could interpret them.
#[must_use]
pub fn excerpt(value: &str, n: usize) -> String {
    let (start, rest) = match value.char_indices().nth(n) {
        Some((end, _)) => (&value[..end], "..."),
        None => (value, ""),
    };
    let visible =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    start.chars().map(visible).collect::<String>() + rest
}
