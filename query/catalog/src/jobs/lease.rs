//! Running jobs: a claim gives a lease, heartbeats keep it, and only who holds it may end the job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use database::{Kind, Run as _, Tx, instant, on, reading, within};
use identity::JobId;
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{Beat, Job, JobRow, Jobs, Outcome, Status, job_columns, lease_end};
use crate::publish::JobOutcome;
use crate::sql::{elements, text_for};
use crate::{Error, Owner};

/// Waiting for its time to come, or left behind by whoever ran it.
macro_rules! due {
    () => {
        "((j.status = 'queued' AND j.run_at <= $1) OR (j.status = 'running' AND j.lease_until < $1))"
    };
}

/// No other job of its lane is at work.
macro_rules! free {
    () => {
        "(j.lane IS NULL OR NOT EXISTS (SELECT 1 FROM jobs r WHERE r.lane = j.lane AND r.status = 'running' AND r.id <> j.id))"
    };
}

/// Takes one job, if it is due and its lane is free.
macro_rules! take_text {
    () => {
        concat!(
            "UPDATE jobs SET status = 'running', attempts = attempts + 1, lease_owner = $3, lease_until = $4,
                 started_at = COALESCE(started_at, $1), problem = NULL
             WHERE id = (SELECT j.id FROM jobs j WHERE ",
            due!(),
            " AND j.id = $2
                 AND j.attempts < j.max_attempts AND NOT j.cancel_requested AND ",
            free!(),
            ")
             RETURNING ",
            job_columns!()
        )
    };
}

macro_rules! peek_text {
    ($database:ident) => {
        concat!(
            "SELECT j.id FROM jobs j WHERE ",
            due!(),
            " AND j.kind IN (SELECT value FROM ",
            elements!($database, "$2"),
            ") LIMIT 1"
        )
    };
}

/// The workspace with the fewest running jobs comes first, then the oldest job.
macro_rules! claim_text {
    ($database:ident, $lock:literal) => {
        concat!(
            "UPDATE jobs SET status = 'running', attempts = attempts + 1, lease_owner = $3, lease_until = $4,
                 started_at = COALESCE(started_at, $1), problem = NULL
             WHERE id = (SELECT j.id FROM jobs j WHERE ", due!(), "
                 AND j.kind IN (SELECT value FROM ", elements!($database, "$2"), ")
                 AND j.attempts < j.max_attempts AND NOT j.cancel_requested AND ", free!(), "
                 ORDER BY (SELECT COUNT(*) FROM jobs r WHERE r.workspace_id = j.workspace_id AND r.status = 'running'),
                     j.run_at, j.id
                 LIMIT 1", $lock, ")
             RETURNING ", job_columns!()
        )
    };
}

impl Jobs {
    /// Takes the next job of those kinds, under a lease; jobs whose lease ran out are taken again. `None` where nothing waits.
    /// Errors: [`Error::Database`].
    pub async fn claim(
        &self,
        owner: &Owner,
        kinds: &[&str],
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Job>, Error> {
        if !self.is_any_due(kinds, now).await? {
            return Ok(None);
        }
        self.bury(now).await?;
        self.leave_lanes(now).await?;
        let sql = match self.db.kind() {
            Kind::Sqlite => claim_text!(sqlite, ""),
            Kind::Postgres => claim_text!(postgres, " FOR UPDATE OF j SKIP LOCKED"),
        };
        taken(on!(self.db, |pool| sqlx::query_as(sql)
            .bind(instant(now))
            .bind(Json(kinds))
            .bind(owner.to_string())
            .bind(lease_end(now, lease))
            .fetch_optional(pool)))
    }

    /// Takes this very job, under a lease; `None` while another runs it or one of its lane, and when it has ended.
    /// Errors: [`Error::Database`].
    pub async fn take(
        &self,
        id: JobId,
        owner: &Owner,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Job>, Error> {
        self.bury(now).await?;
        self.leave_lanes(now).await?;
        taken(on!(self.db, |pool| sqlx::query_as(take_text!())
            .bind(instant(now))
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(lease_end(now, lease))
            .fetch_optional(pool)))
    }

    /// Puts back what dead processes held, so that it does not bar its lane. Errors: [`Error::Database`].
    async fn leave_lanes(&self, now: DateTime<Utc>) -> Result<(), Error> {
        const LEAVE: &str =
            "UPDATE jobs SET status = 'queued', lease_owner = NULL, lease_until = NULL, percent = 0
             WHERE lane IS NOT NULL AND status = 'running' AND lease_until < $1";
        on!(self.db, |pool| sqlx::query(LEAVE).bind(instant(now)).run(pool))?;
        Ok(())
    }

    /// A look that writes nothing, so that an idle runner does not hold up writers.
    async fn is_any_due(&self, kinds: &[&str], now: DateTime<Utc>) -> Result<bool, Error> {
        let sql = text_for!(self.db.kind(), peek_text);
        let due: Option<uuid::Uuid> = reading!(self.db, |pool| sqlx::query_scalar(sql)
            .bind(instant(now))
            .bind(Json(kinds))
            .fetch_optional(pool))?;
        Ok(due.is_some())
    }

    /// Ends the jobs that nobody runs any more and nobody may begin again.
    async fn bury(&self, now: DateTime<Utc>) -> Result<(), Error> {
        const BURY: &str = "UPDATE jobs SET ended_at = $1, lease_owner = NULL, lease_until = NULL,
                 status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'failed' END,
                 problem = CASE WHEN cancel_requested THEN NULL ELSE COALESCE(problem, $2) END
             WHERE (status = 'running' AND lease_until < $1 AND (cancel_requested OR attempts >= max_attempts))
                OR (status = 'queued' AND attempts >= max_attempts)";
        on!(self.db, |pool| sqlx::query(BURY).bind(instant(now)).bind(Json(interrupted())).run(pool))?;
        Ok(())
    }

    /// Keeps the lease and asks how things stand. Errors: [`Error::Database`].
    pub async fn heartbeat(
        &self,
        id: JobId,
        owner: &Owner,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Beat, Error> {
        const KEEP: &str =
            "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_owner = $2 AND status = 'running'
             RETURNING cancel_requested";
        let cancelled: Option<bool> = on!(self.db, |pool| sqlx::query_scalar(KEEP)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(lease_end(now, lease))
            .fetch_optional(pool))?;
        Ok(beat(cancelled))
    }

    /// Asks how things stand without keeping the lease, and without a write. Errors: [`Error::Database`].
    pub async fn look(&self, id: JobId, owner: &Owner) -> Result<Beat, Error> {
        const LOOK: &str =
            "SELECT cancel_requested FROM jobs WHERE id = $1 AND lease_owner = $2 AND status = 'running'";
        let cancelled: Option<bool> = reading!(self.db, |pool| sqlx::query_scalar(LOOK)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .fetch_optional(pool))?;
        Ok(beat(cancelled))
    }

    /// Notes how far it is: 0 to 100, and rows done so far. Errors: [`Error::Database`].
    pub async fn progress(&self, id: JobId, owner: &Owner, percent: f64, rows: i64) -> Result<(), Error> {
        const PROGRESS: &str = "UPDATE jobs SET percent = $3, row_count = $4 WHERE id = $1 AND lease_owner = $2 AND status = 'running'";
        let percent = if percent.is_finite() { percent.clamp(0.0, 100.0) } else { 0.0 };
        on!(self.db, |pool| sqlx::query(PROGRESS)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(percent)
            .bind(rows)
            .run(pool))?;
        Ok(())
    }

    /// Ends a job, or has it tried again. False where the caller no longer holds it: then nothing changed.
    /// Errors: [`Error::Database`].
    pub async fn finish(
        &self,
        id: JobId,
        owner: &Owner,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        if let Outcome::Retry { at, problem } = outcome {
            return self.retry(id, owner, (*at, problem), now).await;
        }
        const FINISH: &str = "UPDATE jobs SET status = $3, result = $4, meta = $5, problem = $6, ended_at = $7,
                 percent = CASE WHEN $3 = 'succeeded' THEN 100 ELSE percent END, lease_owner = NULL, lease_until = NULL
             WHERE id = $1 AND lease_owner = $2 AND status = 'running'";
        let end = End::of(outcome);
        let finished = on!(self.db, |pool| sqlx::query(FINISH)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(end.status.as_str())
            .bind(end.result.map(Json))
            .bind(end.meta.map(Json))
            .bind(end.problem.map(Json))
            .bind(instant(now))
            .run(pool))?;
        Ok(finished == 1)
    }

    /// Puts a job back as if it had not been begun; one that was to be cancelled is. False where the caller does not hold it.
    pub(super) async fn give_back(
        &self,
        id: JobId,
        owner: &Owner,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const GIVE_BACK: &str =
            "UPDATE jobs SET attempts = attempts - 1, lease_owner = NULL, lease_until = NULL, percent = 0,
                 status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
                 ended_at = CASE WHEN cancel_requested THEN $3 ELSE NULL END
             WHERE id = $1 AND lease_owner = $2 AND status = 'running'";
        let given = on!(self.db, |pool| sqlx::query(GIVE_BACK)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(instant(now))
            .run(pool))?;
        Ok(given == 1)
    }

    async fn retry(
        &self,
        id: JobId,
        owner: &Owner,
        (at, problem): (DateTime<Utc>, &Value),
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const RETRY: &str =
            "UPDATE jobs SET problem = $3, lease_owner = NULL, lease_until = NULL, percent = 0,
                 status = CASE WHEN cancel_requested THEN 'cancelled'
                               WHEN attempts >= max_attempts THEN 'failed' ELSE 'queued' END,
                 run_at = $4,
                 ended_at = CASE WHEN cancel_requested OR attempts >= max_attempts THEN $5 ELSE NULL END
             WHERE id = $1 AND lease_owner = $2 AND status = 'running'";
        let retried = on!(self.db, |pool| sqlx::query(RETRY)
            .bind(id.as_uuid())
            .bind(owner.to_string())
            .bind(Json(problem))
            .bind(instant(at))
            .bind(instant(now))
            .run(pool))?;
        Ok(retried == 1)
    }
}

/// A job that was claimed. Two nodes that claim two jobs of a lane at once: the schema lets one of them, the other finds nothing.
fn taken(row: Result<Option<JobRow>, database::Error>) -> Result<Option<Job>, Error> {
    match row {
        Err(database::Error::Constraint { name }) if name == "jobs_lane" => Ok(None),
        row => Ok(row?.map(Job::from)),
    }
}

fn beat(cancelled: Option<bool>) -> Beat {
    match cancelled {
        Some(false) => Beat::Go,
        Some(true) => Beat::Cancel,
        None => Beat::Lost,
    }
}

fn interrupted() -> Value {
    json!({"code": "internal", "title": "Internal error", "status": 500, "detail": "the job was interrupted too often"})
}

/// What a final outcome writes.
struct End<'a> {
    status: Status,
    result: Option<&'a Value>,
    meta: Option<&'a Value>,
    problem: Option<&'a Value>,
}

impl<'a> End<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let empty = Self { status: Status::Cancelled, result: None, meta: None, problem: None };
        match outcome {
            Outcome::Succeeded { result, meta } => {
                Self { status: Status::Succeeded, result: result.as_ref(), meta: meta.as_ref(), ..empty }
            }
            Outcome::Failed { problem } | Outcome::Retry { problem, .. } => {
                Self { status: Status::Failed, problem: Some(problem), ..empty }
            }
            Outcome::Cancelled => empty,
        }
    }
}

/// Ends a job inside the transaction that publishes its work, whoever holds it: the work is done.
pub(crate) async fn done(tx: &mut Tx, job: &JobOutcome, at: DateTime<Utc>) -> Result<(), Error> {
    const DONE: &str = "UPDATE jobs SET status = $2, result = $3, meta = $4, problem = $5, ended_at = $6,
             percent = CASE WHEN $2 = 'succeeded' THEN 100 ELSE percent END, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND status IN ('queued', 'running')";
    let end = End::of(&job.outcome);
    within!(tx, |conn| sqlx::query(DONE)
        .bind(job.id.as_uuid())
        .bind(end.status.as_str())
        .bind(end.result.map(Json))
        .bind(end.meta.map(Json))
        .bind(end.problem.map(Json))
        .bind(at)
        .run(conn))?;
    Ok(())
}
