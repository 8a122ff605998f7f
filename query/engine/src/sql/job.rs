//! Statements that outlive their caller's patience: a job row, and the bytes of the result beside the workspace's tables.
//!
//! ```text
//! 10 s over ─▶ row `running` ─ the same task goes on ─▶ bytes to workspaces/<id>/results/<job> ─▶ row `succeeded`
//! respond-async ─▶ row `queued` ─▶ the runner calls `run` ─▶ the same end          (so does a restart)
//! ```

use std::time::Duration;

use catalog::{Job, NewJob, Outcome};
use chrono::{DateTime, TimeDelta, Utc};
use identity::{JobId, Principal, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use worker::Class;

use super::page::page;
use super::work::{Promotion, Ready, Seat, Statement};
use super::{Envelope, Pins, Sql};
use crate::cache::Flight;
use crate::{Answer, Facts, Format, Page, QueryError, TableMeta};

/// The kind of these jobs.
pub const SQL_JOB: &str = "sql";

/// After this without a heartbeat another process takes the job over.
const LEASE: Duration = Duration::from_secs(30);
const ATTEMPTS: i64 = 3;

/// All that is needed to run the statement again: the job row's payload.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    sql: String,
    params: Vec<Value>,
    limit: u64,
    format: Format,
    as_of: Option<DateTime<Utc>>,
    pins: Pins,
    /// Of the call that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// What the row says of a finished result.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    rows: u64,
    truncated: bool,
    format: Format,
    content_type: String,
    bytes: u64,
    sha256: String,
    tables: Vec<TableMeta>,
}

