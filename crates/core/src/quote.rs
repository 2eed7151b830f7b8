//! Texts from outside in what is printed, for shells, databases and people: whoever copies a command that this
//! program prints runs that command and nothing else.

use std::path::Path;

/// A path as one word of a shell.
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

/// For `serialize_with`: JSON holds any path, if need be without the bytes that are no UTF-8.
///
/// # Errors
/// Those of the serialiser.
pub fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// A text as one word of a shell.
#[must_use]
pub fn shell_word(text: &str) -> String {
    // Lists of labels stay readable: a comma means something within braces alone.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,@:".contains(c);
    if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // No word can hold the byte 0.
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map_or_else(|_| String::new(), std::borrow::Cow::into_owned)
}

/// A text as one literal of SQL.
///
/// ```
/// assert_eq!(batchlab_core::quote::sql("Ada's"), "'Ada''s'");
/// ```
#[must_use]
pub fn sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A folder within a pattern of names of files, where it stands for itself alone.
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

/// At most the first 60 characters of a faulty line or value of a file, for messages.
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

/// At most the first `n` characters of what came from outside. Control characters are written out: a
/// terminal would take some for commands.
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
