//! Keeps the log's events in the raw area, and the log short.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Log, Logged};
use crate::sources::SourceError;
use crate::sources::raw::{Arrived, RawObject, RawStore};

/// The keeper's name among the log's readers.
const READER: &str = "raw";
/// Events in one raw file.
const FILE_EVENTS: usize = 50_000;

/// Copies what came to `raw/d/day=…/hour=…`, one file for an hour's part of a turn.
pub struct Keeper {
    /// The source's name: `d` in the default lake.
    pub name: String,
    pub log: Log,
    pub raw: RawStore,
    /// How long an id is remembered, and an event kept in the log, after it is in the raw area.
    pub remembered: TimeDelta,
}

impl Keeper {
    /// Copies everything the log has and the raw area has not; then forgets what is old and also in its table.
    /// - Shape: how many events were copied.
    /// - Errors: [`SourceError`]; the next turn goes on from the same place, into files of the same names.
    pub async fn keep(&self, in_table: i64, now: DateTime<Utc>) -> Result<u64, SourceError> {
        let mut copied = 0;
        loop {
            let kept = self.log.reader(READER).await?;
            let logged = self.log.after(kept, FILE_EVENTS).await?;
            let Some(last) = logged.last().map(|e| e.position) else {
                self.log.forget(kept.min(in_table), now - self.remembered).await?;
                return Ok(copied);
            };
            for hour in logged.chunk_by(|a, b| hour(a) == hour(b)) {
                self.file(hour).await?;
            }
            self.log.note(READER, last).await?;
            copied += logged.len() as u64;
        }
    }

    /// The files that keep the log's events, in the order of their positions.
    pub async fn files(&self) -> Result<Vec<String>, SourceError> {
        let mut files = self.raw.list(&self.name).await?;
        files.retain(|path| path.ends_with(".ndjson") && !path.ends_with("manifest.ndjson"));
        files.sort_unstable();
        Ok(files)
    }

    /// The events of such a file, as the log had them.
    /// - Errors: [`SourceError::Refused`] when they are not what its manifest says.
    pub async fn kept(&self, file: &str) -> Result<Vec<Logged>, SourceError> {
        let lines = self.raw.manifest(&format!("{file}.manifest.ndjson")).await?;
        let bytes = self.raw.bytes(file).await?;
        let (mut logged, mut rest) = (Vec::new(), bytes.as_ref());
        for line in lines {
            let size = usize::try_from(line.size).unwrap_or(usize::MAX);
            let run = rest.get(..size).filter(|run| crate::sources::raw::sha256(run) == line.sha256);
            let run =
                run.ok_or_else(|| SourceError::refused(format!("{file} has changed since it was stored")))?;
            logged.extend(events(&line, run));
            rest = &rest[size..];
        }
        Ok(logged)
    }

    /// One file; its manifest has a line for each run of events that were acknowledged together.
    async fn file(&self, events: &[Logged]) -> Result<(), SourceError> {
        let Some(first) = events.first() else { return Ok(()) };
        let at = instant(first);
        let path = format!(
            "{}/day={}/hour={}/{:012}.ndjson",
            self.name,
            at.format("%Y-%m-%d"),
            at.format("%H"),
            first.position
        );
        let runs: Vec<&[Logged]> = events.chunk_by(|a, b| a.received_at_ms == b.received_at_ms).collect();
        let lines: Vec<RawObject> = runs.into_iter().map(|run| self.line(run)).collect();
        let part =
            Arrived { name: String::new(), bytes: text(events), origin: self.origin(), about: json!({}) };
        self.raw.store_one(&path, part, at, &lines).await.map(drop)
    }

    fn line(&self, run: &[Logged]) -> RawObject {
        let bytes = text(run);
        let (from, to) = (run.first().map(|e| e.position), run.last().map(|e| e.position));
        RawObject {
            path: String::new(),
            size: bytes.len() as u64,
            sha256: crate::sources::raw::sha256(&bytes),
            origin: self.origin(),
            at: run.first().map(instant).unwrap_or_default(),
            about: json!({ "from": from, "to": to }),
        }
    }

    fn origin(&self) -> String {
        format!("log:{}", self.name)
    }
}

/// The events of a run; their positions follow each other.
fn events(line: &RawObject, run: &[u8]) -> Vec<Logged> {
    let from = line.about["from"].as_i64().unwrap_or_default();
    let texts = std::str::from_utf8(run).unwrap_or_default().lines();
    let logged = |(position, event): (i64, &str)| Logged {
        position,
        received_at_ms: line.at.timestamp_millis(),
        event: event.to_string(),
    };
    (from..).zip(texts).map(logged).collect()
}

fn text(events: &[Logged]) -> Bytes {
    let mut text = String::new();
    for event in events {
        text.push_str(&event.event);
        text.push('\n');
    }
    text.into()
}

fn instant(event: &Logged) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(event.received_at_ms).unwrap_or_default()
}

fn hour(event: &Logged) -> i64 {
    event.received_at_ms.div_euclid(3_600_000)
}
