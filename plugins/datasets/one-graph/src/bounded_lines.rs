//! Text with bounded line lengths: a compressed file of a few kilobytes may expand to a single line
//! that fills the memory.

use std::io::{self, Read};

/// Maximum bytes per line: enough for a million features.
const MAX_LINE: usize = 16 << 20;

/// Fails on lines longer than [`MAX_LINE`].
pub(crate) struct BoundedLines<R> {
    text: R,
    /// Bytes of the current line so far.
    length: usize,
    /// Number of the current line, from 1.
    line: usize,
}

/// The error inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is too long")]
pub(crate) struct LongLine {
    pub(crate) line: usize,
}

impl LongLine {
    pub(crate) const MESSAGE: &str = "a line of more than 16 MiB, which no table of the Open Graph Benchmark has; unpack the \
         archive again";

    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl<R> BoundedLines<R> {
    pub(crate) fn new(text: R) -> Self {
        Self { text, length: 0, line: 1 }
    }
}

impl<R: Read> Read for BoundedLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.text.read(buffer)?;
        for line in buffer[..n].split_inclusive(|&byte| byte == b'\n') {
            self.length += line.len();
            if self.length > MAX_LINE {
                return Err(io::Error::other(LongLine { line: self.line }));
            }
            if line.ends_with(b"\n") {
                (self.length, self.line) = (0, self.line + 1);
            }
        }
        Ok(n)
    }
}
