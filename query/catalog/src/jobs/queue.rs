//! Asking for jobs and looking at them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use database::{instant, on, reading};
use identity::{JobId, TableId, WorkspaceId};
use sqlx::types::Json;

use super::{Job, JobRow, Jobs, NewJob, Status, job_columns, jobs, lease_end};
use crate::sql::storable;
use crate::{Error, Owner};

/// The cancellation of a job whose owner `$whose` names.
macro_rules! cancel_text {
    ($whose:literal) => {
        concat!(
            "UPDATE jobs SET
                 cancel_requested = CASE WHEN status IN ('queued', 'running') THEN TRUE ELSE cancel_requested END,
                 ended_at = CASE WHEN status = 'queued' THEN $2 ELSE ended_at END,
                 status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
             WHERE id = $1 AND ", $whose, " RETURNING ", job_columns!()
        )
    };
}

/// A job with the highest id of all: where a list begins.
const LAST: uuid::Uuid = uuid::Uuid::max();

impl Jobs {
    /// Queues a job; with a key that is known, gives the job that is there. Errors: [`Error::Database`].
    pub async fn enqueue(&self, new: NewJob, now: DateTime<Utc>) -> Result<Job, Error> {
        let job = self.add(new, None, now).await?;
        self.here.wake();
        Ok(job)
    }

