#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A folder with one path of each kind, and the word for it in messages; the last is a regular
/// file.
fn one_of_each() -> (TempDir, Vec<(PathBuf, &'static str)>) {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "12345").unwrap();
    fs::create_dir(at("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    drop(UnixListener::bind(at("socket")).unwrap());
    symlink("/dev/zero", at("to-device")).unwrap();
    symlink("file", at("link")).unwrap();
    symlink("nowhere", at("broken")).unwrap();
    let all = [
        ("folder", "a folder"),
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        ("to-device", "a symbolic link"),
        ("link", "a symbolic link"),
        ("broken", "a symbolic link"),
        ("file", ""),
    ];
    let all = all.map(|(name, kind)| (at(name), kind)).to_vec();
    (folder, all)
}

#[test]
fn nothing_but_a_regular_file_is_opened() {
    let (_folder, all) = one_of_each();
    for (path, kind) in &all {
        let change = |path: &Path| open_to_change(path, OpenOptions::new().append(true));
        for open in [open, change] {
            match open(path) {
                Ok(_) => assert_eq!(*kind, "", "{}", path.display()),
                Err(error) => {
                    let words = format!("it is {kind}, not a regular file");
                    assert_eq!(error.to_string(), words, "{}", path.display());
                }
            }
        }
    }
    let of_user = |name: &str| open_data(&all[0].0.with_file_name(name));
    assert!(of_user("link").is_ok());
    assert_eq!(of_user("to-device").unwrap_err().to_string(), "it is a device, not a regular file");
    assert_eq!(of_user("broken").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_file_longer_than_its_limit_is_not_read() {
    let (folder, all) = one_of_each();
    let file = &all.last().unwrap().0;
    assert_eq!(read_text(file, 5).unwrap(), "12345");
    read(file, 4).unwrap_err();
    // It has no length.
    read_named_text(Path::new("/dev/zero"), 1000).unwrap_err();
    let sparse = folder.path().join("sparse");
    File::create(&sparse).unwrap().set_len(100 << 30).unwrap();
    assert!(read(&sparse, MAX_TEXT).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn a_file_with_two_names_is_not_changed_in_place() {
    let (folder, all) = one_of_each();
    let file = &all.last().unwrap().0;
    fs::hard_link(file, folder.path().join("second")).unwrap();
    let error = open_to_change(file, OpenOptions::new().append(true)).unwrap_err().to_string();
    assert!(error.contains("2 names"), "{error}");
    atomic_write(file, b"new").unwrap();
    assert_eq!(fs::read(folder.path().join("second")).unwrap(), b"12345");
}

#[test]
fn writing_replaces_links_and_pipes_and_leaves_nothing_beside() {
    let (folder, all) = one_of_each();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("mine"), "keep").unwrap();
    symlink(outside.path().join("mine"), folder.path().join("out")).unwrap();
    let is_no_folder = |(path, kind): &(PathBuf, &str)| (*kind != "a folder").then(|| path.clone());
    let places: Vec<PathBuf> = all.iter().filter_map(is_no_folder).collect();
    for path in places.iter().chain(&[folder.path().join("out"), folder.path().join("a/b/c")]) {
        atomic_write(path, b"new").unwrap();
        assert_eq!(read(path, 3).unwrap(), b"new", "{}", path.display());
    }
    assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"keep");
    // A folder is never replaced, and a failure leaves nothing behind.
    atomic_write(&folder.path().join("folder"), b"new").unwrap_err();
    let failed = |_: &mut tempfile::NamedTempFile| Err::<(), _>(io::Error::other("no"));
    atomic_write_with(&folder.path().join("never"), failed).unwrap_err();
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("unfinished")).collect();
    assert!(left.is_empty() && !folder.path().join("never").exists(), "{left:?}");
    fs::write(folder.path().join(".unfinished-x"), "of a killed process").unwrap();
    remove_unfinished(folder.path());
    assert!(!folder.path().join(".unfinished-x").exists());
}
