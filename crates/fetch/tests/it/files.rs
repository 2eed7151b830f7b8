//! Files from a server that fails in every way that servers fail.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use batchlab_core::hash::sha256;
use batchlab_core::progress::Progress;
use batchlab_fetch::{Arrived, Client, FetchError, Patience, Remote, check_url, sums};
use tempfile::TempDir;

use crate::server::{Reply, Request, Server, client, failing};

fn data() -> Vec<u8> {
    (0_u32..50_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn whole() -> Reply {
    let headers = vec!["etag: \"v1\"".to_owned()];
    Reply { status: "200 OK", headers, body: data(), ..Reply::default() }
}

/// As a good server answers: the rest, if a rest is asked for.
fn good(request: &Request) -> Reply {
    let Some(start) = request.start() else { return whole() };
    let total = data().len();
    let range = format!("content-range: bytes {start}-{}/{total}", total - 1);
    let headers = vec!["etag: \"v1\"".to_owned(), range];
    Reply {
        status: "206 Partial Content",
        headers,
        body: data()[start..].to_vec(),
        ..Reply::default()
    }
}

fn remote(urls: &[&str]) -> Remote {
    Remote {
        name: "data.bin".into(),
        urls: urls.iter().map(|url| format!("{url}/data.bin")).collect(),
        n_byte: 200_000,
        sha256: sha256(&data()),
    }
}

#[derive(Default)]
struct Counted(Mutex<u64>, Mutex<Vec<String>>);

impl Progress for Counted {
    fn advance(&self, n: u64) {
        *self.0.lock().unwrap() += n;
    }
    fn note(&self, text: &str) {
        self.1.lock().unwrap().push(text.to_owned());
    }
}

fn fetch(remote: &Remote, folder: &Path) -> Result<Arrived, FetchError> {
    client().file(remote, folder, &())
}

/// The file is there, right, and nothing else is.
fn check_arrived(folder: &Path) {
    assert_eq!(fs::read(folder.join("data.bin")).unwrap(), data());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "no part is left");
}

/// The file arrives in spite of what the server does first; returns the server.
fn arrives(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
    let server = Server::new(answer);
    let folder = TempDir::new().unwrap();
    let remote = remote(&[&server.url]);
    assert_eq!(fetch(&remote, folder.path()).unwrap(), Arrived::Now);
    check_arrived(folder.path());
    assert_eq!(fetch(&remote, folder.path()).unwrap(), Arrived::BeforeHand);
    server
}

/// Nothing arrives, and the message says why and what to do.
fn fails(why: &str, answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
    let server = Server::new(answer);
    let folder = TempDir::new().unwrap();
    let message = fetch(&remote(&[&server.url]), folder.path()).unwrap_err().to_string();
    assert!(message.contains(why), "{message}");
    assert!(message.contains("put the file data.bin (200000 bytes, SHA-256 "), "{message}");
    assert!(!folder.path().join("data.bin").exists());
    server
}

#[test]
fn a_good_server_is_asked_once() {
    let server = arrives(|_, request| good(request));
    assert_eq!(server.n_request(), 1);
    assert_eq!(server.request(0).line, "GET /data.bin HTTP/1.1");
    assert!(server.request(0).header("user-agent").unwrap().starts_with("batchlab/"));
}

#[test]
fn a_cut_connection_is_continued_where_it_broke() {
    let server = arrives(|n, request| Reply {
        cut: [Some(70_000), Some(0), Some(30_000), None][n.min(3)],
        ..good(request)
    });
    let starts: Vec<_> = (0..server.n_request()).map(|n| server.request(n).start()).collect();
    assert_eq!(starts, [None, Some(70_000), Some(70_000), Some(100_000)]);
    assert_eq!(server.request(1).header("if-range"), Some("\"v1\""));
}

#[test]
fn silence_counts_as_a_cut() {
    let server = arrives(|n, request| Reply {
        cut: (n == 0).then_some(5_000),
        silence: Duration::from_secs(if n == 0 { 6 } else { 0 }),
        ..good(request)
    });
    assert_eq!(server.request(1).start(), Some(5_000));
}

#[test]
fn what_an_earlier_program_left_is_continued() {
    let server = Server::new(|_, request| good(request));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data.bin.part"), &data()[..150_000]).unwrap();
    let counted = Counted::default();
    client().file(&remote(&[&server.url]), folder.path(), &counted).unwrap();
    check_arrived(folder.path());
    assert_eq!(server.request(0).start(), Some(150_000));
    assert_eq!(server.request(0).header("if-range"), None, "nobody knows of which version it is");
    assert_eq!(*counted.0.lock().unwrap(), 200_000);
}

#[test]
fn a_wrong_part_is_found_by_its_hash_and_fetched_whole() {
    let server = Server::new(|_, request| good(request));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data.bin.part"), vec![7; 150_000]).unwrap();
    let counted = Counted::default();
    client().file(&remote(&[&server.url]), folder.path(), &counted).unwrap();
    check_arrived(folder.path());
    assert_eq!(server.n_request(), 2);
    assert!(counted.1.lock().unwrap()[0].contains("fetching it whole"));
}

#[test]
fn a_part_that_is_too_long_is_dropped() {
    let server = Server::new(|_, request| good(request));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data.bin.part"), vec![7; 300_000]).unwrap();
    fetch(&remote(&[&server.url]), folder.path()).unwrap();
    check_arrived(folder.path());
}

#[test]
fn a_refused_range_begins_anew() {
    // 200 with everything, 416, and a range that does not fit.
    let cut = |n, reply: Reply| if n == 0 { Reply { cut: Some(1_000), ..reply } } else { reply };
    arrives(move |n, _| cut(n, whole()));
    arrives(move |n, request| match n {
        1 => failing("416 Range Not Satisfiable"),
        n => cut(n, good(request)),
    });
    let wrong = |range: &'static str| {
        arrives(move |n, request| match n {
            1 => Reply { headers: vec![range.into()], ..good(request) },
            n => cut(n, good(request)),
        })
    };
    wrong("content-range: bytes 0-199999/200000");
    wrong("content-range: bytes 1000-199999/300000");
    wrong("content-range: nonsense");
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in ["429 Too Many Requests", "503 Service Unavailable", "500 Internal Server Error"]
    {
        let server = arrives(move |n, request| if n < 2 { failing(status) } else { good(request) });
        assert_eq!(server.n_request(), 3);
    }
    let asked = |wait: &'static str| Reply {
        headers: vec![format!("retry-after: {wait}")],
        ..failing("429 Too Many Requests")
    };
    let start = std::time::Instant::now();
    arrives(move |n, request| if n == 0 { asked("1") } else { good(request) });
    assert!(start.elapsed() >= Duration::from_secs(1), "it waits as long as it was asked to");
    let server = fails("asks to wait 3600 s; try again later", move |_, _| asked("3600"));
    assert_eq!(server.n_request(), 1);
    let server =
        fails("503 Service Unavailable, 3 times", |_, _| failing("503 Service Unavailable"));
    assert_eq!(server.n_request(), 3);
}