    /// Records a job that is running here already (a statement that outgrew its wait), under a lease.
    /// With a key that is known, gives the job that is there, whoever runs it. Errors: [`Error::Database`].
    pub async fn start(
        &self,
        new: NewJob,
        owner: &Owner,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Job, Error> {
        self.add(new, Some((owner, lease_end(now, lease))), now).await
    }

    async fn add(
        &self,
        new: NewJob,
        lease: Option<(&Owner, DateTime<Utc>)>,
        now: DateTime<Utc>,
    ) -> Result<Job, Error> {
        // The update that changes nothing makes `RETURNING` give the row that is there.
        const ADD: &str = concat!(
            "INSERT INTO jobs (id, workspace_id, table_id, unique_key, kind, payload, principal, status, attempts, max_attempts,
                 percent, row_count, cancel_requested, run_at, created_at, started_at, lease_owner, lease_until, lane)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, FALSE, $11, $12, $13, $14, $15, $16)
             ON CONFLICT (unique_key) DO UPDATE SET unique_key = excluded.unique_key
             RETURNING ", job_columns!()
        );
        let status = if lease.is_some() { Status::Running } else { Status::Queued };
        let row: JobRow = on!(self.db, |pool| sqlx::query_as(ADD)
            .bind(JobId::new().as_uuid())
            .bind(new.workspace.map(|id| id.as_uuid()))
            .bind(new.table.map(|id| id.as_uuid()))
            .bind(unique_key(&new))
            .bind(&new.kind)
            .bind(Json(storable(new.payload.clone())))
            .bind(Json(&new.principal))
            .bind(status.as_str())
            .bind(i64::from(lease.is_some()))
            .bind(new.max_attempts)
            .bind(instant(new.run_at))
            .bind(instant(now))
            .bind(lease.map(|_| instant(now)))
            .bind(lease.map(|(owner, _)| owner.to_string()))
            .bind(lease.map(|(_, until)| until))
            .bind(&new.lane)
            .fetch_one(pool))?;
        Ok(row.into())
    }

    /// One of the workspace's jobs. Errors: [`Error::Database`].
    pub async fn get(&self, workspace: WorkspaceId, id: JobId) -> Result<Option<Job>, Error> {
        const GET: &str =
            concat!("SELECT ", job_columns!(), " FROM jobs WHERE workspace_id = $1 AND id = $2");
        let row: Option<JobRow> = reading!(self.db, |pool| sqlx::query_as(GET)
            .bind(workspace.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(pool))?;
        Ok(row.map(Job::from))
    }

    /// Any job, for whoever runs it. Errors: [`Error::Database`].
    pub async fn find(&self, id: JobId) -> Result<Option<Job>, Error> {
        const FIND: &str = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1");
        let row: Option<JobRow> =
            reading!(self.db, |pool| sqlx::query_as(FIND).bind(id.as_uuid()).fetch_optional(pool))?;
        Ok(row.map(Job::from))
    }

    /// The workspace's jobs, newest first, from the one before `before` on. Errors: [`Error::Database`].
    pub async fn list(
        &self,
        workspace: WorkspaceId,
        limit: i64,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        const LIST: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE workspace_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        self.page(LIST, Some(workspace), limit, before).await
    }

    /// The jobs of one table, newest first. Errors: [`Error::Database`].
    pub(crate) async fn of_table(
        &self,
        workspace: WorkspaceId,
        table: TableId,
        limit: i64,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        const LIST: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE workspace_id = $1 AND table_id = $2 AND id < $3
             ORDER BY id DESC LIMIT $4"
        );
        let rows = reading!(self.db, |pool| sqlx::query_as(LIST)
            .bind(workspace.as_uuid())
            .bind(table.as_uuid())
            .bind(before.map_or(LAST, |id| id.as_uuid()))
            .bind(limit)
            .fetch_all(pool))?;
        Ok(jobs(rows))
    }

    /// The platform's jobs, and those of `own` among them, newest first. For operators. Errors: [`Error::Database`].
    pub async fn list_platform(
        &self,
        own: Option<WorkspaceId>,
        limit: i64,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        const LIST: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE (workspace_id IS NULL OR workspace_id = $1) AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        self.page(LIST, own, limit, before).await
    }

    /// `list` of $1 a workspace, $2 the job to go on after, $3 how many.
    async fn page(
        &self,
        list: &'static str,
        workspace: Option<WorkspaceId>,
        limit: i64,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        let rows = reading!(self.db, |pool| sqlx::query_as(list)
            .bind(workspace.map(|id| id.as_uuid()))
            .bind(before.map_or(LAST, |id| id.as_uuid()))
            .bind(limit)
            .fetch_all(pool))?;
        Ok(jobs(rows))
    }

    /// One of the platform's own jobs. Errors: [`Error::Database`].
    pub async fn get_platform(&self, id: JobId) -> Result<Option<Job>, Error> {
        Ok(self.find(id).await?.filter(|job| job.workspace.is_none()))
    }

    /// Queues a job anew that has failed or was cancelled, with all its attempts; any other stays as it is.
    /// Errors: [`Error::Database`].
    pub async fn again(&self, id: JobId, now: DateTime<Utc>) -> Result<Option<Job>, Error> {
        const AGAIN: &str = concat!(
            "UPDATE jobs SET status = 'queued', attempts = 0, cancel_requested = FALSE, problem = NULL, percent = 0,
                 row_count = 0, ended_at = NULL, run_at = $2
             WHERE id = $1 AND status IN ('failed', 'cancelled') RETURNING ", job_columns!()
        );
        let row: Option<JobRow> = on!(self.db, |pool| sqlx::query_as(AGAIN)
            .bind(id.as_uuid())
            .bind(instant(now))
            .fetch_optional(pool))?;
        self.here.wake();
        Ok(row.map(Job::from))
    }

    /// How many of the workspace's jobs wait or run. Errors: [`Error::Database`].
    pub async fn open(&self, workspace: WorkspaceId) -> Result<i64, Error> {
        const OPEN: &str =
            "SELECT COUNT(*) FROM jobs WHERE workspace_id = $1 AND status IN ('queued', 'running')";
        Ok(reading!(self.db, |pool| sqlx::query_scalar(OPEN).bind(workspace.as_uuid()).fetch_one(pool))?)
    }

    /// All jobs of a kind that wait or run, whoever's they are: what a sweep must leave alone. Errors: [`Error::Database`].
    pub async fn open_of(&self, kind: &str) -> Result<Vec<Job>, Error> {
        const OPEN: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE kind = $1 AND status IN ('queued', 'running') ORDER BY id"
        );
        let rows = reading!(self.db, |pool| sqlx::query_as(OPEN).bind(kind).fetch_all(pool))?;
        Ok(jobs(rows))
    }

    /// Cancels a job: one that waits ends at once, one that runs here is told at once, elsewhere within a second; one that has ended
    /// stays as it is.
    /// `None` where the workspace has no such job. Errors: [`Error::Database`].
    pub async fn cancel(
        &self,
        workspace: WorkspaceId,
        id: JobId,
        now: DateTime<Utc>,
    ) -> Result<Option<Job>, Error> {
        const CANCEL: &str = cancel_text!("workspace_id = $3");
        let row = on!(self.db, |pool| sqlx::query_as(CANCEL)
            .bind(id.as_uuid())
            .bind(instant(now))
            .bind(workspace.as_uuid())
            .fetch_optional(pool))?;
        Ok(self.told(id, row))
    }

    /// The same of one of the platform's own jobs. Errors: [`Error::Database`].
    pub async fn cancel_platform(&self, id: JobId, now: DateTime<Utc>) -> Result<Option<Job>, Error> {
        const CANCEL: &str = cancel_text!("workspace_id IS NULL");
        let row = on!(self.db, |pool| sqlx::query_as(CANCEL)
            .bind(id.as_uuid())
            .bind(instant(now))
            .fetch_optional(pool))?;
        Ok(self.told(id, row))
    }

    /// Tells a job that runs here.
    fn told(&self, id: JobId, row: Option<JobRow>) -> Option<Job> {
        if row.is_some() {
            self.here.cancel(id);
        }
        row.map(Job::from)
    }
}

/// Keys of one workspace never meet those of another.
fn unique_key(new: &NewJob) -> Option<String> {
    let whose = new.workspace.map_or("platform".to_owned(), |id| id.to_string());
    new.key.as_ref().map(|key| format!("{whose}:{key}"))
}
