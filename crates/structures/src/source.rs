//! From a path, or bytes in memory, to streams: files, directories, compressed files, archives.
//! Archives are streamed, and the names in them appear in messages but never become paths.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_core::MemoryBudget;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream as XzStream};

use crate::ending::Ending;
use crate::error::{ReadError, shown};
use crate::limits::{MAX_DEPTH, MAX_UNPACK_MEMORY};
use crate::lines::Counted;

/// Leading bytes used for format detection.
const HEAD: usize = 4096;

#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// A file, a directory or an archive; with `bytes`, just a name for messages.
    pub path: &'a Path,
    /// In-memory content to read instead of the path.
    pub bytes: Option<&'a [u8]>,
    /// Selects by name the files of a directory (not recursive) or of an archive to read. Selected
    /// files must have a known format; without a selection, files of other formats are skipped.
    pub wanted: Option<fn(&str) -> bool>,
    /// Names of per-atom arrays to read from files that have them: columns of extended XYZ, arrays
    /// of ASE databases.
    pub arrays: &'a [String],
    /// Memory budget for reading an entry. Accounting for what is kept is up to the caller.
    pub memory: &'a MemoryBudget,
}

pub(crate) struct Stream<'a> {
    /// Origin; for an archive entry, not a path that can be opened.
    pub(crate) path: &'a Path,
    pub(crate) head: &'a [u8],
    pub(crate) content: &'a mut dyn BufRead,
    /// Whether it was decompressed or in memory, so that it cannot be opened by its path.
    pub(crate) packed: bool,
    /// Whether it may have another format, in which case it is skipped.
    pub(crate) optional: bool,
}

type Flow = Result<ControlFlow<()>, ReadError>;

