//! Parses the keys and values of an extended XYZ comment like ASE.

use crate::error::{Problem, shown};

/// A sequence of `key=value`. A backslash escapes the next character. Quotes, brackets and braces
/// protect blanks and `=`; quotes are removed from the text, and so are brackets around the whole.
/// Blanks around `=` are ignored, and the value of `a=b=c` is `b=c`. But `a= b=c` are two keys:
/// this is how ASE writes an empty text.
pub(super) struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self { rest: line }
    }

    /// The next key and its value, which is empty for a bare key.
    pub(super) fn next(&mut self) -> Result<Option<(String, String)>, Problem> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.starts_with('=') {
            let (expected, value) = ("a key before `=`", shown(self.rest));
            return Err(Problem::Expected { expected, value });
        }
        let key = self.word()?;
        let mut values = Vec::new();
        while let Some(after) = self.rest.trim_start().strip_prefix('=') {
            let is_behind_key = self.rest.starts_with('=');
            self.rest = after.trim_start();
            let next = self.rest;
            let value = self.word()?;
            if is_behind_key && next.len() < after.len() && self.rest.starts_with('=') {
                self.rest = next;
                values.push(String::new());
                break;
            }
            values.push(value);
        }
        Ok(Some((key, values.join("="))))
    }

    /// The text before the next unprotected blank or `=`.
    fn word(&mut self) -> Result<String, Problem> {
        let text = self.rest;
        let mut word = String::new();
        // Position of an opening quote or bracket, and what closes it.
        let mut open: Option<(usize, char)> = None;
        // Position where a bracket opened by the first character was closed.
        let mut closed = None;
        let mut chars = text.char_indices();
        let end = loop {
            let Some((at, c)) = chars.next() else { break text.len() };
            match (c, open) {
                ('\\', _) => word.extend(chars.next().map(|(_, c)| c)),
                (_, Some((start, close))) if c == close => {
                    open = None;
                    if matches!(c, ']' | '}') {
                        word.push(c);
                        closed = (start == 0).then_some(at + 1);
                    }
                }
                ('"' | '\'', None) => open = Some((at, c)),
                ('[' | '{', None) => {
                    open = Some((at, if c == '[' { ']' } else { '}' }));
                    word.push(c);
                }
                (_, None) if c == '=' || c.is_whitespace() => break at,
                _ => word.push(c),
            }
        };
        self.rest = &text[end..];
        if let Some((start, _)) = open.filter(|&(start, _)| text[start..].contains('=')) {
            // An apostrophe may be followed by anything; keys must not get lost in it.
            let (expected, value) = ("the end of a quoted value", shown(&text[start + 1..]));
            return Err(Problem::Expected { expected, value });
        }
        if closed == Some(end) {
            word = word[1..word.len() - 1].to_owned();
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        let mut pairs = Pairs::of(line);
        std::iter::from_fn(|| pairs.next().unwrap()).collect()
    }

    #[test]
    fn keys_and_values_are_told_apart_as_ase_does() {
        for (line, expected) in [
            (
                r#"note="he said \"energy=5\" twice" energy=-1"#,
                &[("note", r#"he said "energy=5" twice"#), ("energy", "-1")][..],
            ),
            (r"note='it is \'e=5\'' e=-1", &[("note", "it is 'e=5'"), ("e", "-1")]),
            ("note={see e=5} e=-1", &[("note", "see e=5"), ("e", "-1")]),
            ("note=[see e=5] e=-1", &[("note", "see e=5"), ("e", "-1")]),
            ("note=see[ e=5 ] e=-1", &[("note", "see[ e=5 ]"), ("e", "-1")]),
            (r#"note=a"b c=5"d e=-1"#, &[("note", "ab c=5d"), ("e", "-1")]),
            ("a = 1\tb =2 c= 3\t=\td f", &[("a", "1"), ("b", "2"), ("c", "3=d"), ("f", "")]),
            (r#""a b"=1 c\ d=2"#, &[("a b", "1"), ("c d", "2")]),
            ("s=[H]C=O t=C(=O)[O-] u=[]", &[("s", "[H]C=O"), ("t", "C(=O)[O-]"), ("u", "")]),
            (
                r#"j="_JSON {\"a\": [1, 2]}" m=[[1,2],[3,4]]"#,
                &[("j", r#"_JSON {"a": [1, 2]}"#), ("m", "[[1,2],[3,4]]")],
            ),
            (r#"e="" f=1"#, &[("e", ""), ("f", "1")]),
            (r#"e= pbc="T F" f= 1 g= h"#, &[("e", ""), ("pbc", "T F"), ("f", "1"), ("g", "h")]),
            ("e=1 benzene's", &[("e", "1"), ("benzenes", "")]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
            assert_eq!(pairs(line), expected, "{line}");
        }
    }

    #[test]
    fn keys_are_not_lost_in_a_quote_without_end() {
        for line in ["a=\"b e=5", "a='b e=5", "a={b e=5", "benzene's e=5", "a=[0,1) e=5"] {
            let fault = Pairs::of(line).next().unwrap_err().to_string();
            assert!(fault.starts_with("expected the end of a quoted value, found `"), "{fault}");
        }
        assert!(Pairs::of("=5").next().is_err());
    }
}
