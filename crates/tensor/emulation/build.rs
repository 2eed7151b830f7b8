//! Builds the emulated GPU in place of the CUDA libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the emulated libraries and links programs with them.
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
    // The names are those that a real program loads; the linker wants them without a version
    // number.
    let emulation = format!("-DEMULATION=\"{}\"", sources.display());
    library(&sources, &out, "driver", "cuda", "libcuda.so.1", std::slice::from_ref(&emulation));
    let driver = [format!("-L{}", out.display()), "-lcuda".into(), "-Wl,-rpath,$ORIGIN".into()];
    library(&sources, &out, "cublas", "cublas", "libcublas.so.13", &driver);
    let folders = [emulation, format!("-DEMULATED_CACHE=\"{}\"", cache.display())];
    library(&sources, &out, "nvrtc", "nvrtc", "libnvrtc.so.13", &folders);

    println!("cargo::rustc-link-search=native={}", out.display());
    for name in ["cublas", "nvrtc", "cuda"] {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}

fn library(sources: &Path, out: &Path, source: &str, name: &str, soname: &str, options: &[String]) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let plain = out.join(format!("lib{name}.so"));
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared"]);
    command.arg(format!("-Wl,-soname,{soname}"));
    command.arg(sources.join(format!("{source}.cpp"))).arg("-o").arg(&plain);
    command.args(options);
    let status = command.status().unwrap_or_else(|error| {
        panic!("the emulated GPU needs a C++ compiler, but \"{compiler}\" does not start: {error}")
    });
    assert!(status.success(), "the emulated GPU does not compile: {command:?}");
    let numbered = out.join(soname);
    std::fs::copy(&plain, &numbered).expect("the build's own folder is writable");
}
