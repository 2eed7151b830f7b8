//! QM9's own archive, a tar file of one small text per molecule.

use std::io::Write as _;

use super::*;

/// Size of a header, and the multiple to which contents are padded.
const BLOCK: usize = 512;

/// Water, with a coordinate in Mathematica notation and its frequencies twice.
const WATER: &str = "3\ngdb INDEX\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t\
    0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t\n\
    O\t-8.4813*^-6\t 0.9775395708\t 0.0076015923\t-0.589706\n\
    H\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 2.94853*^-1\n\
    H\t 0.8717903737\t 1.3007924048\t 0.0069312336\t 0.294853\n\
    1671.4222\t3803.6305\t3907.698\t1671.4222\t3803.6305\t3907.698\n\
    O\tO\t\n\
    InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n";

fn water(index: u32) -> Vec<u8> {
    WATER.replace("INDEX", &index.to_string()).into_bytes()
}

fn name(index: u32) -> String {
    format!("dsgdb9nsd_{index:06}.xyz")
}

/// An archive of entries: name, kind, content.
fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // The writer itself rejects dangerous names.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).expect("memory");
    }
    builder.into_inner().expect("memory")
}

pub(in crate::read) fn waters(n: u32) -> Vec<u8> {
    let files: Vec<(String, Vec<u8>)> = (1..=n).map(|index| (name(index), water(index))).collect();
    let entries: Vec<_> = files
        .iter()
        .map(|(name, content)| (name.as_str(), tar::EntryType::Regular, content.as_slice()))
        .collect();
    tar(&entries)
}

pub(in crate::read) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[allow(clippy::needless_pass_by_value, reason = "for brevity below")]
fn read(bytes: Vec<u8>) -> Result<Vec<Molecule>, Qm9Error> {
    molecules(Path::new("test.tar"), Some(&bytes))
}

fn message(bytes: Vec<u8>) -> String {
    read(bytes).expect_err("a broken archive").to_string()
}

#[test]
fn an_archive_is_read_plain_and_packed() {
    let plain = read(waters(3)).expect("an archive");
    let indices: Vec<_> = plain.iter().map(|molecule| molecule.gdb_index).collect();
    assert_eq!(indices, [Some(1), Some(2), Some(3)]);
    assert_eq!(plain[0].position[0][0].to_bits(), (-8.4813e-6_f64).to_bits());
    assert_eq!(read(packed(&waters(3))).expect("bzip2"), plain);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&waters(3)).expect("memory");
    assert_eq!(read(gzip.finish().expect("memory")).expect("gzip"), plain);
    // Two concatenated streams, as written by parallel compressors.
    let halves = waters(3);
    let (first, second) = halves.split_at(1000);
    assert_eq!(read([packed(first), packed(second)].concat()).expect("bzip2"), plain);
}

#[test]
fn other_entries_are_passed_over_and_no_name_becomes_a_path() {
    let (file, link) = (tar::EntryType::Regular, tar::EntryType::Symlink);
    let [one, two] = [water(1), water(2)];
    let archive = tar(&[
        ("readme.txt", file, b"words"),
        ("dsgdb9nsd_000009.xyz", link, b""),
        ("../../../../tmp/dsgdb9nsd_000001.xyz", file, &one),
        ("dsgdb9nsd.xyz/", tar::EntryType::Directory, b""),
        ("dsgdb9nsd_000008.xyz", tar::EntryType::XHeader, b"27 path=/etc/passwd\n"),
        ("/dsgdb9nsd_000002.xyz", file, &two),
    ]);
    assert_eq!(read(archive).expect("an archive").len(), 2);
    assert!(message(tar(&[("readme.txt", file, b"words")])).contains("no file named"));
}

#[test]
fn a_fault_names_the_entry_and_its_line() {
    let broken = String::from_utf8(water(2)).expect("text").replace("0.9775395708", "O.97");
    let one = water(1);
    let archive = tar(&[
        ("dsgdb9nsd_000001.xyz", tar::EntryType::Regular, &one),
        ("dsgdb9nsd_000002.xyz", tar::EntryType::Regular, broken.as_bytes()),
    ]);
    let message = message(archive);
    assert!(message.starts_with("test.tar/dsgdb9nsd_000002.xyz:3: y should be"), "{message}");
}

#[test]
fn an_archive_that_was_cut_off_is_never_taken_for_a_whole_one() {
    let whole = waters(3);
    // 512 bytes of header and 512 of content for each, and two empty blocks.
    let used = 3 * 1024;
    for length in [used, used - 1, used - 513, 1024, 1025, 600] {
        let message = message(whole[..length].to_vec());
        // Within a text, the reader of that text notices it.
        let is_seen = ["damaged or cut off", "copy the file again"].map(|s| message.contains(s));
        assert!(is_seen.contains(&true), "{length}: {message}");
    }
    let whole = packed(&whole);
    for length in [whole.len() / 2, whole.len() - 20] {
        message(whole[..length].to_vec());
    }
}

/// The last bytes of compressed data are a checksum of all data.
#[test]
fn a_packed_archive_is_checked_to_its_very_end() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&waters(2)).expect("memory");
    for whole in [gzip.finish().expect("memory"), packed(&waters(2))] {
        assert_eq!(read(whole.clone()).expect("whole").len(), 2);
        for back in [2, 5, 8] {
            let mut wrong = whole.clone();
            let at = wrong.len() - back;
            wrong[at] ^= 0x10;
            let message = message(wrong);
            assert!(message.contains("damaged or cut off"), "{back}: {message}");
        }
    }
    let twice = [waters(1), waters(1)].concat();
    assert!(message(twice).contains("something follows the mark of its end"));
}

#[test]
fn wrong_headers_are_refused() {
    let mut archive = waters(2);
    archive[1024 + 130] ^= 1;
    assert!(message(archive).contains("header checksum mismatch"));

    let mut archive = waters(1);
    let mut header = tar::Header::from_byte_slice(&archive[..BLOCK]).clone();
    header.set_size(8 << 30);
    header.set_cksum();
    archive[..BLOCK].copy_from_slice(header.as_bytes());
    let text = message(archive.clone());
    assert!(text.contains("dsgdb9nsd_000001.xyz:9: expected the number of atoms"), "{text}");
    header.set_size(u64::MAX);
    header.set_cksum();
    archive[..BLOCK].copy_from_slice(header.as_bytes());
    message(archive);
}

/// A hundred million zeros compress to 113 bytes; they are streamed, not stored.
#[test]
fn what_unpacks_to_much_is_not_held() {
    let line = packed(&vec![b'0'; 65 << 20]);
    assert!(message(line).contains("one entry is larger than 64 MiB"));
}
