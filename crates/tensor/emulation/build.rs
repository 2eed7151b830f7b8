//! Builds the emulated GPU in place of the CUDA libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the emulated libraries, and tells the crate their folder.
pub(crate) fn build() {
    println!("cargo::rerun-if-changed=emulation");
    println!("cargo::rerun-if-env-changed=CXX");
    let variable = |name| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    let sources = variable("CARGO_MANIFEST_DIR").join("emulation");
    let out = variable("OUT_DIR").join("emulated");
    let cache = variable("OUT_DIR").join("kernels");
    for folder in [&out, &cache] {
        std::fs::create_dir_all(folder).expect("the build's own folder is writable");
    }
    // The names are those of the real ones.
    let [driver, cublas, nvrtc] =
        ["libcuda.so.1", "libcublas.so.13", "libnvrtc.so.13"].map(|name| out.join(name));
    let emulation = format!("-DEMULATION=\"{}\"", sources.display());
    library(&sources.join("driver.cpp"), &driver, std::slice::from_ref(&emulation));
    let with_driver = [driver.display().to_string(), "-Wl,-rpath,$ORIGIN".into()];
    library(&sources.join("cublas.cpp"), &cublas, &with_driver);
    let folders = [emulation, format!("-DEMULATED_CACHE=\"{}\"", cache.display())];
    library(&sources.join("nvrtc.cpp"), &nvrtc, &folders);
    println!("cargo::rustc-env=EMULATED_CUDA={}", out.display());
}

fn library(source: &Path, out: &Path, options: &[String]) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let name = out.file_name().expect("a library has a name").to_string_lossy();
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared"]);
    command.arg(format!("-Wl,-soname,{name}")).arg(source).arg("-o").arg(out).args(options);
    let status = command.status().unwrap_or_else(|error| {
        panic!("the emulated GPU needs a C++ compiler, but \"{compiler}\" does not start: {error}")
    });
    assert!(status.success(), "the emulated GPU does not compile: {command:?}");
}
