//! What time takes away: history past its horizon, old jobs and answers, and what dead processes held.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use database::{Run as _, instant, on};

use crate::{Catalog, Error};

/// Closed intents are kept this long for whoever asks again whether a publish was done.
const CLOSED_INTENTS: TimeDelta = TimeDelta::days(1);

/// For so long `as_of` finds every version of a platform table; before that the last of each quarter hour. A stream that
/// commits every other second would else leave 300 000 in a week.
pub const FINE: TimeDelta = TimeDelta::minutes(10);
const SLOT_SECS: i64 = 15 * 60;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    pub versions: u64,
    pub intents: u64,
    pub jobs: u64,
    pub alerts: u64,
    pub answers: u64,
    pub batches: u64,
    /// Deleted tables whose place in the lake is empty.
    pub tables: u64,
}

impl Catalog {
    /// Forgets what is past its horizon. Repeatable; called every minute. Errors: [`Error::Database`].
    pub async fn upkeep(&self, now: DateTime<Utc>) -> Result<Upkeep, Error> {
        Ok(Upkeep {
            versions: self.forget_versions(now).await? + self.thin_versions(now).await?,
            intents: self.forget_intents(now).await?,
            jobs: self.forget_jobs(now).await?,
            alerts: self.alerts().forget(now - self.config.job_history).await?,
            answers: self.forget_answers(now).await?,
            batches: self.forget_batches(now).await?,
            tables: self.forget_tables().await?,
        })
    }

    /// The newest version before the horizon stays: it is what `as_of` the horizon answers from.
    async fn forget_versions(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str = "DELETE FROM table_versions WHERE published_at < $1
             AND EXISTS (SELECT 1 FROM table_versions w WHERE w.table_id = table_versions.table_id
                         AND w.version > table_versions.version AND w.published_at <= $1)";
        let horizon = instant(now - self.config.retention);
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(horizon).run(pool))?)
    }

    /// Leaves of each quarter hour that is over the platform tables' last version. Each is looked at once a process.
    async fn thin_versions(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const THIN: &str = "DELETE FROM table_versions WHERE published_at >= $1 AND published_at < $2
             AND table_id IN (SELECT t.id FROM tables t WHERE t.workspace_id IS NULL)
             AND EXISTS (SELECT 1 FROM table_versions w WHERE w.table_id = table_versions.table_id
                         AND w.version > table_versions.version AND w.published_at < $2)";
        let horizon = (now - self.config.retention).timestamp().div_euclid(SLOT_SECS);
        let over = (now - FINE).timestamp().div_euclid(SLOT_SECS);
        let mut thinned = 0;
        for slot in self.thinned.load(Ordering::Relaxed).max(horizon)..over {
            let (from, to) = (slot_at(slot), slot_at(slot + 1));
            thinned += on!(self.db, |pool| sqlx::query(THIN).bind(from).bind(to).run(pool))?;
            self.thinned.store(slot + 1, Ordering::Relaxed);
        }
        Ok(thinned)
    }

    async fn forget_intents(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str = "DELETE FROM intents WHERE status <> 'open' AND closed_at < $1";
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(instant(now - CLOSED_INTENTS)).run(pool))?)
    }

    async fn forget_jobs(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str =
            "DELETE FROM jobs WHERE status IN ('succeeded', 'failed', 'cancelled') AND ended_at < $1";
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(instant(now - self.config.job_history)).run(pool))?)
    }

    async fn forget_answers(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str = "DELETE FROM idempotency WHERE expires_at <= $1";
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(instant(now)).run(pool))?)
    }

    /// The last published batch of a source stays: it is where the source goes on. So do those that name raw objects, which
    /// are made again from them when the later areas are; a log's are not, its events have files of their own.
    async fn forget_batches(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        const FORGET: &str = r#"DELETE FROM batches WHERE published_at < $1
             AND (CAST(objects AS TEXT) = '[]' OR CAST(objects AS TEXT) LIKE '{"log"%')
             AND EXISTS (SELECT 1 FROM batches b WHERE b.source = batches.source AND b.n > batches.n
                         AND b.published_at IS NOT NULL)"#;
        let horizon = instant(now - self.config.job_history);
        Ok(on!(self.db, |pool| sqlx::query(FORGET).bind(horizon).run(pool))?)
    }

    /// A deleted table's row, versions and intents stay until its place is empty and no write is open.
    async fn forget_tables(&self) -> Result<u64, Error> {
        const FORGET: &str = "DELETE FROM tables WHERE deleted_at IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM removals r WHERE r.table_id = tables.id)
             AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.table_id = tables.id AND i.status = 'open')";
        Ok(on!(self.db, |pool| sqlx::query(FORGET).run(pool))?)
    }

    /// Frees at once what dead processes of this node held: leases of jobs and keys of requests under way. Their other leases
    /// are this one's.
    /// For the start of a server; never for a verb that runs beside one. Errors: [`Error::Database`].
    pub async fn restart(&self, now: DateTime<Utc>) -> Result<(), Error> {
        const JOBS: &str = "UPDATE jobs SET lease_until = $1 WHERE status = 'running' AND lease_until > $1
             AND lease_owner <> $2 AND substr(lease_owner, 1, $3) = $4";
        const REQUESTS: &str = "DELETE FROM idempotency WHERE response IS NULL
             AND lease_owner <> $1 AND substr(lease_owner, 1, $2) = $3";
        // Taken over and not freed: nobody else comes in between.
        const LEASES: &str = "UPDATE leases SET owner = $1 WHERE owner <> $1 AND substr(owner, 1, $2) = $3";
        let (me, prefix) = (self.owner().to_string(), self.owner().prefix());
        let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
        // A moment back, as a lease ends only when its last instant is past.
        let past = instant(now - TimeDelta::milliseconds(1));
        on!(self.db, |pool| sqlx::query(JOBS).bind(past).bind(&me).bind(length).bind(&prefix).run(pool))?;
        for sql in [REQUESTS, LEASES] {
            on!(self.db, |pool| sqlx::query(sql).bind(&me).bind(length).bind(&prefix).run(pool))?;
        }
        Ok(())
    }
}

