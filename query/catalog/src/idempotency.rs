//! Requests with an `Idempotency-Key`: the first answer is kept and given again.
//!
//! A request under way holds its key under a lease, so that a process that died does not block a retry.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::{Db, Run as _, Tx, instant, on, reading, within};
use identity::WorkspaceId;
use serde_json::Value;
use sqlx::types::Json;

use crate::publish::Answer;
use crate::sql::storable;
use crate::{Error, Owner};

/// What a key is worth to a request that brings it.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// Nobody has answered it: do the work, then complete or release it.
    New,
    /// The answer it had the first time.
    Replay(Value),
    /// The same key came with another body.
    Mismatch,
    /// The first request is still at work.
    InFlight,
}

/// A request with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<'a> {
    /// Method and path pattern; the same key on another route is another request.
    pub route: &'a str,
    pub key: &'a str,
    /// Digest of all that the caller sent.
    pub body_hash: &'a str,
}

/// The kept answers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Idempotency {
    db: Db,
    owner: Owner,
    keep: TimeDelta,
}

type Held = (String, Option<Json<Value>>);

impl Idempotency {
    pub(crate) fn new(db: Db, owner: Owner, keep: TimeDelta) -> Self {
        Self { db, owner, keep }
    }

    /// Takes the key for `lease`, the longest the request may be under way, or tells why not. Errors: [`Error::Database`].
    pub async fn begin(
        &self,
        workspace: WorkspaceId,
        request: Keyed<'_>,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Begin, Error> {
        let until = now + TimeDelta::from_std(lease).unwrap_or(self.keep);
        let mut tx = self.db.begin().await?;
        let begin = match self.take(&mut tx, workspace, request, until, now).await? {
            true => Begin::New,
            false => held(&mut tx, workspace, request).await?,
        };
        tx.commit().await?;
        Ok(begin)
    }

    /// Looks without taking the key: [`Begin::New`] where it is free. Errors: [`Error::Database`].
    pub async fn look(
        &self,
        workspace: WorkspaceId,
        request: Keyed<'_>,
        now: DateTime<Utc>,
    ) -> Result<Begin, Error> {
        const LOOK: &str = "SELECT body_hash, response FROM idempotency
             WHERE workspace_id = $1 AND route = $2 AND request_key = $3 AND expires_at > $4
               AND (response IS NOT NULL OR lease_until > $4)";
        let row: Option<Held> = reading!(self.db, |pool| sqlx::query_as(LOOK)
            .bind(workspace.as_uuid())
            .bind(request.route)
            .bind(request.key)
            .bind(instant(now))
            .fetch_optional(pool))?;
        Ok(row.map_or(Begin::New, |held| judge(held, request)))
    }

    /// Keeps the answer of a request that had [`Begin::New`]. Errors: [`Error::Database`].
    pub async fn complete(
        &self,
        workspace: WorkspaceId,
        request: Keyed<'_>,
        response: &Value,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const COMPLETE: &str = "UPDATE idempotency SET response = $4, expires_at = $5
             WHERE workspace_id = $1 AND route = $2 AND request_key = $3 AND response IS NULL";
        on!(self.db, |pool| sqlx::query(COMPLETE)
            .bind(workspace.as_uuid())
            .bind(request.route)
            .bind(request.key)
            .bind(Json(storable(response.clone())))
            .bind(instant(now + self.keep))
            .run(pool))?;
        Ok(())
    }

    /// Gives the key back after a failure that may be tried again; a kept answer stays. Errors: [`Error::Database`].
    pub async fn release(&self, workspace: WorkspaceId, request: Keyed<'_>) -> Result<(), Error> {
        const RELEASE: &str = "DELETE FROM idempotency
             WHERE workspace_id = $1 AND route = $2 AND request_key = $3 AND response IS NULL";
        on!(self.db, |pool| sqlx::query(RELEASE)
            .bind(workspace.as_uuid())
            .bind(request.route)
            .bind(request.key)
            .run(pool))?;
        Ok(())
    }

    /// Takes a free key, an expired one, or one whose holder is gone.
    async fn take(
        &self,
        tx: &mut Tx,
        workspace: WorkspaceId,
        request: Keyed<'_>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const TAKE: &str = "INSERT INTO idempotency (workspace_id, route, request_key, body_hash, response, lease_owner,
                 lease_until, expires_at)
             VALUES ($1, $2, $3, $4, NULL, $5, $6, $7)
             ON CONFLICT (workspace_id, route, request_key) DO UPDATE
               SET body_hash = excluded.body_hash, response = NULL, lease_owner = excluded.lease_owner,
                   lease_until = excluded.lease_until, expires_at = excluded.expires_at
               WHERE idempotency.expires_at <= $8 OR (idempotency.response IS NULL AND idempotency.lease_until <= $8)";
        let taken = within!(tx, |conn| sqlx::query(TAKE)
            .bind(workspace.as_uuid())
            .bind(request.route)
            .bind(request.key)
            .bind(request.body_hash)
            .bind(self.owner.to_string())
            .bind(instant(until))
            .bind(instant(now + self.keep))
            .bind(instant(now))
            .run(conn))?;
        Ok(taken == 1)
    }
}

