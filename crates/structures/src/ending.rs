//! The end of an archive.

use std::io::{self, Read};

/// A tar archive ends with blocks of zeros; most programs write two, some only one.
pub(crate) const END_MARK: u64 = 512;

pub(crate) struct Ending<R> {
    stream: R,
    n_zero: u64,
}

impl<R: Read> Ending<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, n_zero: 0 }
    }

    /// Reads the stream to its end. The checksum of a compressed stream is at its very end.
    pub(crate) fn drain(mut self) -> io::Result<()> {
        let before = self.n_zero;
        let n_byte = io::copy(&mut self, &mut io::sink())?;
        if before < END_MARK {
            return Err(io::Error::other("the mark of its end is missing"));
        }
        if self.n_zero != before + n_byte {
            return Err(io::Error::other("something follows the mark of its end"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let zeros = buffer[..n].iter().rev().take_while(|&&byte| byte == 0).count();
        self.n_zero = if zeros == n { self.n_zero + n as u64 } else { zeros as u64 };
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(bytes: &[u8], n_taken: usize) -> Result<(), String> {
        let mut ending = Ending::new(bytes);
        ending.read_exact(&mut vec![0; n_taken]).unwrap();
        ending.drain().map_err(|error| error.to_string())
    }

    #[test]
    fn an_end_is_a_block_of_zeros_and_zeros_after_it() {
        let zeros = |n: usize| vec![0; n];
        assert_eq!(end(&[b"x".to_vec(), zeros(512)].concat(), 513), Ok(()));
        assert_eq!(end(&[b"x".to_vec(), zeros(10_240)].concat(), 513), Ok(()));
        assert!(end(&[b"x".to_vec(), zeros(511)].concat(), 512).unwrap_err().contains("missing"));
        assert!(end(b"", 0).unwrap_err().contains("missing"));
        let more = [zeros(512), b"y".to_vec(), zeros(1024)].concat();
        assert!(end(&more, 512).unwrap_err().contains("something follows"));
    }
}
