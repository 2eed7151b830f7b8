//! Which files of directories and archives are read, which are skipped, and what compressed ones
//! may require.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_core::MemoryBudget;
use batchlab_structures::{Problem, ReadError, Source};
use tempfile::TempDir;

use crate::formats::{CIF, POSCAR, all, refused};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(bytes).unwrap();
    bz2.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(bytes).unwrap();
    xz.finish().unwrap()
}

fn is_cif(name: &str) -> bool {
    name.strip_suffix(".cif").is_some()
}

/// Files requested by name are never skipped.
#[test]
fn files_that_are_asked_for_are_read_or_refused() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("b")).unwrap();
    fs::write(path("b/a.cif"), CIF).unwrap();
    fs::write(path("b/POSCAR"), POSCAR).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("up", folder.path()).unwrap();
    let archive = archive.into_inner().unwrap();
    fs::write(path("POSCAR"), POSCAR).unwrap();
    let read = |path: &Path, bytes: Option<&[u8]>| {
        let mut names = Vec::new();
        let memory = &MemoryBudget::default();
        let counts =
            Source { path, bytes, wanted: Some(is_cif), arrays: &[], memory }.read(&mut |entry| {
                names.push(entry.path.file_name().unwrap().to_owned());
                Ok::<_, ReadError>(ControlFlow::Continue(()))
            });
        counts
            .map(|counts| (names, counts.n_file, counts.n_other))
            .map_err(|error| error.to_string())
    };
    for found in [read(&path("b"), None), read(Path::new("x.tar"), Some(&archive))] {
        assert_eq!(found, Ok((vec!["a.cif".into()], 1, 1)));
    }
    let none = read(folder.path(), None).unwrap_err();
    assert!(none.contains("known format, 2 were skipped"), "{none}");
    fs::write(path("empty.cif"), "").unwrap();
    assert!(read(folder.path(), None).unwrap_err().contains("empty.cif is empty"));
    let none = read(Path::new("x.cif"), Some(b"\x28\xb5\x2f\xfd"));
    assert!(none.unwrap_err().contains("x.cif is a zstd file"));
    let (path, memory) = (Path::new("x.db"), &MemoryBudget::default());
    let none =
        Source { path, bytes: Some(b"SQLite format 3\0"), wanted: None, arrays: &[], memory };
    let none = none.read(&mut |entry| Err(entry.fault(Problem::NoAtoms))).unwrap_err();
    assert!(none.to_string().contains("a packed SQLite database"), "{none}");
}

/// The header of an xz file states how much memory decompression takes.
#[test]
fn a_packed_file_cannot_ask_for_all_memory() {
    let mut bytes = xz(CIF.as_bytes());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.cif.xz");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(all(&path).unwrap().0.len(), 1);
    // A block header: its length in words, flags, the filter LZMA2 with its dictionary size, and a
    // checksum.
    let header = 12..12 + 4 * usize::from(bytes[12]);
    assert_eq!(bytes[14..16], [0x21, 1]);
    bytes[16] = 40;
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[header.clone()]);
    bytes[header.end..header.end + 4].copy_from_slice(&sum.sum().to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let fault = all(&path).unwrap_err().to_string();
    assert!(fault.contains("memory limit"), "{fault}");
}

/// For any number of entries, one at a time.
#[test]
fn memory_is_asked_for_before_an_entry_is_read() {
    let folder = TempDir::new().unwrap();
    let atoms = "H 0 0 0\n".repeat(4000);
    let small = format!("4000\n\n{atoms}").repeat(20);
    let large = format!("80000\n\n{}", atoms.repeat(20));
    let reply = format!("[{{\"a\": [{}0]}}]", "0,".repeat(20_000));
    // 100 sites and 192 operations.
    let site = |i: usize| format!("H 0.{:03} 0.3{i:02} 0.17\n", i * 7 + 11);
    let sites: String = (0..100).map(site).collect();
    let cif = format!(
        "data_a\n_cell_length_a 99\n_cell_length_b 99\n_cell_length_c 99\n_cell_angle_alpha 90\n\
         _cell_angle_beta 90\n_cell_angle_gamma 90\n_space_group_IT_number 225\nloop_\n_atom_site_type_symbol\n\
         _atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n{sites}"
    );
    for (name, text, is_over) in [
        ("a.xyz", &small, false),
        ("b.xyz", &large, true),
        ("a.json", &reply, true),
        ("a.cif", &cif, true),
        ("b.cif", &cif.replace("225", "1"), false),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let memory = &MemoryBudget::new(2 << 20);
        let read = Source { path: &path, bytes: None, wanted: None, arrays: &[], memory }
            .read(&mut |_| Ok::<_, ReadError>(ControlFlow::Continue(())));
        assert_eq!(memory.left(), 2 << 20, "{name}: all is given back");
        match read {
            Ok(_) => assert!(!is_over, "{name}"),
            Err(error) => {
                let error = error.to_string();
                assert!(is_over && error.contains("one entry would take"), "{name}: {error}");
                assert!(error.contains("set BATCHLAB_MEMORY"), "{error}");
            }
        }
    }
}

