//! Downloads from a server that fails in realistic ways.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use batchlab_core::hash::sha256;
use batchlab_fetch::{Arrived, FetchError, Query, Remote, SUMS, add_sums, check_sums, check_url};
use tempfile::TempDir;

struct Reply {
    head: String,
    body: Vec<u8>,
    /// Bytes of the body to send before closing the connection.
    cut: usize,
}

/// A request: the path, and the start of the range.
type Request = (String, Option<usize>);

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// `answer` gets the number of the request, from 0.
fn server(answer: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let path = lines[0].split(' ').nth(1).unwrap().to_owned();
            let range = lines.iter().find_map(|line| {
                line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
            });
            let request = (path, range);
            let reply = answer(n, &request);
            log.lock().unwrap().push(request);
            let head = format!(
                "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                reply.head,
                reply.body.len()
            );
            // The client may hang up early.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&reply.body[..reply.cut.min(reply.body.len())]);
        }
    });
    Server { url, requests }
}

fn reply(head: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply { head: head.to_owned(), body: body.into(), cut: usize::MAX }
}

fn data() -> Vec<u8> {
    (0_u32..50_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// The reply of a well-behaved server: the requested range, if any.
fn good((_, range): &Request) -> Reply {
    let Some(start) = *range else { return reply("200 OK", data()) };
    let total = data().len();
    reply(
        &format!("206 Partial Content\r\ncontent-range: bytes {start}-{}/{total}", total - 1),
        &data()[start..],
    )
}

fn remote(servers: &[&Server]) -> Remote {
    Remote {
        name: "data.bin".into(),
        urls: servers.iter().map(|server| format!("{}/data.bin", server.url)).collect(),
        n_byte: 200_000,
        sha256: sha256(&data()),
    }
}

/// The file is downloaded, given a part left by an earlier attempt. Returns where each request
/// started.
fn arrives(part: &[u8], servers: &[&Server]) -> Vec<Option<usize>> {
    let folder = TempDir::new().unwrap();
    if !part.is_empty() {
        fs::write(folder.path().join("data.bin.part"), part).unwrap();
    }
    let remote = remote(servers);
    assert_eq!(remote.fetch(folder.path(), &()).unwrap(), Arrived::Now);
    assert_eq!(fs::read(folder.path().join("data.bin")).unwrap(), data());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
    assert_eq!(remote.fetch(folder.path(), &()).unwrap(), Arrived::AlreadyPresent);
    let requests = servers.iter().flat_map(|server| server.requests.lock().unwrap().clone());
    requests.map(|(_, start)| start).collect()
}

/// The download fails, and the message says why and what to do.
fn fails(why: &str, answer: impl Fn(usize, &Request) -> Reply + Send + 'static) {
    let folder = TempDir::new().unwrap();
    let error = remote(&[&server(answer)]).fetch(folder.path(), &()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    assert!(error.contains("put the file data.bin (200000 bytes, SHA-256 "), "{error}");
    assert!(!folder.path().join("data.bin").exists());
}

#[test]
fn a_part_is_continued_from_any_address_or_replaced() {
    let breaking = || server(|n, request| Reply { cut: [70_000, 0][n], ..good(request) });
    let right = || server(|_, request| good(request));
    assert_eq!(arrives(&[], &[&right()]), [None]);
    assert_eq!(arrives(&[], &[&breaking(), &right()]), [None, Some(70_000), Some(70_000)]);
    // Left by an earlier program: right, wrong, too long, complete.
    assert_eq!(arrives(&data()[..150_000], &[&right()]), [Some(150_000)]);
    assert_eq!(arrives(&vec![7; 150_000], &[&right()]), [Some(150_000), None]);
    assert_eq!(arrives(&vec![7; 300_000], &[&right()]), [None]);
    assert_eq!(arrives(&data(), &[&right()]), []);
    // A server without ranges, and one that returns another range than requested.
    let whole = server(|_, _| reply("200 OK", data()));
    assert_eq!(arrives(&vec![7; 150_000], &[&whole]), [Some(150_000)]);
    let other = server(|_, _| good(&(String::new(), Some(0))));
    assert_eq!(arrives(&data()[..10], &[&other, &right()]), [Some(10), Some(10), Some(10)]);
}

#[test]
fn nothing_else_is_taken_for_the_data() {
    fails("404", |_, _| reply("404 Not Found", "no"));
    fails("503", |_, _| reply("503 Service Unavailable", "busy"));
    fails("it ended after 199999 of 200000 bytes", |n, _| match n {
        0 => reply("200 OK", vec![1; 199_999]),
        _ => reply("404 Not Found", "no"),
    });
    fails("it sends more than 200000 bytes", |_, _| reply("200 OK", vec![1; 200_001]));
    fails("the SHA-256 is ", |_, _| reply("200 OK", vec![1; 200_000]));
    let page = "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head></html>";
    fails("a page of HTML", move |_, _| {
        reply("200 OK\r\ncontent-type: text/html; charset=utf-8", page)
    });
    // Of exactly the right length, and declared as data.
    let padded = page.to_owned() + &" ".repeat(200_000 - page.len());
    fails("a page of HTML", move |_, _| reply("200 OK", padded.clone()));

    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data.bin"), "mine").unwrap();
    let error = remote(&[]).fetch(folder.path(), &()).unwrap_err();
    assert!(matches!(error, FetchError::OtherFile { .. }), "{error}");
}

#[test]
fn every_address_that_failed_is_named() {
    let broken = server(|_, _| reply("404 Not Found", "no"));
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut remote = remote(&[&broken]);
    remote.urls.push(format!("http://{port}"));
    let error = remote.fetch(TempDir::new().unwrap().path(), &()).unwrap_err().to_string();
    assert!(error.contains(&broken.url) && error.contains(&port.to_string()), "{error}");
    assert!(error.contains("refused"), "{error}");
}

/// Seven entries in pages of three.
fn page((path, _): &Request) -> Reply {
    let number = path.split("$paging(").nth(1).and_then(|rest| rest.split(',').next());
    let number: usize = number.unwrap().parse().unwrap();
    let entries = (3 * (number - 1)..(3 * number).min(7)).map(|i| format!("{{\"Egap\":{i}}}"));
    reply("200 OK", format!("[{}]", entries.collect::<Vec<_>>().join(",")))
}

fn query(server: &Server, matchbook: &str) -> Query {
    let url = format!("{}/API/aflux/v1.0/", server.url);
    Query { url, matchbook: matchbook.into(), page_size: 3, max_page: 100 }
}

#[test]
fn pages_of_a_query_arrive_and_continue() {
    let server = server(|n, request| match n {
        1 => reply("404 Not Found", "no"),
        _ => page(request),
    });
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("entries");
    let fetch = |matchbook| query(&server, matchbook).fetch(&to, &());
    let error = fetch("Egap(*)").unwrap_err().to_string();
    assert!(error.contains("page 2 of the query") && error.contains("continues there"), "{error}");
    assert!(!to.exists(), "a part is not the whole");
    assert!(matches!(fetch("Egap(1*)"), Err(FetchError::OtherQuery { .. })));
    assert_eq!(fetch("Egap(*)").unwrap(), (3, 7));
    let paths: Vec<_> =
        server.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths.len(), 4, "the first page is not asked for again");
    assert_eq!(paths[0], "/API/aflux/v1.0/?Egap(*),$paging(1,3)");
    assert_eq!(check_sums(&to).unwrap(), (3, Vec::new()));
}

#[test]
fn what_is_no_page_is_refused() {
    for (body, why) in [
        ("<html><title>Error</title></html>", "a page of HTML"),
        ("[{\"auid\":", "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "something other than entries"),
        ("\"Egap is not a keyword\"", "neither a list nor an object"),
        ("null", "neither a list nor an object"),
        ("[{},{},{},{}]", "4 entries, but 3 were asked for"),
        ("[{},{},{}]", "sends the same page again"),
    ] {
        let server = server(move |_, _| reply("200 OK", body));
        let folder = TempDir::new().unwrap();
        let error = query(&server, "Egap(*)").fetch(&folder.path().join("entries"), &());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn sums_find_changed_and_missing_files_and_names_stay_inside() {
    let folder = TempDir::new().unwrap();
    let sum = |name: &str| BTreeMap::from([(name.to_owned(), sha256(name.as_bytes()))]);
    fs::write(folder.path().join("a"), "a").unwrap();
    fs::write(folder.path().join("b"), "changed").unwrap();
    for name in ["a", "b", "c"] {
        add_sums(folder.path(), sum(name)).unwrap();
    }
    let (n, differences) = check_sums(folder.path()).unwrap();
    let names: Vec<_> =
        differences.iter().map(|d| (d.path.file_name().unwrap(), d.found.is_some())).collect();
    assert_eq!((n, names), (3, vec![("b".as_ref(), true), ("c".as_ref(), false)]));
    for name in ["../a", "/etc/passwd", ""] {
        fs::write(folder.path().join(SUMS), format!("{}  {name}\n", sha256(b""))).unwrap();
        assert!(
            matches!(check_sums(folder.path()), Err(FetchError::Sums { line: 1, .. })),
            "{name}"
        );
    }
}

#[test]
fn addresses_are_of_the_web() {
    for right in ["http://127.0.0.1:80", "https://example.org/a?b"] {
        assert_eq!(check_url(right), Ok(()));
    }
    for wrong in [
        "",
        "mirror",
        "ftp://example.org",
        "/data",
        "https://",
        "http:// a",
        "http://a b",
        "example.org/x",
    ] {
        let fault = check_url(wrong).unwrap_err();
        assert!(fault.starts_with(&format!("`{wrong}` is not an address (")), "{fault}");
    }
}