impl Sql {
    /// A job that has not begun. Errors: `lake-unavailable`.
    pub async fn enqueue(
        &self,
        ready: &Ready,
        asked_by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Job, QueryError> {
        let job = new_job(ready, asked_by, now)?;
        self.catalog.jobs().enqueue(job, now).await.map_err(QueryError::catalog)
    }

    /// Makes a job of a running statement and sees it through without its caller; where no long task fits now, it is queued to begin anew.
    pub async fn outgrown(
        &self,
        ready: &Ready,
        asked_by: Option<String>,
        flight: Flight,
        promotion: &Promotion,
        now: DateTime<Utc>,
    ) -> Result<Job, QueryError> {
        if !promotion.promote() {
            // A job must not hold a place that inline work of its workspace needs: it waits for a long one.
            drop(flight);
            return self.enqueue(ready, asked_by, now).await;
        }
        let job = new_job(ready, asked_by, now)?;
        let started = self.catalog.jobs().start(job, self.catalog.owner(), LEASE, now).await;
        let job = started.map_err(QueryError::catalog)?;
        let run = self.catalog.jobs().run(job.id, self.catalog.owner(), LEASE);
        let (me, workspace) = (self.clone(), ready.principal.workspace);
        tokio::spawn(async move { me.see_through(workspace, run, flight).await });
        Ok(job)
    }

    /// Waits for the page while `run` keeps the lease, and ends the job with it; a job that was cancelled or lost lets the flight go.
    async fn see_through(&self, workspace: WorkspaceId, run: catalog::Run, flight: Flight) {
        let outcome = tokio::select! {
            page = flight => self.keep(workspace, run.id(), page).await,
            () = run.cancelled().cancelled() => Outcome::Cancelled,
        };
        if run.is_lost() {
            return;
        }
        if let Err(error) = run.finish(&outcome, Utc::now()).await {
            tracing::warn!(job = %run.id(), %error, "the end of a job could not be written; it will run again");
        }
    }

    /// Stores the page of a job. Shape: how the job ended.
    async fn keep(
        &self,
        workspace: WorkspaceId,
        id: JobId,
        page: Result<std::sync::Arc<Page>, QueryError>,
    ) -> Outcome {
        let page = match page {
            Ok(page) => page,
            Err(error) => return failed(&error),
        };
        if let Err(error) = self.lake.objects().put(&place(workspace, id), page.body.clone()).await {
            return failed(&QueryError::lake(error));
        }
        let finished = Finished {
            rows: page.facts.rows,
            truncated: page.facts.truncated,
            format: page.format,
            content_type: page.format.content_type().to_owned(),
            bytes: page.body.len() as u64,
            sha256: hex(&Sha256::digest(&page.body)),
            tables: page.facts.tables.clone(),
        };
        Outcome::Succeeded {
            result: Some(json!(format!("/v1/jobs/{id}/result"))),
            meta: serde_json::to_value(finished).ok(),
        }
    }

    /// Runs a queued job of kind `sql` to its end; dropped, it stops. Time is that of the call: a job is a statement asked now over the
    /// versions pinned then.
    pub async fn run_job(&self, job: &Job, now: DateTime<Utc>) -> Outcome {
        match self.run_again(job, now).await {
            Ok((workspace, flight)) => self.keep(workspace, job.id, flight.await).await,
            Err(error @ (QueryError::Busy { .. } | QueryError::Lake(_) | QueryError::Catalog(_))) => {
                Outcome::Retry { at: now + TimeDelta::seconds(5), problem: problem(&error) }
            }
            Err(error) => failed(&error),
        }
    }

    async fn run_again(&self, job: &Job, now: DateTime<Utc>) -> Result<(WorkspaceId, Flight), QueryError> {
        let payload: Payload = serde_json::from_value(job.payload.clone()).map_err(QueryError::engine)?;
        let principal: Principal =
            serde_json::from_value(job.principal.clone()).map_err(QueryError::engine)?;
        let Payload { sql, params, limit, format, as_of, pins, request_id: _ } = payload;
        let statement = Statement {
            sql,
            params,
            limit,
            hidden: 0,
            sequential: false,
            format,
            as_of,
            shape: "sql".to_owned(),
        };
        let mut seat = Seat::new(principal.workspace, Class::Long, self.limits.job);
        let ready = self.ready(&principal, statement, Some(&pins), now, &mut seat).await?;
        let workspace = principal.workspace;
        Ok((workspace, self.start(ready, seat, Promotion::default(), Envelope::Sql)))
    }

    /// Starts a statement, joining an equal one that is under way. It stops when the last who waits for it leaves.
    pub fn start(&self, ready: Ready, mut seat: Seat, promotion: Promotion, envelope: Envelope) -> Flight {
        let (me, tag, volatile) = (self.clone(), ready.tag.clone(), ready.volatile);
        let fill = async move {
            let (answered, rows) = me.run_on(&ready, &mut seat, &promotion).await?;
            drop(seat);
            page(&ready, &answered, rows, envelope, ready.now)
        };
        self.cache.fly(&tag, !volatile, fill)
    }

    /// The stored page of a job that succeeded. Errors: `unknown-job` where there is none (any more).
    pub async fn result(&self, workspace: WorkspaceId, job: &Job) -> Result<Answer, QueryError> {
        let none = || QueryError::Refused {
            code: "unknown-job".to_owned(),
            detail: "this job has no result".to_owned(),
            errors: Vec::new(),
        };
        let meta = job.meta.clone().filter(|_| job.kind == SQL_JOB && job.workspace == Some(workspace));
        let finished: Finished = meta.and_then(|meta| serde_json::from_value(meta).ok()).ok_or_else(none)?;
        let body = self.lake.objects().get(&place(workspace, job.id)).await.map_err(|error| match error {
            lake::Error::NotFound => none(),
            other => QueryError::lake(other),
        })?;
        if body.len() as u64 != finished.bytes || hex(&Sha256::digest(&body)) != finished.sha256 {
            return Err(QueryError::lake(Damaged(job.id)));
        }
        let facts =
            Facts { rows: finished.rows, truncated: finished.truncated, next: None, tables: finished.tables };
        let etag = format!("\"{}\"", &finished.sha256[..32]);
        Ok(Answer { page: Page::new(body, finished.format, etag, facts).into(), hit: false })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the result of job {0} is not what was stored")]
struct Damaged(JobId);

/// Where a job's bytes lie: under the workspace, by generated names alone.
fn place(workspace: WorkspaceId, id: JobId) -> String {
    workspace.place(format_args!("results/{id}"))
}

fn new_job(ready: &Ready, request_id: Option<String>, now: DateTime<Utc>) -> Result<NewJob, QueryError> {
    let Statement { sql, params, limit, format, as_of, .. } = ready.statement.clone();
    let payload = Payload { sql, params, limit, format, as_of, pins: ready.pinned.pins(), request_id };
    let payload = serde_json::to_value(payload).map_err(QueryError::engine)?;
    let principal = serde_json::to_value(&*ready.principal).map_err(QueryError::engine)?;
    let job = NewJob::new(SQL_JOB, payload, now).of(ready.principal.workspace);
    Ok(NewJob { principal, max_attempts: ATTEMPTS, ..job })
}

fn problem(error: &QueryError) -> Value {
    json!({"code": error.code(), "detail": error.to_string(), "errors": error.errors()})
}

fn failed(error: &QueryError) -> Outcome {
    if matches!(error, QueryError::Engine(_) | QueryError::Lake(_) | QueryError::Catalog(_)) {
        tracing::error!(error = error as &dyn std::error::Error, "a SQL job failed on our side");
    }
    Outcome::Failed { problem: problem(error) }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
