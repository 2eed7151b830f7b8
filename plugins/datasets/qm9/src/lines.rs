//! Numbered lines of a stream, one at a time, without holding the file in memory.

use std::io::{self, BufRead, Read};

use crate::error::Problem;

/// Why no line could be given.
#[derive(Debug)]
pub(crate) enum LineFault {
    /// The stream failed.
    Io(io::Error),
    /// The line, or its absence, is wrong.
    Problem(Problem),
}

impl From<Problem> for LineFault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// A longer line is not believed; the longest of QM9 has some hundred bytes.
const MAX_LINE: u64 = 1 << 16;

/// Reads line by line into one buffer that is used again.
pub(crate) struct Lines<R> {
    stream: R,
    buffer: Vec<u8>,
    /// 1-based number of the last line given, or of the one missing at the end.
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// Before the first line.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), number: 0 }
    }

    /// 1-based number of the line that was asked for last.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The next line without its end, or `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<&str>, LineFault> {
        self.buffer.clear();
        self.number += 1;
        let mut stream = self.stream.by_ref().take(MAX_LINE + 1);
        if stream.read_until(b'\n', &mut self.buffer).map_err(LineFault::Io)? == 0 {
            return Ok(None);
        }
        if self.buffer.len() as u64 > MAX_LINE {
            return Err(Problem::LongLine { max: MAX_LINE }.into());
        }
        let line = std::str::from_utf8(&self.buffer).map_err(|_| Problem::NotUtf8)?;
        Ok(Some(line.trim_end_matches(['\n', '\r'])))
    }

    /// The next line that is not blank, or `None` at the end of the stream.
    pub(crate) fn next_filled(&mut self) -> Result<Option<&str>, LineFault> {
        // The line is taken from the buffer again, because a borrow from the loop would outlive it.
        while self.next()?.is_some_and(|line| line.trim().is_empty()) {}
        let line = std::str::from_utf8(&self.buffer).map_err(|_| Problem::NotUtf8)?;
        Ok(Some(line.trim()).filter(|line| !line.is_empty()))
    }

    /// The next line, which must exist.
    pub(crate) fn expect(&mut self, expected: &'static str) -> Result<&str, LineFault> {
        match self.next()? {
            Some(line) => Ok(line),
            None => Err(Problem::Truncated { expected }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one_and_lose_their_ends() {
        let mut lines = Lines::new(&b"a\r\n\n  b \nc"[..]);
        assert_eq!(lines.next().expect("text"), Some("a"));
        assert_eq!(lines.number(), 1);
        assert_eq!(lines.next_filled().expect("text"), Some("b"));
        assert_eq!(lines.number(), 3);
        assert_eq!(lines.expect("c").expect("text"), "c");
        assert!(lines.next().expect("the end").is_none());
        assert_eq!(lines.number(), 5);
        assert!(matches!(
            lines.expect("d"),
            Err(LineFault::Problem(Problem::Truncated { expected: "d" }))
        ));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(
            Lines::new(endless).next(),
            Err(LineFault::Problem(Problem::LongLine { max: 65_536 }))
        ));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        let mut lines = Lines::new(&b"a\n\xff\n"[..]);
        assert_eq!(lines.next().expect("text"), Some("a"));
        assert!(matches!(lines.next_filled(), Err(LineFault::Problem(Problem::NotUtf8))));
        assert_eq!(lines.number(), 2);
    }
}
