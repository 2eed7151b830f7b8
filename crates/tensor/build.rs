//! Replaces a page of errors inside dfdx by an explanation, and builds the emulated GPU for the
//! feature `cuda-check`.

#[path = "emulation/build.rs"]
mod emulation;

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("-vV").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if version.is_ok_and(|version| version.contains("nightly")) {
        println!(
            "cargo::error=batchlab needs stable Rust: on nightly, dfdx 0.13 switches on unstable features \
             that no longer compile. Use `rustup override set stable`, or `cargo +stable ...`."
        );
    }
    if std::env::var_os("CARGO_FEATURE_CUDA_CHECK").is_some() {
        emulation::build();
    }
}
