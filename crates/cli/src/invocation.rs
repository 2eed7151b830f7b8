//! The command that started this process, for starting it again.

use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::sync::OnceLock;

/// Program and arguments, if they are not those of the process.
static GIVEN: OnceLock<(Vec<OsString>, Vec<OsString>)> = OnceLock::new();

/// Sets the command, where this is not the program of the process. Only the first call counts.
pub(crate) fn set(program: Vec<OsString>, arguments: &[OsString]) {
    let _ = GIVEN.set((program, arguments.to_vec()));
}

/// The arguments, without the program.
pub(crate) fn arguments() -> Vec<OsString> {
    match GIVEN.get() {
        Some((_, arguments)) => arguments.clone(),
        None => std::env::args_os().skip(1).collect(),
    }
}

/// The command that starts this program, without arguments.
pub(crate) fn program() -> io::Result<Vec<String>> {
    let text = |word: OsString| word.to_string_lossy().into_owned();
    Ok(words()?.into_iter().map(text).collect())
}

fn words() -> io::Result<Vec<OsString>> {
    Ok(match GIVEN.get() {
        Some((program, _)) => program.clone(),
        None => vec![std::env::current_exe()?.into()],
    })
}

/// The command that starts this program with the same arguments.
pub(crate) fn again() -> io::Result<Command> {
    let mut words = words()?.into_iter().chain(arguments());
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    Ok(command)
}
