//! Records the commit and the compiler that the program is built from.

use std::process::Command;

fn main() {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let commit = output("git", &["rev-parse", "HEAD"]).unwrap_or_default();
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    println!("cargo::rustc-env=BATCHLAB_RUSTC={}", output(&rustc, &["-V"]).unwrap_or_default());
    println!("cargo::rustc-env=BATCHLAB_COMMIT={commit}");
    println!("cargo::rustc-env=BATCHLAB_DIRTY={}", changed.is_some_and(|files| !files.is_empty()));
    println!("cargo::rustc-env=BATCHLAB_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
    // Without these lines the build script would only run when this crate changes.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}
