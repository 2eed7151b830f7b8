//! Numbered lines, and streams with a size limit per entry.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use crate::error::Problem;
use crate::limits::MAX_ENTRY;

#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Problem(Problem),
    /// The visitor asked to stop.
    Stopped,
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Numbered lines, read into one reused buffer.
pub(crate) struct Lines<R> {
    stream: R,
    buffer: Vec<u8>,
    number: usize,
    /// Whether the line in `buffer` is to be returned again.
    is_put_back: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), number: 0, is_put_back: false }
    }

    /// Returns the last line again on the next call.
    pub(crate) fn put_back(&mut self) {
        self.number -= 1;
        self.is_put_back = true;
    }

    /// 1-based number of the last requested line.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The next line without its terminator, or `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<&str>, Fault> {
        self.number += 1;
        if !std::mem::take(&mut self.is_put_back) {
            self.buffer.clear();
            let mut stream = (&mut self.stream).take(MAX_ENTRY);
            if stream.read_until(b'\n', &mut self.buffer).map_err(Fault::Io)? == 0 {
                return Ok(None);
            }
            if self.buffer.len() as u64 == MAX_ENTRY {
                return Err(Problem::TooLong.into());
            }
        }
        let line = std::str::from_utf8(&self.buffer).map_err(|_| Problem::NotUtf8)?;
        Ok(Some(line.trim_end_matches(['\n', '\r'])))
    }

    /// The next line, which must exist.
    pub(crate) fn expect(&mut self, expected: &'static str) -> Result<&str, Fault> {
        match self.next()? {
            Some(line) => Ok(line),
            None => Err(Problem::Truncated { expected }.into()),
        }
    }
}

/// Bytes that the current entry may still consume.
#[derive(Clone)]
pub(crate) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// Starts the next entry with the full allowance.
    pub(crate) fn renew(&self) {
        self.0.set(MAX_ENTRY);
    }

    /// Removes the limit.
    pub(crate) fn lift(&self) {
        self.0.set(u64::MAX);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// A stream that fails when an entry exceeds [`MAX_ENTRY`] bytes.
pub(crate) struct Counted<R> {
    stream: R,
    left: Allowance,
}

impl<R: Read> Counted<R> {
    pub(crate) fn new(stream: R) -> (Self, Allowance) {
        let left = Allowance(Rc::new(Cell::new(MAX_ENTRY)));
        (Self { stream, left: left.clone() }, left)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let left = self.left.0.get().saturating_sub(n as u64);
        self.left.0.set(left);
        if left == 0 { Err(io::Error::other(Problem::TooLong)) } else { Ok(n) }
    }
}

/// Normalises line endings to a line feed, since CSV readers miscount other lines. Carriage returns
/// elsewhere are kept.
pub struct UnixLines<R> {
    stream: R,
    /// Whether the last byte read was a carriage return, whose successor is not yet known.
    is_return: bool,
}

impl<R: BufRead> UnixLines<R> {
    /// The same text as `stream`, except for its line endings.
    pub fn new(stream: R) -> Self {
        Self { stream, is_return: false }
    }
}

impl<R: BufRead> Read for UnixLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n == 0 && !buffer.is_empty() {
            let bytes = self.stream.fill_buf()?;
            if bytes.is_empty() {
                if std::mem::take(&mut self.is_return) {
                    buffer[0] = b'\r';
                    return Ok(1);
                }
                return Ok(0);
            }
            let mut n_used = 0;
            for &byte in bytes {
                if self.is_return && byte != b'\n' {
                    if n == buffer.len() {
                        break;
                    }
                    buffer[n] = b'\r';
                    n += 1;
                }
                self.is_return = byte == b'\r';
                if !self.is_return {
                    if n == buffer.len() {
                        break;
                    }
                    buffer[n] = byte;
                    n += 1;
                }
                n_used += 1;
            }
            self.stream.consume(n_used);
        }
        Ok(n)
    }
}

/// All bytes of one entry.
pub(crate) fn bytes(stream: impl Read) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    stream.take(MAX_ENTRY).read_to_end(&mut bytes).map_err(Fault::Io)?;
    if bytes.len() as u64 == MAX_ENTRY {
        return Err(Problem::TooLong.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one_and_lose_their_ends() {
        let mut lines = Lines::new(&b"a\r\n\nc\xff"[..]);
        assert_eq!(lines.next().unwrap(), Some("a"));
        assert_eq!(lines.expect("x").unwrap(), "");
        assert!(matches!(lines.next(), Err(Fault::Problem(Problem::NotUtf8))));
        assert_eq!(lines.number(), 3);
        assert!(lines.next().unwrap().is_none());
    }

    #[test]
    fn only_ends_of_lines_change() {
        for (text, expected) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]),
            (b"a\r\r\nb\rc\r", b"a\r\nb\rc\r"),
            (b"\r\n", b"\n"),
            (b"\n\r", b"\n\r"),
            (b"", b""),
        ] {
            for (n_in, n_out) in [(1, 1), (1, 3), (2, 1), (3, 2), (64, 64)] {
                let mut lines = UnixLines::new(io::BufReader::with_capacity(n_in, text));
                let (mut found, mut buffer) = (Vec::<u8>::new(), vec![0; n_out]);
                loop {
                    match lines.read(&mut buffer).unwrap() {
                        0 => break,
                        n => found.extend(&buffer[..n]),
                    }
                }
                assert_eq!(found, expected, "{text:?} by {n_in} and {n_out}");
            }
        }
    }

    #[test]
    fn entries_without_end_are_refused() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x')));
        assert!(matches!(lines.next(), Err(Fault::Problem(Problem::TooLong))));
        assert!(matches!(bytes(io::repeat(b'x')), Err(Fault::Problem(Problem::TooLong))));
        let (mut stream, left) = Counted::new(io::repeat(b'x'));
        let mut buffer = vec![0; 1 << 20];
        while stream.read(&mut buffer).is_ok() {}
        assert!(left.is_spent());
        left.renew();
        assert!(stream.read(&mut buffer).is_ok());
    }
}
