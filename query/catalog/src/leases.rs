//! What one process at a time may do of all that share the database: it takes a name, keeps it by taking it again, and
//! loses it when it does not.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::{Db, Kind, Run as _, instant, on, reading};

use crate::{Error, Owner};

/// A name that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub owner: String,
    pub until: DateTime<Utc>,
}

database::row! {
    struct Row {
        name: String,
        owner: String,
        lease_until: DateTime<Utc>,
    }
}

/// The leases of this process and the others; cheap to clone.
#[derive(Clone, Debug)]
pub struct Leases {
    db: Db,
    owner: Owner,
}

impl Leases {
    pub(crate) fn new(db: Db, owner: Owner) -> Self {
        Self { db, owner }
    }

    /// Whether other processes may work on the same database: an SQLite file has one at a time.
    pub fn matter(&self) -> bool {
        self.db.kind() == Kind::Postgres
    }

    /// Takes a name, or keeps it. False while another process has it. Errors: [`Error::Database`].
    pub async fn take(&self, name: &str, lease: Duration, now: DateTime<Utc>) -> Result<bool, Error> {
        const TAKE: &str = "INSERT INTO leases (name, owner, lease_until) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
               WHERE leases.owner = excluded.owner OR leases.lease_until < $4";
        let until = now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::minutes(1));
        let taken = on!(self.db, |pool| sqlx::query(TAKE)
            .bind(name)
            .bind(self.owner.to_string())
            .bind(instant(until))
            .bind(instant(now))
            .run(pool))?;
        Ok(taken == 1)
    }

    /// Gives a name back, if this process has it. Errors: [`Error::Database`].
    pub async fn give_back(&self, name: &str) -> Result<(), Error> {
        const GIVE: &str = "DELETE FROM leases WHERE name = $1 AND owner = $2";
        on!(self.db, |pool| sqlx::query(GIVE).bind(name).bind(self.owner.to_string()).run(pool))?;
        Ok(())
    }

    /// What other processes have of the names that begin so. Errors: [`Error::Database`].
    pub async fn of_others(&self, prefix: &str, now: DateTime<Utc>) -> Result<Vec<Lease>, Error> {
        const OTHERS: &str = "SELECT name, owner, lease_until FROM leases
             WHERE lease_until >= $1 AND owner <> $2 AND substr(name, 1, $3) = $4 ORDER BY name";
        let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(OTHERS)
            .bind(instant(now))
            .bind(self.owner.to_string())
            .bind(length)
            .bind(prefix)
            .fetch_all(pool))?;
        let lease = |Row { name, owner, lease_until }| Lease { name, owner, until: lease_until };
        Ok(rows.into_iter().map(lease).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{each, minute};

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_name_has_one_process_until_it_gives_it_back_or_its_time_is_over() {
        for node in each().await {
            let (one, two) = (node.leases(), node.again("other").await.leases());
            assert!(one.take("sources", MINUTE, minute(0)).await.unwrap());
            assert!(!two.take("sources", MINUTE, minute(1)).await.unwrap());
            let held = two.of_others("sou", minute(1)).await.unwrap();
            assert_eq!((held.len(), held[0].until), (1, minute(1)));
            assert!(one.of_others("", minute(1)).await.unwrap().is_empty());
            assert!(one.take("sources", MINUTE, minute(1)).await.unwrap());
            assert!(two.of_others("", minute(3)).await.unwrap().is_empty());
            assert!(two.take("sources", MINUTE, minute(3)).await.unwrap());
            one.give_back("sources").await.unwrap();
            assert!(!one.take("sources", MINUTE, minute(3)).await.unwrap());
            two.give_back("sources").await.unwrap();
            assert!(one.take("sources", MINUTE, minute(3)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_restarted_node_takes_what_its_dead_process_had() {
        for node in each().await {
            let (other, restarted) = (node.again("other").await, node.again("local").await);
            assert!(node.leases().take("sources", MINUTE, minute(0)).await.unwrap());
            for (catalog, taken) in [(&other, false), (&restarted, true)] {
                catalog.restart(minute(0)).await.unwrap();
                assert_eq!(catalog.leases().take("sources", MINUTE, minute(0)).await.unwrap(), taken);
            }
        }
    }
}
