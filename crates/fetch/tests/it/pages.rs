//! Queries whose answer comes in pages.

use std::fs;
use std::path::Path;
use std::time::Duration;

use batchlab_fetch::aflux::{Pages, Query};
use batchlab_fetch::sums;
use tempfile::TempDir;

use crate::server::{Reply, Request, Server, client, failing};

/// Seven entries in pages of three.
fn page(request: &Request) -> Reply {
    let number = request.line.split("$paging(").nth(1).and_then(|rest| rest.split(',').next());
    let number: usize = number.unwrap().parse().unwrap();
    let entries: Vec<String> = (3 * (number - 1)..(3 * number).min(7))
        .map(|i| format!("{{\"auid\":\"aflow:{i:016x}\",\"Egap\":\"0.{i}\"}}"))
        .collect();
    let body = format!("[{}]", entries.join(",")).into_bytes();
    Reply { status: "200 OK", body, ..Reply::default() }
}

fn query(server: &Server, matchbook: &str) -> Query {
    let url = format!("{}/API/aflux/v1.0/", server.url);
    Query { url, matchbook: matchbook.into(), page_size: 3, max_page: 100 }
}

#[test]
fn all_pages_arrive_and_are_listed() {
    let server = Server::new(|_, request| page(request));
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("entries");
    let start = std::time::Instant::now();
    let pages = client().pages(&query(&server, "Egap(*),compound"), &to, &()).unwrap();
    assert_eq!(pages, Pages { n_page: 3, n_entry: 7, n_before: 0 });
    assert!(start.elapsed() >= Duration::from_millis(40), "two pauses between three pages");
    let line = "GET /API/aflux/v1.0/?Egap(*),compound,$paging(1,3) HTTP/1.1";
    assert_eq!(server.request(0).line, line);
    assert_eq!(sums::check(&to).unwrap(), (3, Vec::new()));
    assert!(!folder.path().join("entries.part").exists());
}

#[test]
fn an_interrupted_query_goes_on_where_it_stopped() {
    let server = Server::new(|n, request| match n {
        1 => failing("503 Service Unavailable"),
        2 => Reply { cut: Some(10), ..page(request) },
        3 => failing("404 Not Found"),
        _ => page(request),
    });
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("entries");
    let fetch = |matchbook| client().pages(&query(&server, matchbook), &to, &());
    let message = fetch("Egap(*)").unwrap_err().to_string();
    assert!(message.contains("page 2 of the query") && message.contains("goes on from there"));
    assert!(!to.exists(), "a part is not the whole");
    let message = fetch("Egap(1*)").unwrap_err().to_string();
    assert!(message.contains("begun with another query"), "{message}");
    assert_eq!(fetch("Egap(*)").unwrap(), Pages { n_page: 3, n_entry: 7, n_before: 1 });
    assert_eq!(server.n_request(), 6, "the first page is not asked for again");
}

#[test]
fn what_is_no_page_is_refused() {
    let fails = |body: &'static str, why: &str| {
        let server = Server::new(move |_, _| Reply {
            body: body.into(),
            status: "200 OK",
            ..Reply::default()
        });
        let folder = TempDir::new().unwrap();
        let fetched =
            client().pages(&query(&server, "Egap(*)"), &folder.path().join("entries"), &());
        let message = fetched.unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    };
    fails("<html><title>Error</title></html>", "a page of HTML, \"Error\"");
    fails("[{\"auid\":", "not JSON");
    fails("[1, 2]", "its page holds 1 in the place of an entry");
    fails("\"Egap is not a keyword\"", "neither a list nor an object");
    fails("null", "its page is `null`");
    fails("", "its first page is empty");
    fails("[{},{},{},{}]", "its page holds 4 entries, but 3 were asked for");
}

#[test]
fn a_page_that_is_too_long_is_refused_by_what_it_states() {
    // It states 3 GB and sends a byte: nothing waits for the rest.
    let server = Server::new(|_, _| Reply {
        status: "200 OK",
        headers: vec!["content-length: 3000000000".into()],
        body: b"[".to_vec(),
        silence: Duration::from_secs(1),
        ..Reply::default()
    });
    let to = TempDir::new().unwrap();
    let fetched = client().pages(&query(&server, "Egap(*)"), &to.path().join("entries"), &());
    let message = fetched.unwrap_err().to_string();
    assert!(message.contains("its page of 3 entries has more than 1048576 bytes"), "{message}");
    assert_eq!(server.n_request(), 1);
}

#[test]
fn a_page_that_comes_again_is_noticed() {
    let again = |request: &Request| {
        let line = request.line.replace("$paging(2,", "$paging(1,");
        page(&Request { line, headers: Vec::new() })
    };
    let server = Server::new(move |_, request| again(request));
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("entries");
    let message = client().pages(&query(&server, "Egap(*)"), &to, &()).unwrap_err().to_string();
    assert!(message.contains("all 3 entries of page 2 were on pages before it"), "{message}");
    assert!(!to.exists());
}

#[cfg(unix)]
#[test]
fn pages_have_the_rights_of_ordinary_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::new(|_, request| page(request));
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("entries");
    client().pages(&query(&server, "Egap(*)"), &to, &()).unwrap();
    fs::write(folder.path().join("ordinary"), "").unwrap();
    let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let ordinary = rights(&folder.path().join("ordinary"));
    for name in ["page-00001.json", "query.txt", sums::NAME] {
        assert_eq!(rights(&to.join(name)), ordinary, "{name}");
    }
}
