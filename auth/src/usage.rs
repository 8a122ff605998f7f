//! What customers use: counted in memory, added to the database once a second by one task.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use database::{Db, Run, reading, within};
use identity::{KeyId, WorkspaceId};
use parking_lot::Mutex;

use crate::{Auth, Error};

/// What is counted, a workspace and UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Requests,
    UploadBytes,
    QueryMillis,
}

impl Measure {
    pub const fn as_str(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::UploadBytes => "upload_bytes",
            Measure::QueryMillis => "query_millis",
        }
    }
}

type Sums = HashMap<(WorkspaceId, Measure), i64>;

/// What was not yet written. Several sums side by side, so that threads seldom meet.
#[derive(Default)]
pub(crate) struct Usage {
    sums: [Mutex<Sums>; 8],
}

impl Usage {
    fn add(&self, workspace: WorkspaceId, measure: Measure, amount: i64) {
        // The last byte of a v7 id is random.
        let shard = usize::from(workspace.as_uuid().as_bytes()[15]) % self.sums.len();
        *self.sums[shard].lock().entry((workspace, measure)).or_default() += amount;
    }

    fn take(&self) -> Sums {
        self.sums.iter().flat_map(|sums| std::mem::take(&mut *sums.lock())).collect()
    }
}

impl Auth {
    /// Counts what a workspace used. Costs no I/O; a crash loses the last second of it.
    pub fn used(&self, workspace: WorkspaceId, measure: Measure, amount: u64) {
        self.0.usage.add(workspace, measure, i64::try_from(amount).unwrap_or(i64::MAX));
    }

    /// What a workspace used on a UTC day, as `(measure, amount)`.
    pub async fn usage_of(
        &self,
        workspace: WorkspaceId,
        day: NaiveDate,
    ) -> Result<Vec<(String, i64)>, Error> {
        const OF_DAY: &str =
            "SELECT measure, amount FROM usage WHERE workspace_id = $1 AND day = $2 ORDER BY measure";
        Ok(reading!(self.db(), |pool| sqlx::query_as(OF_DAY)
            .bind(workspace.as_uuid())
            .bind(day)
            .fetch_all(pool))?)
    }

    /// Writes what is still to be written; to be called when the server ends.
    pub async fn close(&self) -> Result<(), Error> {
        self.write_usage(Utc::now()).await
    }

    /// Writes what was counted and which keys were used. What cannot be written is counted again.
    pub(crate) async fn write_usage(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let (sums, uses) = (self.0.usage.take(), self.0.seen.take_uses());
        if sums.is_empty() && uses.is_empty() {
            return Ok(());
        }
        let written = write(self.db(), now, &sums, &uses).await;
        if written.is_err() {
            for ((workspace, measure), amount) in sums {
                self.0.usage.add(workspace, measure, amount);
            }
        }
        Ok(written?)
    }
}

async fn write(
    db: &Db,
    now: DateTime<Utc>,
    sums: &Sums,
    uses: &HashMap<KeyId, i64>,
) -> Result<(), database::Error> {
    const ADD: &str = "INSERT INTO usage (workspace_id, day, measure, amount) VALUES ($1, $2, $3, $4)
        ON CONFLICT (workspace_id, day, measure) DO UPDATE SET amount = usage.amount + excluded.amount";
    const USED: &str = "UPDATE api_keys SET last_used_at = $2
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
    let mut tx = db.begin().await?;
    // In one order on every node, so that two of them never wait for each other.
    let mut sums: Vec<_> = sums.iter().collect();
    sums.sort_by_key(|((workspace, measure), _)| (*workspace, measure.as_str()));
    for ((workspace, measure), amount) in sums {
        within!(tx, |conn| sqlx::query(ADD)
            .bind(workspace.as_uuid())
            .bind(now.date_naive())
            .bind(measure.as_str())
            .bind(amount)
            .run(conn))?;
    }
    let mut uses: Vec<_> = uses.iter().collect();
    uses.sort();
    for (key, at) in uses {
        let at = DateTime::from_timestamp(*at, 0).unwrap_or(now);
        within!(tx, |conn| sqlx::query(USED).bind(key.to_string()).bind(at).run(conn))?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{READ, customer, each};

    #[tokio::test]
    async fn usage_adds_up_by_day() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await.workspace, Utc::now());
            for amount in [1, 2] {
                at.auth.used(acme, Measure::Requests, amount);
                at.auth.write_usage(now).await.unwrap();
            }
            at.auth.used(acme, Measure::UploadBytes, 5);
            at.auth.write_usage(now).await.unwrap();
            let used = at.auth.usage_of(acme, now.date_naive()).await.unwrap();
            assert_eq!(used, [("requests".to_owned(), 3), ("upload_bytes".to_owned(), 5)]);
        }
    }

    #[tokio::test]
    async fn a_key_tells_when_it_was_last_used() {
        for at in each().await {
            let (acme, now) = (customer(&at.auth, "acme").await.workspace, Utc::now());
            let key = at.auth.create_key(acme, READ, "", None, now).await.unwrap();
            at.auth.authenticate(key.key.expose(), now).await.unwrap();
            at.auth.write_usage(now).await.unwrap();
            let used = at.auth.find_key(&key.id).await.unwrap().unwrap().last_used_at.unwrap();
            assert_eq!(used.timestamp(), now.timestamp());
        }
    }
}