async fn held(tx: &mut Tx, workspace: WorkspaceId, request: Keyed<'_>) -> Result<Begin, Error> {
    const HELD: &str = "SELECT body_hash, response FROM idempotency
         WHERE workspace_id = $1 AND route = $2 AND request_key = $3";
    let row = within!(tx, |conn| sqlx::query_as(HELD)
        .bind(workspace.as_uuid())
        .bind(request.route)
        .bind(request.key)
        .fetch_one(conn))?;
    Ok(judge(row, request))
}

fn judge((body_hash, response): Held, request: Keyed<'_>) -> Begin {
    match response {
        _ if body_hash != request.body_hash => Begin::Mismatch,
        Some(Json(response)) => Begin::Replay(response),
        None => Begin::InFlight,
    }
}

/// Keeps an answer inside the transaction that publishes its work, also where the key was lost meanwhile.
pub(crate) async fn keep(tx: &mut Tx, answer: &Answer, expires_at: DateTime<Utc>) -> Result<(), Error> {
    const KEEP: &str = "INSERT INTO idempotency (workspace_id, route, request_key, body_hash, response, lease_owner,
             lease_until, expires_at)
         VALUES ($1, $2, $3, $4, $5, '', $6, $6)
         ON CONFLICT (workspace_id, route, request_key) DO UPDATE
           SET body_hash = excluded.body_hash, response = excluded.response, expires_at = excluded.expires_at";
    within!(tx, |conn| sqlx::query(KEEP)
        .bind(answer.workspace.as_uuid())
        .bind(&answer.route)
        .bind(&answer.key)
        .bind(&answer.body_hash)
        .bind(Json(storable(answer.response.clone())))
        .bind(instant(expires_at))
        .run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, minute};

    const LEASE: Duration = Duration::from_secs(300);
    const FIRST: Keyed<'_> = Keyed { route: "POST /v1/sql", key: "k", body_hash: "h" };

    #[tokio::test]
    async fn the_first_answer_is_given_again_for_a_day() {
        for node in each().await {
            let (acme, keys) = (WorkspaceId::new(), node.idempotency());
            assert_eq!(keys.begin(acme, FIRST, LEASE, minute(0)).await.unwrap(), Begin::New);
            assert_eq!(keys.begin(acme, FIRST, LEASE, minute(1)).await.unwrap(), Begin::InFlight);
            keys.complete(acme, FIRST, &json!({"status": 201}), minute(1)).await.unwrap();
            assert_eq!(
                keys.begin(acme, FIRST, LEASE, minute(99)).await.unwrap(),
                Begin::Replay(json!({"status": 201}))
            );
            // A late release does not take an answer back.
            keys.release(acme, FIRST).await.unwrap();
            assert_eq!(
                keys.look(acme, FIRST, minute(99)).await.unwrap(),
                Begin::Replay(json!({"status": 201}))
            );
            assert_eq!(keys.begin(acme, FIRST, LEASE, minute(24 * 60 + 2)).await.unwrap(), Begin::New);
        }
    }

    #[tokio::test]
    async fn another_body_under_the_same_key_is_told_apart() {
        for node in each().await {
            let (acme, keys) = (WorkspaceId::new(), node.idempotency());
            let other = Keyed { body_hash: "other", ..FIRST };
            keys.begin(acme, FIRST, LEASE, minute(0)).await.unwrap();
            assert_eq!(keys.begin(acme, other, LEASE, minute(1)).await.unwrap(), Begin::Mismatch);
            keys.complete(acme, FIRST, &json!(1), minute(1)).await.unwrap();
            assert_eq!(keys.begin(acme, other, LEASE, minute(2)).await.unwrap(), Begin::Mismatch);
            // Another route or another customer is another request.
            let elsewhere = Keyed { route: "POST /v1/datasets", ..other };
            assert_eq!(keys.begin(acme, elsewhere, LEASE, minute(2)).await.unwrap(), Begin::New);
            assert_eq!(keys.begin(WorkspaceId::new(), other, LEASE, minute(2)).await.unwrap(), Begin::New);
        }
    }

    #[tokio::test]
    async fn a_request_that_failed_or_died_can_be_made_again() {
        for node in each().await {
            let (acme, keys) = (WorkspaceId::new(), node.idempotency());
            keys.begin(acme, FIRST, LEASE, minute(0)).await.unwrap();
            keys.release(acme, FIRST).await.unwrap();
            assert_eq!(keys.begin(acme, FIRST, LEASE, minute(1)).await.unwrap(), Begin::New);
            assert_eq!(keys.begin(acme, FIRST, LEASE, minute(7)).await.unwrap(), Begin::New);
            let restarted = node.again("local").await;
            restarted.restart(minute(8)).await.unwrap();
            assert_eq!(
                restarted.idempotency().begin(acme, FIRST, LEASE, minute(8)).await.unwrap(),
                Begin::New
            );
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_at_once_one_does_the_work() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let callers = (0..8).map(|_| {
                let keys = node.idempotency();
                tokio::spawn(async move { keys.begin(acme, FIRST, LEASE, minute(0)).await.unwrap() })
            });
            let mut new = 0;
            for caller in callers.collect::<Vec<_>>() {
                new += usize::from(caller.await.unwrap() == Begin::New);
            }
            assert_eq!(new, 1);
        }
    }
}
