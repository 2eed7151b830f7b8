//! Compiles source text to machine code for one GPU with NVRTC.

use std::ffi::{CStr, c_char};

use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;

use super::error::Error;

/// An NVRTC program, destroyed on drop.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    #[allow(unsafe_code, reason = "NVRTC takes programs by their handles")]
    fn drop(&mut self) {
        // SAFETY: the handle comes from NVRTC, and nobody uses it any more.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The machine code of a source for `arch`, such as `sm_90`.
///
/// # Errors
/// If the source does not compile, with the compiler's log.
#[allow(unsafe_code, reason = "NVRTC takes programs by their handles")]
pub(super) fn compile(arch: &str, source: &str) -> Result<Vec<u8>, Error> {
    let failed = |what: &str, error: NvrtcError| Error::Compile {
        arch: arch.to_owned(),
        reason: format!("{what}: {error}"),
    };
    let program =
        Program(result::create_program(source).map_err(|error| failed("no program", error))?);
    // SAFETY: the program is alive, here and below.
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
    // SAFETY: as above; there is room for as many bytes as NVRTC has stated.
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