/// The instant a piece of time begins at.
fn slot_at(slot: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(slot * SLOT_SECS, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use identity::WorkspaceId;
    use serde_json::json;

    use super::*;
    use crate::testing::{each, intend, minute, publish};
    use crate::{NewJob, Touched};

    #[tokio::test]
    async fn history_keeps_what_as_of_still_reaches() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let day = |days: i64| minute(days * 24 * 60);
            for version in 1..=4 {
                publish(&node, &daily, version, Touched::Everything, day(version)).await;
            }
            let now = day(10); // the horizon lies on day 3
            assert_eq!(node.live_versions(daily.id, now).await.unwrap(), [3, 4]);
            let forgotten = node.upkeep(now).await.unwrap();
            assert_eq!((forgotten.versions, forgotten.intents), (2, 4));
            assert_eq!(node.version_at(daily.id, day(3), now).await.unwrap(), Some(3));
            assert_eq!(node.live_versions(daily.id, day(99)).await.unwrap(), [4]);
            assert_eq!(node.upkeep(now).await.unwrap(), Upkeep::default());
        }
    }

    #[tokio::test]
    async fn of_a_quarter_hour_that_is_over_a_platform_table_keeps_its_last_version() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let sales = node.dataset(WorkspaceId::new(), "sales").await;
            // The tests' clock begins 13 minutes and 20 seconds into a quarter hour, so the first ends within two minutes.
            for version in 1..=8 {
                publish(&node, &daily, version, Touched::Everything, minute(version * 5)).await;
                publish(&node, &sales, version, Touched::Everything, minute(version * 5)).await;
            }
            let now = minute(48);
            assert_eq!(node.upkeep(now).await.unwrap().versions, 4);
            assert_eq!(node.live_versions(daily.id, now).await.unwrap(), [3, 6, 7, 8]);
            assert_eq!(node.live_versions(sales.id, now).await.unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(node.version_at(daily.id, minute(29), now).await.unwrap(), Some(3));
            assert_eq!(node.version_at(daily.id, minute(36), now).await.unwrap(), Some(7));
            assert_eq!(node.upkeep(now).await.unwrap().versions, 0);
        }
    }

    #[tokio::test]
    async fn old_batches_go_but_a_source_knows_where_to_go_on() {
        for node in each().await {
            let month = 31 * 24 * 60;
            for n in 1..=3 {
                node.batches().begin("d", n, &json!(n), &json!([]), minute(n)).await.unwrap();
                node.batches().done("d", n, minute(n)).await.unwrap();
            }
            node.batches().begin("d", 4, &json!(4), &json!([]), minute(4)).await.unwrap();
            for (source, objects) in [("e", json!({"log": {"from": 1}})), ("f", json!([{"path": "raw/f/1"}]))]
            {
                for n in 1..=2 {
                    node.batches().begin(source, n, &json!(n), &objects, minute(n)).await.unwrap();
                    node.batches().done(source, n, minute(n)).await.unwrap();
                }
            }
            assert_eq!(node.upkeep(minute(month)).await.unwrap().batches, 3);
            assert_eq!(node.batches().last_position("d").await.unwrap(), Some(json!(3)));
            assert_eq!(node.batches().after("f", 0, 9).await.unwrap().len(), 2);
            assert_eq!(node.batches().open("d").await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_restart_takes_over_only_what_its_own_node_left() {
        for node in each().await {
            let lease = std::time::Duration::from_secs(60);
            let sales = node.dataset(WorkspaceId::new(), "sales").await;
            intend(&node, &sales, minute(0)).await;
            let job = node
                .jobs()
                .start(NewJob::new("sql", json!({}), minute(0)), node.owner(), lease, minute(0))
                .await
                .unwrap();
            let (other, restarted) = (node.again("other").await, node.again("local").await);
            for catalog in [&other, &restarted] {
                catalog.restart(minute(0)).await.unwrap();
                let open = catalog.open_intents(minute(0)).await.unwrap().len();
                let taken = catalog.jobs().claim(catalog.owner(), &["sql"], lease, minute(0)).await.unwrap();
                let is_own = catalog.owner().node() == "local";
                assert_eq!(
                    (open, taken.map(|job| job.id)),
                    if is_own { (1, Some(job.id)) } else { (0, None) }
                );
            }
            // A live process sees nothing of its own as left behind.
            assert!(node.open_intents(minute(0)).await.unwrap().is_empty());
            assert_eq!(other.open_intents(minute(1)).await.unwrap().len(), 1);
        }
    }
}
