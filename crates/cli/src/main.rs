//! The binary. Everything is in the library, so that other crates can link it with their plugins.
fn main() -> std::process::ExitCode {
    batchlab_cli::main()
}
