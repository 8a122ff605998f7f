//! A job as it is answered.

use std::collections::BTreeMap;

use axum::response::Response;
use catalog::Status;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::One;
use crate::problem::{self, Kind, Problem};

/// Work that outlives its call.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10", "kind": "sql", "status": "succeeded",
    "progress": {"percent": 100.0, "rows": 0}, "result": "/v1/jobs/0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10/result",
    "problem": null, "created_at": "2026-02-01T06:00:00Z", "ended_at": "2026-02-01T06:00:01Z"}))]
pub struct Job {
    pub id: String,
    /// `sql`, `upload` or `materialise`; of the platform's own `run`, `backfill` or `rebuild`.
    pub kind: String,
    /// What the platform's own job is about: a source, a model's table, or `maintenance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The time a schedule planned it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<DateTime<Utc>>,
    #[schema(value_type = JobStatus)]
    pub status: &'static str,
    pub progress: Progress,
    /// Where the result is, once there is one.
    #[schema(required = true)]
    pub result: Option<String>,
    /// Why it failed.
    #[schema(required = true, value_type = Option<problem::Body<'static>>)]
    pub problem: Option<Value>,
    /// Of an upload that succeeded: by column, why it is text although it looks like numbers or dates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub notes: BTreeMap<String, String>,
    pub created_at: DateTime<Utc>,
    #[schema(required = true)]
    pub ended_at: Option<DateTime<Utc>>,
}

/// The words of `status`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the catalog names the status; this type describes it")]
pub enum JobStatus {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Serialize, ToSchema)]
pub struct Progress {
    pub percent: f64,
    /// Rows read (of an upload) or written (of an analysis) so far.
    pub rows: i64,
}

impl From<&catalog::Job> for Job {
    fn from(job: &catalog::Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            pipeline: own(job, "pipeline").map(str::to_owned),
            planned_at: own(job, "planned_at").and_then(|text| text.parse().ok()),
            status: job.status.as_str(),
            progress: Progress { percent: job.percent, rows: job.rows },
            result: (job.status == Status::Succeeded).then(|| result(job)),
            problem: job.problem.as_ref().map(|kept| problem(kept, job)),
            notes: notes(job),
            created_at: job.created_at,
            ended_at: job.ended_at,
        }
    }
}

/// A text of the payload of one of the platform's own jobs.
fn own<'a>(job: &'a catalog::Job, key: &str) -> Option<&'a str> {
    job.payload.get(key).filter(|_| job.workspace.is_none())?.as_str()
}

impl Job {
    /// 202 with the job, where it is, and when to look again.
    pub fn accepted(job: &catalog::Job) -> Response {
        let location = format!("/v1/jobs/{}", job.id);
        let mut response = One::new(Self::from(job)).at(StatusCode::ACCEPTED, &location);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

/// An upload's result is its dataset, an analysis' run its table; a statement's result are bytes.
fn result(job: &catalog::Job) -> String {
    let name = |place: &Value| place.get("name").and_then(Value::as_str).map(str::to_owned);
    let name = job.result.as_ref().and_then(name).or_else(|| name(&job.payload));
    match (job.kind.as_str(), name) {
        ("upload", Some(name)) => format!("/v1/datasets/{name}"),
        ("materialise", Some(name)) => format!("/v1/tables/my/{name}/rows"),
        _ => format!("/v1/jobs/{}/result", job.id),
    }
}

/// What an upload left beside its result.
fn notes(job: &catalog::Job) -> BTreeMap<String, String> {
    let kept =
        job.meta.as_ref().filter(|_| job.kind == ingest::upload::JOB_KIND).and_then(|meta| meta.get("notes"));
    kept.and_then(|notes| BTreeMap::deserialize(notes).ok()).unwrap_or_default()
}

/// A failed job's problem in the shape of every other: what the runner left has code, detail and errors. Its `request_id` is that
/// of the call that made the job, where that is known.
fn problem(kept: &Value, job: &catalog::Job) -> Value {
    let text = |key: &str| kept.get(key).and_then(Value::as_str);
    let kind = text("code").and_then(Kind::of).unwrap_or(Kind::JobFailed);
    let errors = kept.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let detail = text("detail").or_else(|| text("title")).unwrap_or(kind.title());
    let asked_by = job.payload.get("request_id").and_then(Value::as_str);
    Problem::because(kind, detail).with_errors(errors).into_value(asked_by.unwrap_or_default())
}