#[test]
fn a_connection_that_always_breaks_is_given_up_only_without_progress() {
    let server = arrives(|_, request| Reply { cut: Some(20_000), ..good(request) });
    assert_eq!(server.n_request(), 10);
    let server = fails("3 times", |_, request| Reply { cut: Some(0), ..good(request) });
    assert_eq!(server.n_request(), 3);
}

/// Data come with every answer, and the file gets no longer.
#[test]
fn a_server_that_always_begins_anew_is_given_up() {
    let server = fails("3 times", |_, _| Reply { cut: Some(120_000), ..whole() });
    assert_eq!(server.n_request(), 3);
    let server = fails("3 times", |_, request| Reply { cut: Some(1), ..good(request) });
    assert_eq!(server.n_request(), 3);
    // Slowly, but it arrives.
    let server = arrives(|_, request| Reply { cut: Some(1_500), ..good(request) });
    assert_eq!(server.n_request(), 134);
}

#[test]
fn a_page_of_html_is_never_taken_for_data() {
    let page = "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head></html>";
    let html = move |kind: &'static str, body: &str| Reply {
        status: "200 OK",
        headers: vec![format!("content-type: {kind}")],
        body: body.as_bytes().to_vec(),
        ..Reply::default()
    };
    fails("a page of HTML, \"Just a moment...\"", move |_, _| {
        html("text/html; charset=utf-8", page)
    });
    // Of exactly the right length, and called data.
    let padded = page.to_owned() + &" ".repeat(200_000 - page.len());
    fails("a page of HTML, \"Just a moment...\"", move |_, _| {
        html("application/octet-stream", &padded)
    });
}

#[test]
fn wrong_files_are_refused() {
    fails("404 Not Found", |_, _| failing("404 Not Found"));
    fails("its file has 199999 bytes, not 200000", |_, _| Reply {
        body: vec![1; 199_999],
        ..whole()
    });
    fails("the SHA-256 is ", |_, _| Reply { body: vec![1; 200_000], ..whole() });
    let unstated = "transfer-encoding: identity\r\ncontent-length: 400000";
    fails("its file has 400000 bytes", move |_, _| Reply {
        headers: vec![unstated.into()],
        ..whole()
    });
    let message = {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("data.bin"), "mine").unwrap();
        fetch(&remote(&["http://127.0.0.1:9"]), folder.path()).unwrap_err().to_string()
    };
    assert!(message.contains("exists, but is not the file that was asked for"), "{message}");
}

