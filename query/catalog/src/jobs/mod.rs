//! Jobs: long work that outlives its request and, by its row, the process.
//!
//! ```text
//! enqueue ─▶ queued ─claim─▶ running ─finish─▶ succeeded | failed | cancelled
//!              ▲                │ heartbeat keeps the lease
//!              └─ retry, or the lease runs out
//! ```

mod lease;
mod queue;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use database::Db;
use identity::{JobId, TableId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

pub(crate) use lease::done;
pub use run::Run;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl From<String> for Status {
    fn from(text: String) -> Self {
        let known = [Self::Queued, Self::Running, Self::Succeeded, Self::Cancelled];
        known.into_iter().find(|status| status.as_str() == text).unwrap_or(Self::Failed)
    }
}

/// One piece of long work.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: JobId,
    /// Whose it is; `None` for the platform's own.
    pub workspace: Option<WorkspaceId>,
    /// The analysis or dataset it works for.
    pub table: Option<TableId>,
    pub kind: String,
    /// All its handler needs to do it, again if need be.
    pub payload: Value,
    /// Who asked for it.
    pub principal: Value,
    pub status: Status,
    /// How often it was begun.
    pub attempts: i64,
    /// 0 to 100.
    pub percent: f64,
    pub rows: i64,
    pub result: Option<Value>,
    pub meta: Option<Value>,
    /// Why it failed, as a problem's body.
    pub problem: Option<Value>,
    pub cancel_requested: bool,
    pub run_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub lease_until: Option<DateTime<Utc>>,
}

/// A job to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    pub workspace: Option<WorkspaceId>,
    pub table: Option<TableId>,
    pub kind: String,
    pub payload: Value,
    /// The same key, within a workspace or the platform, is the same job.
    pub key: Option<String>,
    /// Of the jobs of one lane one runs at a time, whichever node holds it.
    pub lane: Option<String>,
    pub principal: Value,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// How often it may be begun before it is given up.
    pub max_attempts: i64,
}

impl NewJob {
    /// A job of the platform that may run at once, up to three times.
    pub fn new(kind: impl Into<String>, payload: Value, now: DateTime<Utc>) -> Self {
        Self {
            workspace: None,
            table: None,
            kind: kind.into(),
            payload,
            key: None,
            lane: None,
            principal: Value::Null,
            run_at: now,
            max_attempts: 3,
        }
    }

    /// The same for a workspace.
    pub fn of(self, workspace: WorkspaceId) -> Self {
        Self { workspace: Some(workspace), ..self }
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Succeeded {
        result: Option<Value>,
        meta: Option<Value>,
    },
    Failed {
        problem: Value,
    },
    Cancelled,
    /// Something that passes stood in its way: again at `at`, unless it was begun too often.
    Retry {
        at: DateTime<Utc>,
        problem: Value,
    },
}

/// What a heartbeat answers to whoever runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Go on.
    Go,
    /// Its caller has cancelled it: stop, and finish as cancelled.
    Cancel,
    /// It is another's now, or has ended: stop, and write nothing.
    Lost,
}

/// The job table; cheap to clone.
#[derive(Clone, Debug)]
pub struct Jobs {
    db: Db,
    here: Arc<run::Here>,
}

impl Jobs {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, here: Arc::default() }
    }

    /// Ready when a job is queued by this process: a runner need not wait for its next look.
    pub async fn woken(&self) {
        self.here.woken().await;
    }
}

/// The columns of [`JobRow`].
macro_rules! job_columns {
    () => {
        "id, workspace_id, table_id, kind, payload, principal, status, attempts, percent, row_count, result, meta, problem, \
         cancel_requested, run_at, created_at, started_at, ended_at, lease_until"
    };
}
use job_columns;

database::row! {
    struct JobRow {
        id: Uuid,
        workspace_id: Option<Uuid>,
        table_id: Option<Uuid>,
        kind: String,
        payload: Json<Value>,
        principal: Json<Value>,
        status: Status as String,
        attempts: i64,
        percent: f64,
        row_count: i64,
        result: Option<Json<Value>>,
        meta: Option<Json<Value>>,
        problem: Option<Json<Value>>,
        cancel_requested: bool,
        run_at: DateTime<Utc>,
        created_at: DateTime<Utc>,
        started_at: Option<DateTime<Utc>>,
        ended_at: Option<DateTime<Utc>>,
        lease_until: Option<DateTime<Utc>>,
    }
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: JobId::from_uuid(row.id),
            workspace: row.workspace_id.map(WorkspaceId::from_uuid),
            table: row.table_id.map(TableId::from_uuid),
            kind: row.kind,
            payload: row.payload.0,
            principal: row.principal.0,
            status: row.status,
            attempts: row.attempts,
            percent: row.percent,
            rows: row.row_count,
            result: row.result.map(|json| json.0),
            meta: row.meta.map(|json| json.0),
            problem: row.problem.map(|json| json.0),
            cancel_requested: row.cancel_requested,
            run_at: row.run_at,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            lease_until: row.lease_until,
        }
    }
}

fn jobs(rows: Vec<JobRow>) -> Vec<Job> {
    rows.into_iter().map(Job::from).collect()
}

/// The end of a lease that begins now.
fn lease_end(now: DateTime<Utc>, lease: std::time::Duration) -> DateTime<Utc> {
    database::instant(now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX / 4))
}
