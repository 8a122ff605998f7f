//! One line a request, written aside: the request pushes a small record into a bounded buffer and goes on; a thread
//! of its own writes the buffer out ten times a second. A full buffer drops lines and counts them.
//!
//! A line tells method, path, status, time, bytes, key id and request id. Never: the query (it may hold a customer's
//! values), headers, bodies, tokens.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use metrics::{Counter, counter};
use parking_lot::Mutex;
use serde::Serialize;

use super::trail::Trail;

const CAPACITY: usize = 65_536;
const EVERY: Duration = Duration::from_millis(100);

/// What is kept of a request until its line is written.
pub struct Record {
    pub trail: Arc<Trail>,
    pub at: DateTime<Utc>,
    pub status: u16,
    pub bytes: Option<u64>,
    pub micros: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    route: Option<&'static str>,
    status: u16,
    bytes: Option<u64>,
    micros: u64,
    peer: String,
    key: Option<String>,
    workspace: Option<String>,
}

/// The front's end of the log.
#[derive(Clone)]
pub struct AccessLog {
    buffer: Option<Arc<Mutex<Vec<Record>>>>,
    dropped: Counter,
}

impl AccessLog {
    /// Starts the writing thread; lines go to standard error like the rest of the log.
    pub fn start(enabled: bool) -> Self {
        let dropped = counter!("lakefront_access_log_dropped_total");
        if !enabled {
            return Self { buffer: None, dropped };
        }
        let buffer = Arc::new(Mutex::new(Vec::with_capacity(1024)));
        let end = Arc::downgrade(&buffer);
        let writing = move || {
            while let Some(buffer) = end.upgrade() {
                drain(&buffer);
                drop(buffer);
                thread::sleep(EVERY);
            }
        };
        if let Err(error) = thread::Builder::new().name("access-log".into()).spawn(writing) {
            tracing::warn!(%error, "the access log has no thread, lines are dropped");
        }
        Self { buffer: Some(buffer), dropped }
    }

    /// Keeps a record; never waits.
    pub fn push(&self, record: Record) {
        let Some(buffer) = &self.buffer else { return };
        let mut records = buffer.lock();
        if records.len() < CAPACITY {
            records.push(record);
        } else {
            drop(records);
            self.dropped.increment(1);
        }
    }

    /// Writes what is still held; for the end of the process.
    pub fn flush(&self) {
        if let Some(buffer) = &self.buffer {
            drain(buffer);
        }
    }
}

fn drain(buffer: &Mutex<Vec<Record>>) {
    let records = std::mem::take(&mut *buffer.lock());
    if records.is_empty() {
        return;
    }
    let mut text = Vec::with_capacity(records.len() * 320);
    for record in &records {
        if serde_json::to_writer(&mut text, &line(record)).is_ok() {
            text.push(b'\n');
        }
    }
    let _ = std::io::stderr().lock().write_all(&text); // nobody is left to tell when stderr is gone
}

fn line(record: &Record) -> Line<'_> {
    let trail = &record.trail;
    Line {
        timestamp: record.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        level: "INFO",
        message: "request",
        request_id: trail.id.to_string(),
        trace_id: trail.trace.as_deref(),
        method: trail.method.as_str(),
        path: trail.uri.path(),
        route: trail.route().map(|route| route.template),
        status: record.status,
        bytes: record.bytes,
        micros: record.micros,
        peer: trail.peer.to_string(),
        key: trail.caller().map(|caller| caller.key.to_string()),
        workspace: trail.caller().map(|caller| caller.slug.to_string()),
    }
}
