//! A partner's HTTP server with files, spoken by hand so that it can fail as real ones do: in the middle of a body.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Status 500 instead of an answer.
    Broken,
    /// Status 503 that asks for a second of patience.
    Busy,
    /// The head promises the whole body, and half of it comes.
    HalfBody,
}

#[derive(Default)]
struct State {
    /// By path, with the number of the version: its entity tag.
    files: BTreeMap<String, (u32, Vec<u8>)>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    requests: Vec<String>,
    /// The `Authorization` that is demanded.
    credentials: Option<String>,
}

/// The running server; it serves until the test process ends.
pub struct FileStub {
    /// Its address, without a path.
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl FileStub {
    /// Serves files, `/index.html` with links to all of them, and `/list.json` with their names and tags.
    /// Errors: no port is to be had.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || answer(stream, &served));
            }
        });
        Ok(Self { url, state })
    }

    /// Puts a file there, or another content in its place.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let version = state.files.get(path).map_or(1, |(version, _)| version + 1);
        state.files.insert(path.to_owned(), (version, bytes.into()));
    }

    /// The next requests for a path fail so, one after the other.
    pub fn fail(&self, path: &str, faults: &[Fault]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.faults.entry(path.to_owned()).or_default().extend(faults);
    }

    /// Demands this `Authorization` from now on.
    pub fn demand(&self, credentials: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).credentials = Some(credentials.to_owned());
    }

    /// The answers given, as `path status`.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let Some((path, headers)) = request(&stream) else { return };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = state.faults.get_mut(&path).and_then(VecDeque::pop_front);
    let (status, extra, body) = judge(&state, &path, &headers, fault);
    state.requests.push(format!("{path} {status}"));
    drop(state);
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{extra}Connection: close\r\n\r\n", body.len());
    let sent = if fault == Some(Fault::HalfBody) { &body[..body.len() / 2] } else { &body[..] };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn request(stream: &TcpStream) -> Option<(String, BTreeMap<String, String>)> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let heads = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
    let pair =
        |line: String| line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()));
    Some((path, heads.filter_map(pair).collect()))
}

fn judge(
    state: &State,
    path: &str,
    headers: &BTreeMap<String, String>,
    fault: Option<Fault>,
) -> (u16, String, Vec<u8>) {
    let header = |name: &str| headers.get(name).map(String::as_str);
    match fault {
        Some(Fault::Broken) => return (500, String::new(), b"broken".to_vec()),
        Some(Fault::Busy) => return (503, "Retry-After: 1\r\n".to_owned(), Vec::new()),
        _ if state.credentials.is_some() && header("authorization") != state.credentials.as_deref() => {
            return (401, String::new(), Vec::new());
        }
        _ => {}
    }
    match (path, state.files.get(path)) {
        ("/index.html", _) => (200, String::new(), index(state).into_bytes()),
        ("/list.json", _) => (200, String::new(), listing(state).into_bytes()),
        (_, None) => (404, String::new(), Vec::new()),
        (_, Some((version, bytes))) => {
            let tag = format!("\"v{version}\"");
            let known = header("if-none-match") == Some(&tag);
            let (status, body) = if known { (304, Vec::new()) } else { (200, bytes.clone()) };
            (status, format!("ETag: {tag}\r\n"), body)
        }
    }
}

fn index(state: &State) -> String {
    let link = |path: &String| format!("<a href=\"{path}\">{path}</a> 04-Oct-2021 06:00 12<br>\n");
    format!("<h1>Index</h1><a href=\"../\">..</a>\n{}", state.files.keys().map(link).collect::<String>())
}

fn listing(state: &State) -> String {
    let file = |(path, (version, bytes)): (&String, &(u32, Vec<u8>))| serde_json::json!({"name": path.trim_start_matches('/'), "size": bytes.len(), "etag": format!("v{version}")});
    serde_json::Value::Array(state.files.iter().map(file).collect()).to_string()
}
