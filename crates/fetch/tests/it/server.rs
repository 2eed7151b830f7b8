//! A server that answers as a test says, and a client that does not wait long.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use batchlab_fetch::{Client, Patience};

/// What was asked: the first line, and the headers in small letters.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.headers.iter().find_map(|header| header.strip_prefix(&start))
    }

    pub(crate) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body that are sent before the connection ends.
    pub(crate) cut: Option<usize>,
    /// Silence before it ends.
    pub(crate) silence: Duration,
}

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

fn serve(mut stream: TcpStream, answer: impl Fn(&Request) -> Reply, log: &Mutex<Vec<Request>>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let line = lines.next().unwrap_or_default();
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.map(|line| line.to_ascii_lowercase()).collect();
    let request = Request { line, headers };
    let reply = answer(&request);
    log.lock().unwrap().push(request);
    let length = reply.body.len();
    let mut head = vec![format!("HTTP/1.1 {}", reply.status), "connection: close".into()];
    head.extend(reply.headers);
    if !head.iter().any(|header| header.contains("content-length")) {
        head.push(format!("content-length: {length}"));
    }
    let head = head.join("\r\n") + "\r\n\r\n";
    // The client may hang up early.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&reply.body[..reply.cut.unwrap_or(length).min(length)]);
    thread::sleep(reply.silence);
}

impl Server {
    /// `answer` gets the number of the request, from 0.
    pub(crate) fn new(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let (stream, answer, log) =
                    (stream.unwrap(), Arc::clone(&answer), Arc::clone(&log));
                // A stalled connection must not block other clients.
                thread::spawn(move || serve(stream, |request| answer(n, request), &log));
            }
        });
        Self { url, requests }
    }

    pub(crate) fn n_request(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn request(&self, n: usize) -> Request {
        self.requests.lock().unwrap()[n].clone()
    }
}

pub(crate) fn failing(status: &'static str) -> Reply {
    Reply { status, body: b"no".to_vec(), ..Reply::default() }
}

pub(crate) fn client() -> Client {
    Client::new(Patience {
        attempts: 3,
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(5),
        silence: Duration::from_secs(2),
        between_pages: Duration::from_millis(20),
    })
}