#[test]
fn folders_and_archives_are_gone_through_and_other_files_counted() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("b")).unwrap();
    fs::write(path("b/POSCAR"), POSCAR).unwrap();
    fs::write(path("a.cif"), CIF).unwrap();
    fs::write(path("notes.h5"), b"\x89HDF\n").unwrap();
    assert!(all(&path("notes.h5")).unwrap_err().to_string().contains("notes.h5 is an HDF5 file"));
    let (entries, counts) = all(folder.path()).unwrap();
    assert_eq!((counts.n_file, counts.n_other), (2, 1));
    let passed_over = counts.notes().remove(0);
    assert!(passed_over.ends_with("/notes.h5"), "{passed_over}");
    assert_eq!([&entries[0].path, &entries[1].path], [&path("a.cif"), &path("b/POSCAR")]);
    let expected: Vec<_> = entries.iter().map(|entry| entry.structure.clone()).collect();

    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("up", folder.path()).unwrap();
    let tar_bytes = archive.into_inner().unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [("a.cif", CIF), ("../../b/POSCAR", POSCAR), ("notes.md", "# Notes\n")] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let [gz, bz2, xz] = [gz(&tar_bytes), bz2(&tar_bytes), xz(&tar_bytes)];
    let packed = [tar_bytes, gz, bz2, xz, zip.finish().unwrap().into_inner()];
    for (at, bytes) in packed.iter().enumerate() {
        let path = path(&format!("archive-{at}"));
        fs::write(&path, bytes).unwrap();
        let (entries, counts) = all(&path).unwrap();
        assert_eq!((counts.n_file, counts.n_other), (2, 1), "{at}");
        let mut found: Vec<_> = entries.iter().map(|entry| entry.structure.clone()).collect();
        if found != expected {
            found.reverse();
        }
        assert_eq!(found, expected, "{at}");
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let cut = all(&path).unwrap_err().to_string();
        assert!(cut.contains("damaged or cut off"), "{at}: {cut}");
    }
}

/// The last bytes of compressed data are a checksum of all data.
#[test]
fn packed_files_are_checked_to_their_very_end() {
    let mut header = tar::Header::new_ustar();
    header.set_path("POSCAR").unwrap();
    header.set_size(POSCAR.len() as u64);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, POSCAR.as_bytes()).unwrap();
    let archive = archive.into_inner().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("POSCAR.packed");
    for content in [&archive[..], POSCAR.as_bytes()] {
        for (at, packed) in [gz(content), bz2(content), xz(content)].into_iter().enumerate() {
            fs::write(&path, &packed).unwrap();
            assert_eq!(all(&path).unwrap().0.len(), 1, "{at}");
            // For gzip this is the checksum; bits at the very end of bzip2 may be padding.
            for back in [2, 5, 8] {
                let mut wrong = packed.clone();
                let length = wrong.len();
                wrong[length - back] ^= 0x10;
                fs::write(&path, &wrong).unwrap();
                let fault = all(&path).map(drop).unwrap_err().to_string();
                assert!(fault.contains("damaged or cut off"), "{at} {back}: {fault}");
            }
        }
    }
    let twice = [&archive[..], &archive[..]].concat();
    for (bytes, message) in [
        (&archive[..archive.len() - 1024], "the mark of its end is missing"),
        (&twice, "something follows the mark of its end"),
    ] {
        for bytes in [bytes.to_vec(), gz(bytes)] {
            fs::write(&path, bytes).unwrap();
            let fault = all(&path).map(drop).unwrap_err().to_string();
            assert!(fault.contains(message), "{fault}");
        }
    }
}

/// Opening a pipe without a writer would block forever.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_or_passed_over() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("b.xyz"), "1\n\nH 0 0 0\n").unwrap();
    let pipe = folder.path().join("a.xyz");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let fault = all(&pipe).unwrap_err().to_string();
    assert!(fault.contains("a.xyz is neither a file nor a folder"), "{fault}");
    let counts = all(folder.path()).unwrap().1;
    assert_eq!((counts.n_file, counts.n_other), (1, 1));
}

#[cfg(unix)]
#[test]
fn names_of_files_are_no_commands_for_a_terminal() {
    let folder = TempDir::new().unwrap();
    let name = "a\u{1b}[31m\n.xyz";
    fs::write(folder.path().join(name), "1\n\nH 0 0\n").unwrap();
    let fault = all(folder.path()).unwrap_err().to_string();
    assert!(fault.contains("a\\u{1b}[31m\\n.xyz:3: "), "{fault}");
    assert!(!fault.contains(['\u{1b}', '\n']), "{fault}");
}

#[test]
fn what_is_of_no_known_format_is_refused_alone() {
    refused("a.txt", "hello\n", "a.txt is in an unknown format");
    refused("a", "", "a is empty");
    let folder = TempDir::new().unwrap();
    let nothing = || all(folder.path()).unwrap_err().to_string();
    assert!(nothing().contains("known format, 0 were skipped"), "{}", nothing());
    fs::write(folder.path().join("a.txt"), "hello\n").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    assert!(nothing().contains("known format, 2 were skipped"), "{}", nothing());
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("up", folder.path()).unwrap();
    refused("a.tar", &String::from_utf8(archive.into_inner().unwrap()).unwrap(), "2 were skipped");
    let missing = all(Path::new("no/such/file")).unwrap_err().to_string();
    assert!(missing.contains("no/such/file cannot be read"), "{missing}");
}
