//! Keeps the calls of CUDA's functions within the extension module.

/// Like every function without a mangled name, those that pass calls on to CUDA's libraries
/// (`crates/tensor/src/cuda/libraries`) are exported from the module, and a call of an exported function goes
/// to the first library in the process that has one of this name: with PyTorch imported before, to its
/// cuBLAS. (zig, which links the wheels, does not know `-Bsymbolic-functions`.)
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    if is_linux && std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    }
}
