//! From a path to streams: files, folders, packed files, archives. Archives are streamed, and the
//! names in them are shown in messages but never become paths.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

use crate::ending::Ending;
use crate::error::{ReadError, shown};
use crate::limits::MAX_DEPTH;
use crate::lines::Watched;

/// Bytes by which a format is told.
const HEAD: usize = 4096;

/// One stream of a file or archive.
pub(crate) struct Stream<'a> {
    /// Where it comes from; in an archive this is no path that could be opened.
    pub(crate) path: &'a Path,
    pub(crate) head: &'a [u8],
    pub(crate) content: &'a mut dyn BufRead,
    /// Whether it was unpacked on the way.
    pub(crate) packed: bool,
    /// Whether it is one of many, of which some may be of other formats.
    pub(crate) one_of_many: bool,
}

type Flow = Result<ControlFlow<()>, ReadError>;

/// Visits every stream behind a path; files of a folder by name, folders within folders included,
/// streams of an archive in its order.
pub(crate) fn visit(path: &Path, each: &mut dyn FnMut(Stream) -> Flow) -> Result<(), ReadError> {
    at(path, 0, each).map(drop)
}

fn at(path: &Path, depth: usize, each: &mut dyn FnMut(Stream) -> Flow) -> Flow {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_file() {
        return file(path, depth > 0, each);
    }
    if !metadata.is_dir() {
        // Opening a pipe or a socket could wait for ever.
        if depth == 0 {
            let (found, remedy) = ("no file and no folder", "set the path to one of these");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        let (head, content) = (&[][..], &mut io::empty());
        return each(Stream { path, head, content, packed: false, one_of_many: true });
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
        if at(&path, depth + 1, each)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn file(path: &Path, one_of_many: bool, each: &mut dyn FnMut(Stream) -> Flow) -> Flow {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let damaged = |error: io::Error| ReadError::damaged(path, error);
    let mut plain = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let magic = plain.fill_buf().map_err(failed)?;
    if magic.starts_with(b"PK\x03\x04") {
        return zip(path, plain, each);
    }
    if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        let (found, remedy) = ("a zstd file", "unpack it (`unzstd`) or pack it with xz");
        return Err(ReadError::Format { path: path.to_owned(), found, remedy });
    }
    let unpacked: Box<dyn Read> = if magic.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzDecoder::new_multi_decoder(plain))
    } else if magic.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(plain))
    } else if magic.starts_with(b"BZh") {
        Box::new(MultiBzDecoder::new(plain))
    } else {
        let visited = content(path, Box::new(plain), false, one_of_many, each);
        return visited.map_err(|fault| fault.say(failed));
    };
    let unpacked = Box::new(BufReader::with_capacity(1 << 16, unpacked));
    content(path, unpacked, true, one_of_many, each).map_err(|fault| fault.say(damaged))
}

/// A fault of what was read, or of the reading.
enum Fault {
    Read(ReadError),
    Io(io::Error),
}

impl Fault {
    fn say(self, say: impl FnOnce(io::Error) -> ReadError) -> ReadError {
        match self {
            Self::Read(error) => error,
            Self::Io(error) => say(error),
        }
    }
}

/// A file's content: a tar archive, or one stream.
fn content(
    path: &Path,
    mut stream: Box<dyn BufRead>,
    packed: bool,
    one_of_many: bool,
    each: &mut dyn FnMut(Stream) -> Flow,
) -> Result<ControlFlow<()>, Fault> {
    let head = peek(&mut stream).map_err(Fault::Io)?;
    let whole = Cursor::new(&head[..]).chain(stream);
    if head.get(257..262) == Some(b"ustar") {
        return tar(path, whole, each).map_err(|error| {
            let message = |error: io::Error| ReadError::damaged(path, error);
            Fault::Read(error.say(message))
        });
    }
    let mut whole = whole;
    each(Stream { path, head: &head, content: &mut whole, packed, one_of_many })
        .map_err(Fault::Read)
}

fn tar(
    path: &Path,
    stream: impl Read,
    each: &mut dyn FnMut(Stream) -> Flow,
) -> Result<ControlFlow<()>, Fault> {
    // What stands between the entries, such as long names, is kept by the reader of the archive:
    // there it is watched, and the entries themselves are by the readers of their formats.
    let (watched, left) = Watched::new(stream);
    let mut archive = ::tar::Archive::new(Ending::new(watched));
    let mut entries = archive.entries().map_err(Fault::Io)?;
    loop {
        left.renew();
        let Some(entry) = entries.next() else { break };
        left.lift();
        let entry = entry.map_err(Fault::Io)?;
        if entry.header().entry_type().is_file() {
            let inside = inside(path, &String::from_utf8_lossy(&entry.path_bytes()));
            let mut entry = BufReader::new(entry);
            if packed_stream(&inside, &mut entry, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            io::copy(&mut entry, &mut io::sink()).map_err(Fault::Io)?;
        }
    }
    left.renew();
    archive.into_inner().drain().map_err(Fault::Io)?;
    Ok(ControlFlow::Continue(()))
}

fn zip(path: &Path, file: BufReader<File>, each: &mut dyn FnMut(Stream) -> Flow) -> Flow {
    let damaged = |message: String| ReadError::damaged(path, message);
    let mut archive = ::zip::ZipArchive::new(file).map_err(|error| damaged(error.to_string()))?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
        if !entry.is_file() {
            continue;
        }
        let name = entry.name().map_err(|error| damaged(error.to_string()))?;
        let inside = inside(path, &name);
        let visited = packed_stream(&inside, &mut BufReader::new(entry), each);
        if visited.map_err(|fault| fault.say(|error| damaged(error.to_string())))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// How an entry of an archive is called in messages.
fn inside(archive: &Path, name: &str) -> PathBuf {
    PathBuf::from(format!("{}/{}", archive.display(), shown(name)))
}

fn packed_stream(
    path: &Path,
    stream: &mut dyn BufRead,
    each: &mut dyn FnMut(Stream) -> Flow,
) -> Result<ControlFlow<()>, Fault> {
    let head = peek(stream).map_err(Fault::Io)?;
    let mut whole = Cursor::new(&head[..]).chain(stream);
    each(Stream { path, head: &head, content: &mut whole, packed: true, one_of_many: true })
        .map_err(Fault::Read)
}

/// The first bytes of a stream.
fn peek(stream: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}