impl Source<'_> {
    /// Visits every stream: files of a directory recursively and by name, entries of an archive in
    /// its order.
    pub(crate) fn visit(&self, each: &mut dyn FnMut(Stream) -> Flow) -> Result<(), ReadError> {
        match self.bytes {
            Some(bytes) => self.file(self.path, Cursor::new(bytes), false, each),
            None => self.at(self.path, 0, each),
        }
        .map(drop)
    }

    fn is_wanted(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        self.wanted.is_none_or(|wanted| name.is_some_and(wanted))
    }

    fn at(&self, path: &Path, depth: usize, each: &mut dyn FnMut(Stream) -> Flow) -> Flow {
        let failed = |source| ReadError::Io { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_dir() {
            if depth > 0 && !self.is_wanted(path) {
                return pass_over(path, each);
            }
            let optional = depth > 0 && self.wanted.is_none();
            if metadata.is_file() {
                let file = File::open(path).map_err(failed)?;
                return self.file(path, BufReader::with_capacity(1 << 16, file), optional, each);
            }
            // Opening a pipe or a socket could block forever.
            if optional {
                return pass_over(path, each);
            }
            let (found, remedy) = ("neither a file nor a folder", "set the path to one of these");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        if depth > 0 && self.wanted.is_some() {
            return pass_over(path, each);
        }
        if depth == MAX_DEPTH {
            return Err(ReadError::TooDeep { path: path.to_owned() });
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            inside.push(entry.map_err(failed)?.path());
        }
        inside.sort_unstable();
        for path in inside {
            if self.at(&path, depth + 1, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn file(
        &self,
        path: &Path,
        mut plain: impl BufRead + Seek,
        optional: bool,
        each: &mut dyn FnMut(Stream) -> Flow,
    ) -> Flow {
        let failed = |source| ReadError::Io { path: path.to_owned(), source };
        let damaged = |error: io::Error| ReadError::damaged(path, error);
        let magic = plain.fill_buf().map_err(failed)?;
        if magic.starts_with(b"PK\x03\x04") {
            return self.zip(path, plain, each);
        }
        if magic.starts_with(b"\x28\xb5\x2f\xfd") {
            let (found, remedy) = ("a zstd file", "unpack it (`unzstd`) or pack it with xz");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        if (magic.starts_with(b"\xff\xfe") || magic.starts_with(b"\xfe\xff")) && !optional {
            let (found, remedy) = ("text in UTF-16", "save it as UTF-8");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        if magic.starts_with(b"\x89HDF") && !optional {
            let (found, remedy) = ("an HDF5 file", "write its structures as extended XYZ");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        let unpacked: Box<dyn Read> = if magic.starts_with(b"\xfd7zXZ\0") {
            let decoder = XzStream::new_stream_decoder(MAX_UNPACK_MEMORY, CONCATENATED)
                .map_err(|error| damaged(error.into()))?;
            Box::new(XzDecoder::new_stream(plain, decoder))
        } else if magic.starts_with(b"\x1f\x8b") {
            Box::new(MultiGzDecoder::new(plain))
        } else if magic.starts_with(b"BZh") {
            Box::new(MultiBzDecoder::new(plain))
        } else {
            let packed = self.bytes.is_some();
            let visited = self.content(path, &mut plain, packed, optional, each);
            return visited.map_err(|fault| fault.into_read_error(failed));
        };
        let mut unpacked = BufReader::with_capacity(1 << 16, unpacked);
        let visited = self.content(path, &mut unpacked, true, optional, each);
        visited.map_err(|fault| fault.into_read_error(damaged))
    }

    /// A file's content: a tar archive, or a single stream.
    fn content(
        &self,
        path: &Path,
        stream: &mut dyn BufRead,
        packed: bool,
        optional: bool,
        each: &mut dyn FnMut(Stream) -> Flow,
    ) -> Result<ControlFlow<()>, Fault> {
        let head = peek(stream).map_err(Fault::Io)?;
        let mut whole = Cursor::new(&head[..]).chain(stream);
        if is_tar(&head) {
            return self.tar(path, whole, each).map_err(|error| {
                let message = |error: io::Error| ReadError::damaged(path, error);
                Fault::Read(error.into_read_error(message))
            });
        }
        each(Stream { path, head: &head, content: &mut whole, packed, optional })
            .map_err(Fault::Read)
    }

    fn tar(
        &self,
        path: &Path,
        stream: impl Read,
        each: &mut dyn FnMut(Stream) -> Flow,
    ) -> Result<ControlFlow<()>, Fault> {
        // The archive reader buffers what lies between the entries, such as long names, so that
        // part is limited here. The entries themselves are limited by the readers of their formats.
        let (limited, left) = Counted::new(stream);
        let mut archive = ::tar::Archive::new(Ending::new(limited));
        let mut entries = archive.entries().map_err(Fault::Io)?;
        loop {
            left.renew();
            let Some(entry) = entries.next() else { break };
            left.lift();
            let entry = entry.map_err(Fault::Io)?;
            if entry.header().entry_type().is_file() {
                let inside = inside(path, &String::from_utf8_lossy(&entry.path_bytes()));
                let mut entry = BufReader::new(entry);
                if self.inside(&inside, &mut entry, each)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                io::copy(&mut entry, &mut io::sink()).map_err(Fault::Io)?;
            }
        }
        left.renew();
        archive.into_inner().drain().map_err(Fault::Io)?;
        Ok(ControlFlow::Continue(()))
    }

    fn zip(
        &self,
        path: &Path,
        file: impl Read + Seek,
        each: &mut dyn FnMut(Stream) -> Flow,
    ) -> Flow {
        let damaged = |message: String| ReadError::damaged(path, message);
        let mut archive =
            ::zip::ZipArchive::new(file).map_err(|error| damaged(error.to_string()))?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
            if !entry.is_file() {
                continue;
            }
            let name = entry.name().map_err(|error| damaged(error.to_string()))?;
            let inside = inside(path, &name);
            let visited = self.inside(&inside, &mut BufReader::new(entry), each);
            if visited
                .map_err(|fault| fault.into_read_error(|error| damaged(error.to_string())))?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn inside(
        &self,
        path: &Path,
        stream: &mut dyn BufRead,
        each: &mut dyn FnMut(Stream) -> Flow,
    ) -> Result<ControlFlow<()>, Fault> {
        if !self.is_wanted(path) {
            return pass_over(path, each).map_err(Fault::Read);
        }
        let head = peek(stream).map_err(Fault::Io)?;
        let mut whole = Cursor::new(&head[..]).chain(stream);
        let optional = self.wanted.is_none();
        each(Stream { path, head: &head, content: &mut whole, packed: true, optional })
            .map_err(Fault::Read)
    }
}

fn pass_over(path: &Path, each: &mut dyn FnMut(Stream) -> Flow) -> Flow {
    each(Stream { path, head: &[], content: &mut io::empty(), packed: false, optional: true })
}

/// Whether this is the start of a tar archive: its magic, or a header with a correct checksum.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    // The eight bytes of the checksum itself count as spaces.
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    let stated = ::tar::Header::from_byte_slice(block).cksum();
    block[257..262] == *b"ustar" || (block[0] != 0 && stated.is_ok_and(|sum| sum == expected))
}

/// An error in the content, or a failure to read it.
enum Fault {
    Read(ReadError),
    Io(io::Error),
}

impl Fault {
    fn into_read_error(self, or_io: impl FnOnce(io::Error) -> ReadError) -> ReadError {
        match self {
            Self::Read(error) => error,
            Self::Io(error) => or_io(error),
        }
    }
}

/// The name of an archive entry in messages.
fn inside(archive: &Path, name: &str) -> PathBuf {
    PathBuf::from(format!("{}/{}", archive.display(), shown(name)))
}

/// The first bytes, without the byte-order mark of a text.
fn peek(stream: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    Ok(head)
}
