//! From source text to machine code for one GPU, by NVRTC; kept on disk for the next process.

use std::ffi::{CStr, c_char};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use batchlab_files::{MAX_TEXT, atomic_write_unsynced};
use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;

use super::error::Error;

/// Names the folder that compiled kernels are kept in; empty for none.
const FOLDER: &str = "BATCHLAB_CUDA_CACHE";

/// The machine code of a source for `arch`, such as `sm_90`: found on disk, or compiled now.
///
/// # Errors
/// A source that does not compile, with the compiler's log.
pub(super) fn image(arch: &str, source: &str) -> Result<Vec<u8>, Error> {
    image_in(folder().as_deref(), arch, source)
}

/// The same with a folder to keep it in. One that cannot be read or written is no error: it only
/// saves time.
pub(super) fn image_in(folder: Option<&Path>, arch: &str, source: &str) -> Result<Vec<u8>, Error> {
    let Some(folder) = folder else { return compile(arch, source) };
    let key = format!("NVRTC {} for {arch}\n{source}", version()?);
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let file = folder.join(format!("{:016x}.cubin", hasher.finish()));
    if let Some(image) = read(&file, &key) {
        return Ok(image);
    }
    let image = compile(arch, source)?;
    // Other processes may look for it now, and find all of it or nothing.
    let _ = atomic_write_unsynced(&file, &entry(&key, &image));
    Ok(image)
}

/// What a file holds: both lengths, the key, the image.
fn entry(key: &str, image: &[u8]) -> Vec<u8> {
    let [n_key, n_image] = [key.len(), image.len()].map(|n| (n as u64).to_le_bytes());
    [&n_key, &n_image, key.as_bytes(), image].concat()
}

/// The image in a file, if it is that of this key, and whole.
fn read(file: &Path, key: &str) -> Option<Vec<u8>> {
    let bytes = batchlab_files::read(file, MAX_TEXT).ok()?;
    let image = bytes.get(16 + key.len()..)?;
    (bytes == entry(key, image)).then(|| image.to_vec())
}

/// The folder that the environment names, else the user's for such things. An emulated GPU has none
/// of its own accord: what it compiles is of no use to a real one.
fn folder() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(FOLDER) {
        return (!named.is_empty()).then(|| named.into());
    }
    if cfg!(feature = "cuda-check") {
        return None;
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    Some(cache.join("batchlab").join("cuda"))
}

#[allow(unsafe_code, reason = "NVRTC is a library of C")]
fn version() -> Result<String, Error> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: it writes two numbers.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }
        .result()
        .map_err(|error| Error::Engine(format!("NVRTC does not say its version: {error}")))?;
    Ok(format!("{major}.{minor}"))
}

/// A program of NVRTC, which is given back at the end.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    #[allow(unsafe_code, reason = "NVRTC takes programs by their handles")]
    fn drop(&mut self) {
        // SAFETY: the handle is one that NVRTC has given, and nobody uses it any more.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

#[allow(unsafe_code, reason = "NVRTC takes programs by their handles")]
fn compile(arch: &str, source: &str) -> Result<Vec<u8>, Error> {
    let failed = |what: &str, error: NvrtcError| Error::Compile {
        arch: arch.to_owned(),
        reason: format!("{what}: {error}"),
    };
    let program =
        Program(result::create_program(source).map_err(|error| failed("no program", error))?);
    // SAFETY: the program lives, here and below.
    let compiled =
        unsafe { result::compile_program(program.0, &[format!("--gpu-architecture={arch}")]) };
    if let Err(error) = compiled {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program.0) };
        let log = log.map_err(|_| failed("no log", error))?;
        let reason = text(&log);
        return Err(Error::Compile { arch: arch.to_owned(), reason });
    }
    let mut n = 0;
    // SAFETY: as above; it writes one number.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut n) }
        .result()
        .map_err(|error| failed("no size", error))?;
    let mut image = vec![0_u8; n];
    // SAFETY: as above; there is room for as many bytes as it has said.
    unsafe { sys::nvrtcGetCUBIN(program.0, image.as_mut_ptr().cast::<c_char>()) }
        .result()
        .map_err(|error| failed("no machine code", error))?;
    Ok(image)
}

fn text(log: &[c_char]) -> String {
    let bytes: &[u8] = bytemuck::cast_slice(log);
    let text = CStr::from_bytes_until_nul(bytes).map(CStr::to_string_lossy);
    text.unwrap_or_else(|_| String::from_utf8_lossy(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "extern \"C\" __global__ void nothing() {}";
    const ARCH: &str = "sm_80";

    /// An empty folder of a test.
    fn empty(name: &str) -> PathBuf {
        let name = format!("batchlab-kernels-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_compiled_is_found_on_disk() {
        let folder = empty("found");
        let compiled = image_in(Some(&folder), ARCH, KERNEL).expect("it compiles");
        let [file] = &files(&folder)[..] else { panic!("one file") };
        // So that it is seen where the image comes from.
        let mut bytes = std::fs::read(file).expect("it can be read");
        *bytes.last_mut().expect("it is not empty") ^= 7;
        std::fs::write(file, &bytes).expect("it can be written");
        let found = image_in(Some(&folder), ARCH, KERNEL).expect("it is there");
        assert_ne!(found, compiled);
        assert_eq!(found[..found.len() - 1], compiled[..compiled.len() - 1]);
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }

    #[test]
    fn another_source_or_a_spoilt_file_is_compiled_anew() {
        let folder = empty("anew");
        let compiled = image_in(Some(&folder), ARCH, KERNEL).expect("it compiles");
        let file = files(&folder).remove(0);
        let whole = std::fs::read(&file).expect("it can be read");
        let of_another = entry("another source", b"another image");
        for spoilt in [&whole[..whole.len() - 1], &whole[..20], b"", &of_another] {
            std::fs::write(&file, spoilt).expect("it can be written");
            let again = image_in(Some(&folder), ARCH, KERNEL).expect("it compiles");
            assert_eq!(again, compiled);
            assert_eq!(std::fs::read(&file).expect("it can be read"), whole);
        }
        image_in(Some(&folder), ARCH, &format!("{KERNEL} ")).expect("it compiles");
        image_in(Some(&folder), "sm_90", KERNEL).expect("it compiles");
        assert_eq!(files(&folder).len(), 3, "one for each source and architecture");
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = empty("file");
        std::fs::write(&file, "no folder").expect("it can be written");
        let compiled = image_in(Some(&file), ARCH, KERNEL).expect("it compiles");
        assert_eq!(compiled, compile(ARCH, KERNEL).expect("it compiles"));
        std::fs::remove_file(&file).expect("it can be removed");
    }
}
