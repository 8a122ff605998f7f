//! One line a request, written by the request itself into a bounded buffer; a thread of its own carries the buffer out. A full
//! buffer drops lines and counts them.
//!
//! A line tells method, path, status, time, bytes, key id and request id. Never: the query (it may hold a customer's
//! values), headers, bodies, tokens.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use chrono::{DateTime, Utc};
use identity::{KeyId, RequestId};
use metrics::{Counter, counter};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::trail::Trail;

/// Bytes that may wait to be carried out.
const CAPACITY: usize = 16 << 20;
/// Bytes that are carried out at once, and kept as room for the next.
const FULL: usize = 256 << 10;
const EVERY: Duration = Duration::from_millis(100);
/// Bytes of a common line.
const LINE: usize = 512;

thread_local! {
    static LINES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(LINE));
}

/// The end of a request.
pub struct Record<'a> {
    pub trail: &'a Trail,
    pub at: DateTime<Utc>,
    pub status: u16,
    pub bytes: Option<u64>,
    pub micros: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "shown")]
    timestamp: Instant,
    level: &'static str,
    message: &'static str,
    #[serde(serialize_with = "shown")]
    request_id: RequestId,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    route: Option<&'static str>,
    status: u16,
    bytes: Option<u64>,
    micros: u64,
    #[serde(serialize_with = "shown")]
    peer: std::net::IpAddr,
    key: Option<KeyId>,
    workspace: Option<&'a str>,
}

/// RFC 3339 in UTC with microseconds.
struct Instant(DateTime<Utc>);

impl Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use chrono::{Datelike, Timelike};
        let (date, time) = (self.0.date_naive(), self.0.time());
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let micros = self.0.timestamp_subsec_micros();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

fn shown<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The front's end of the log.
#[derive(Clone)]
pub struct AccessLog {
    waiting: Option<Arc<Waiting>>,
    dropped: Counter,
}

/// Lines that wait for the writing thread.
struct Waiting {
    lines: Mutex<Vec<u8>>,
    writer: OnceLock<Thread>,
}

impl AccessLog {
    /// Starts the writing thread; lines go to standard error like the rest of the log.
    pub fn start(enabled: bool) -> Self {
        let dropped = counter!("lakefront_access_log_dropped_total");
        if !enabled {
            return Self { waiting: None, dropped };
        }
        let lines = Mutex::new(Vec::with_capacity(FULL));
        let waiting = Arc::new(Waiting { lines, writer: OnceLock::new() });
        let end = Arc::downgrade(&waiting);
        let writing = move || {
            let mut room = Vec::with_capacity(FULL);
            while let Some(waiting) = end.upgrade() {
                room = waiting.carry_out(room);
                drop(waiting);
                thread::park_timeout(EVERY);
            }
        };
        match thread::Builder::new().name("access-log".into()).spawn(writing) {
            Ok(writer) => drop(waiting.writer.set(writer.thread().clone())),
            Err(error) => tracing::warn!(%error, "the access log has no thread, lines are dropped"),
        }
        Self { waiting: Some(waiting), dropped }
    }

    /// Keeps the line of a request; never waits for who reads the log.
    pub fn push(&self, record: &Record<'_>) {
        let Some(waiting) = &self.waiting else { return };
        let kept = LINES.with_borrow_mut(|text| {
            text.clear();
            write_line(text, record).is_ok() && waiting.keep(text)
        });
        if !kept {
            self.dropped.increment(1);
        }
    }

    /// Writes what is still held; for the end of the process.
    pub fn flush(&self) {
        if let Some(waiting) = &self.waiting {
            waiting.carry_out(Vec::new());
        }
    }
}

impl Waiting {
    /// Adds a line, unless too many wait already.
    fn keep(&self, line: &[u8]) -> bool {
        let mut lines = self.lines.lock();
        let before = lines.len();
        if before + line.len() > CAPACITY {
            return false;
        }
        lines.extend_from_slice(line);
        let is_full = before < FULL && lines.len() >= FULL;
        drop(lines);
        if let Some(writer) = self.writer.get().filter(|_| is_full) {
            writer.unpark();
        }
        true
    }

    /// Writes what waits while `room` is filled anew. Shape: the room for the next time.
    fn carry_out(&self, room: Vec<u8>) -> Vec<u8> {
        let mut lines = std::mem::replace(&mut *self.lines.lock(), room);
        if !lines.is_empty() {
            let _ = std::io::stderr().lock().write_all(&lines); // nobody is left to tell when stderr is gone
        }
        lines.clear();
        lines.shrink_to(FULL);
        lines
    }
}

fn write_line(text: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *text, &line(record))?;
    text.push(b'\n');
    Ok(())
}

fn line<'a>(record: &Record<'a>) -> Line<'a> {
    let trail = record.trail;
    let caller = trail.caller();
    Line {
        timestamp: Instant(record.at),
        level: "INFO",
        message: "request",
        request_id: trail.id,
        trace_id: trail.trace.as_deref(),
        method: trail.method.as_str(),
        path: trail.uri.path(),
        route: trail.route().map(|route| route.template),
        status: record.status,
        bytes: record.bytes,
        micros: record.micros,
        peer: trail.peer,
        key: caller.map(|caller| caller.key),
        workspace: caller.map(|caller| caller.slug.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_with_six_digits_of_its_second() {
        let at = "2026-03-01T04:05:06.000007Z".parse().unwrap();
        assert_eq!(Instant(at).to_string(), "2026-03-01T04:05:06.000007Z");
    }

    #[test]
    fn lines_beyond_the_room_are_refused_and_those_before_are_kept() {
        let waiting = Waiting { lines: Mutex::default(), writer: OnceLock::new() };
        let line = vec![b'x'; CAPACITY / 2];
        assert!(waiting.keep(&line) && waiting.keep(&line));
        assert!(!waiting.keep(b"y"));
        assert_eq!(waiting.lines.lock().len(), CAPACITY);
    }
}
