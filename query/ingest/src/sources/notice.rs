//! A store's notification that an object is there (S3 event JSON): the source of files looks at once.
//!
//! ```text
//! {"Records": [{"eventName": "ObjectCreated:Put", …}]} ─▶ a run of the source, queued ─▶ acknowledged
//! ```
//! A notification is a hint and no more: which files are new, the look itself finds out. Absent on purpose: what of the
//! store was told (bucket, key), so that nobody can have us read what the lake does not declare.

use catalog::{Job, Status};
use chrono::{DateTime, TimeDelta, Utc};
use identity::JobId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Arrivals;
use crate::jobs::{RUN, Request};
use crate::lakefile::{FilesSpec, SourceSpec};

/// Which events say that there is something new.
const CREATED: &str = "ObjectCreated";

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// Records of objects that came.
    pub accepted: u64,
    /// Records of anything else.
    pub ignored: u64,
    /// The run that looks; one that waits already looks for all. `None` where nothing came.
    pub job: Option<JobId>,
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error("the body is no notification of a store: {0}")]
    Unreadable(String),
    #[error("the run cannot be queued now")]
    Catalog(#[from] catalog::Error),
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

/// How many records are of objects that came, and how many of anything else.
fn count(body: &[u8]) -> Result<(u64, u64), NoticeError> {
    let body: Value = serde_json::from_slice(body).map_err(|e| NoticeError::Unreadable(e.to_string()))?;
    // What a store sends to find out whether it is heard has no records.
    if body["Event"] == "s3:TestEvent" {
        return Ok((0, 1));
    }
    let written = Written::deserialize(body).map_err(|e| NoticeError::Unreadable(e.to_string()))?;
    let came = written.records.iter().filter(|record| is_of_new_object(record)).count() as u64;
    Ok((came, written.records.len() as u64 - came))
}

fn is_of_new_object(record: &Value) -> bool {
    let name = record["eventName"].as_str().unwrap_or_default();
    name.strip_prefix("s3:").unwrap_or(name).starts_with(CREATED) && record["s3"]["object"].is_object()
}

impl Arrivals {
    /// Whether a source of that name has files, so that a notification may be for it.
    pub fn has_files(&self, source: &str) -> bool {
        self.files_of(source).is_some()
    }

    fn files_of(&self, source: &str) -> Option<&FilesSpec> {
        match self.0.lakefile.sources.get(source)? {
            SourceSpec::Files(files) => Some(files),
            _ => None,
        }
    }

    /// Has a source of files looked at, because its store says that something is new. When it returns, the run is queued
    /// in the catalog: whichever node is there does it.
    /// - Errors: [`NoticeError`]; nothing is queued then.
    pub async fn noticed(
        &self,
        source: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Noticed, NoticeError> {
        let (accepted, ignored) = count(body)?;
        if accepted == 0 {
            return Ok(Noticed { accepted, ignored, job: None });
        }
        let settle_ms = self.files_of(source).map_or(0, |files| files.settle_ms);
        let settled = now + TimeDelta::milliseconds(i64::try_from(settle_ms).unwrap_or(0));
        let jobs = self.0.catalog.jobs();
        // A run that has not begun sees whatever is there now, unless it would find it unsettled.
        let waits = |job: &Job| {
            let late = settle_ms == 0 || job.run_at >= settled;
            job.status == Status::Queued && job.payload == payload(source) && late
        };
        let job = match jobs.open_of(RUN).await?.into_iter().find(waits) {
            Some(job) => job,
            None => {
                let mut new = Request::run(source, None).job(None, now);
                (new.payload, new.run_at) = (payload(source), settled);
                jobs.enqueue(new, now).await?
            }
        };
        Ok(Noticed { accepted, ignored, job: Some(job.id) })
    }
}

fn payload(source: &str) -> Value {
    json!({"pipeline": source, "for": null, "noticed": true})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_that_came_count() {
        let record = |name: &str| json!({"eventName": name, "s3": {"bucket": {"name": "lake"}, "object": {"key": "a.csv"}}});
        let names =
            ["ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete", ""];
        let body = json!({"Records": names.map(record), "EventName": "x"}).to_string();
        assert_eq!(count(body.as_bytes()).unwrap(), (2, 2));
        assert_eq!(count(br#"{"Records": [{"eventName": "ObjectCreated:Put"}, 7]}"#).unwrap(), (0, 2));
        assert_eq!(count(br#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#).unwrap(), (0, 1));
        for wrong in ["", "{}", "[]", "{\"Records\": 1}", "{\"Records\": [}"] {
            assert!(count(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