#[test]
fn the_next_address_is_tried_and_every_failure_named() {
    let [broken, wrong, right] = [
        Server::new(|_, _| failing("404 Not Found")),
        Server::new(|_, _| Reply { body: vec![1; 200_000], ..whole() }),
        Server::new(|_, request| good(request)),
    ];
    let folder = TempDir::new().unwrap();
    fetch(&remote(&[&broken.url, &wrong.url, &right.url]), folder.path()).unwrap();
    check_arrived(folder.path());

    let folder = TempDir::new().unwrap();
    let nobody = "http://127.0.0.1:1";
    let message = fetch(&remote(&[&broken.url, nobody]), folder.path()).unwrap_err().to_string();
    assert!(message.contains(&broken.url) && message.contains(nobody), "{message}");
}

/// A part that one mirror began is continued by another: the hash is what counts.
#[test]
fn another_address_continues_the_file() {
    let breaking = Server::new(|n, _| match n {
        0 => Reply { cut: Some(120_000), ..whole() },
        _ => failing("404 Not Found"),
    });
    let right = Server::new(|_, request| good(request));
    let folder = TempDir::new().unwrap();
    fetch(&remote(&[&breaking.url, &right.url]), folder.path()).unwrap();
    check_arrived(folder.path());
    assert_eq!(right.request(0).start(), Some(120_000));
    assert_eq!(
        right.request(0).header("if-range"),
        None,
        "the name of a version is one server's own"
    );
}

#[test]
fn sums_find_changed_and_missing_files_and_names_stay_inside() {
    let folder = TempDir::new().unwrap();
    let [a, b] = ["a", "b"].map(|name| (name.to_owned(), sha256(name.as_bytes())));
    fs::write(folder.path().join("a"), "a").unwrap();
    fs::write(folder.path().join("b"), "changed").unwrap();
    sums::add(folder.path(), [a, b].into()).unwrap();
    sums::add(folder.path(), [("c".to_owned(), sha256(b"c"))].into()).unwrap();
    let (n, differences) = sums::check(folder.path()).unwrap();
    let names: Vec<_> =
        differences.iter().map(|d| (d.path.file_name().unwrap(), d.found.is_some())).collect();
    assert_eq!((n, names), (3, vec![("b".as_ref(), true), ("c".as_ref(), false)]));
    for name in ["../a", "/etc/passwd", ""] {
        fs::write(folder.path().join(sums::NAME), format!("{}  {name}\n", sha256(b""))).unwrap();
        assert!(
            matches!(sums::check(folder.path()), Err(FetchError::Sums { line: 1, .. })),
            "{name}"
        );
    }
}

#[test]
fn every_retry_is_said() {
    let server = Server::new(|n, request| match n {
        0 => failing("503 Service Unavailable"),
        _ => good(request),
    });
    let folder = TempDir::new().unwrap();
    let heard = Counted::default();
    client().file(&remote(&[&server.url]), folder.path(), &heard).unwrap();
    let url = &server.url;
    let expected =
        format!("{url}/data.bin: it answers 503 Service Unavailable; trying again in 0.001 s");
    assert_eq!(*heard.1.lock().unwrap(), [expected]);
}

#[test]
fn who_is_not_there_is_asked_twice() {
    // A port that was free a moment ago, and a name that is reserved for not existing.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, reason) in [
        (format!("http://{closed}"), "refused"),
        ("http://nobody.invalid".to_owned(), "lookup address information"),
    ] {
        let folder = TempDir::new().unwrap();
        let heard = Counted::default();
        let client = Client::new(Patience {
            attempts: 6,
            pause: Duration::from_millis(1),
            ..Patience::default()
        });
        let fault = client.file(&remote(&[&url]), folder.path(), &heard).unwrap_err().to_string();
        assert!(fault.contains(reason) && fault.contains(", 2 times"), "{fault}");
        assert_eq!(heard.1.lock().unwrap().len(), 1);
    }
}

#[test]
fn addresses_are_of_the_web() {
    for right in ["http://127.0.0.1:80", "https://example.org/a?b"] {
        assert_eq!(check_url(right), Ok(()));
    }
    for wrong in
        ["", "mirror", "ftp://example.org", "/data", "https://", "http:// a", "example.org/x"]
    {
        let fault = check_url(wrong).unwrap_err();
        assert!(fault.starts_with(&format!("`{wrong}` is not an address (")), "{fault}");
    }
}
