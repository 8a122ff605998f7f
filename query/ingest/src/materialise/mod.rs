//! Analyses of kind table: the statement runs in a worker, its result becomes the analysis' next version (query/ingest/src/materialise).
//!
//! ```text
//! job `materialise` ─▶ engine.expand (rights, versions) ─▶ worker `files`/`materialise` ─▶ Parquet in scratch ─▶ publish Overwrite
//! ```
//! A run is a job of its table; it ends in the transaction that makes its result visible. Absent on purpose: schedules.

mod error;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catalog::{Column, Job, JobOutcome, Kind, NewJob, Outcome, Run, Table};
use chrono::{DateTime, TimeDelta, Utc};
use engine::Engine;
use engine::sandbox::{Materialise as Request, Written};
use identity::{JobId, Name, Principal};
use lake::failpoint;
use serde_json::{Value, json};
use worker::{Class, Lease, Pool};

pub use error::Error;
pub use progress::Counted;

use crate::publish::{Finished, Mode, Published, Publisher, Regions, Rows, Write};

/// Kind of a run's job.
pub const JOB_KIND: &str = "materialise";

/// Bytes after which a new file begins.
const TARGET_BYTES: u64 = 128 << 20;

/// Runs analyses. Cheap to clone.
#[derive(Clone)]
pub struct Materialise {
    engine: Engine,
    publisher: Publisher,
    pool: Pool,
    task: Duration,
    queue: Duration,
}

/// The job of one run, for `catalog.jobs().enqueue`. `request_id` is that of the call that asked for it.
pub fn new_run(principal: &Principal, table: &Table, request_id: &str, now: DateTime<Utc>) -> NewJob {
    let principal_json = serde_json::to_value(principal).unwrap_or_default();
    let payload = json!({ "name": table.name.table, "request_id": request_id });
    let job = NewJob::new(JOB_KIND, payload, now).of(principal.workspace);
    NewJob { table: Some(table.id), principal: principal_json, ..job }
}

impl Materialise {
    /// Runs of at most `task`, each waiting at most `queue` for a worker.
    pub fn new(engine: Engine, publisher: Publisher, pool: Pool, task: Duration, queue: Duration) -> Self {
        Self { engine, publisher, pool, task, queue }
    }

    /// Runs an analysis and makes its result visible; `job` ends with it. The version before stays visible on any failure.
    /// `counted` follows the rows as they are written. Errors: [`Error`].
    pub async fn run(
        &self,
        principal: &Principal,
        name: &Name,
        job: Option<JobId>,
        counted: &Counted,
        now: DateTime<Utc>,
    ) -> Result<Published, Error> {
        let table = self.publisher.catalog().find(principal.workspace, name).await?;
        let table = table
            .filter(|table| table.kind == Kind::Materialised)
            .ok_or_else(|| Error::Unknown(name.to_string()))?;
        let sql = table.sql.as_deref().unwrap_or_default();
        let params = table.params.as_array().cloned().unwrap_or_default();
        let expanded = self.engine.expand(principal, sql, &params, None, now).await?;
        let mut lease = self.lease(principal).await?;
        let request = Request {
            op: "materialise".to_owned(),
            plan: expanded.plan,
            sort: Vec::new(),
            target_bytes: TARGET_BYTES,
        };
        let request = serde_json::to_value(request).map_err(Error::internal)?;
        let reply = lease.run("files", &request, counted.over(expanded.files), self.task).await?;
        failpoint("materialise.after-query");
        let written: Written = serde_json::from_value(reply.head).map_err(Error::internal)?;
        self.counted_all(job, counted, written.rows).await?;
        let write = write(&table, &lease, &written, job, Utc::now());
        failpoint("materialise.before-commit");
        let published = self.publisher.write(&table, write).await?;
        failpoint("materialise.after-commit");
        Ok(published)
    }

    /// Notes all rows of a run before it ends: it ends with its commit, when its progress can no longer be written.
    async fn counted_all(&self, job: Option<JobId>, counted: &Counted, rows: u64) -> Result<(), Error> {
        counted.set(rows);
        let Some(job) = job else { return Ok(()) };
        let catalog = self.publisher.catalog();
        Ok(catalog.jobs().progress(job, catalog.owner(), 0.0, counted.rows()).await?)
    }

    async fn lease(&self, principal: &Principal) -> Result<Lease, Error> {
        Ok(self.pool.lease(principal.workspace, Class::Long, Instant::now() + self.queue).await?)
    }

    /// Does one run's job. Dropped, it is cancelled.
    pub async fn run_job(&self, job: &Job, counted: &Counted, now: DateTime<Utc>) -> Outcome {
        let principal: Result<Principal, _> = serde_json::from_value(job.principal.clone());
        let name = job.payload["name"].as_str().and_then(|name| Name::parse(name).ok());
        let (Ok(principal), Some(name)) = (principal, name) else {
            return Outcome::Failed { problem: crate::jobs::internal_problem() };
        };
        match self.run(&principal, &name, Some(job.id), counted, now).await {
            Ok(_) => Outcome::Succeeded { result: Some(result(&name)), meta: None },
            Err(error) if error.is_transient() => {
                Outcome::Retry { at: now + TimeDelta::seconds(5), problem: error.problem() }
            }
            Err(error) => Outcome::Failed { problem: error.problem() },
        }
    }
}

#[async_trait]
impl crate::jobs::Handler for Materialise {
    fn kind(&self) -> &'static str {
        JOB_KIND
    }

    async fn run(&self, job: &Job, run: &Run) -> Outcome {
        let counted = Counted::default();
        tokio::select! {
            outcome = self.run_job(job, &counted, Utc::now()) => outcome,
            () = counted.tell(run) => Outcome::Cancelled,
            () = run.cancelled().cancelled() => Outcome::Cancelled,
        }
    }
}

fn result(name: &Name) -> Value {
    json!({ "name": name })
}

fn write(
    table: &Arc<Table>,
    lease: &Lease,
    written: &Written,
    job: Option<JobId>,
    now: DateTime<Utc>,
) -> Write {
    let files = written.files.iter().map(|file| Finished {
        local: lease.scratch().join(&file.described.path),
        file: file.described.clone(),
    });
    let rows = Rows::Finished(Arc::clone(&written.schema), files.collect());
    let columns = written.columns.iter().map(|column| Column::new(&column.name, &column.sql_type)).collect();
    let outcome = Outcome::Succeeded {
        result: Some(json!({ "name": table.name.table })),
        meta: Some(json!({ "rows": written.rows })),
    };
    Write {
        regions: Regions::None,
        columns: Some(columns),
        job: job.map(|id| JobOutcome { id, outcome }),
        ..Write::new(rows, Mode::Overwrite, now)
    }
}
