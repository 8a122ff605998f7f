//! Keeping the platform's state in memory up to date.
//!
//! Every change of a platform table bumps the clock as part of its transaction, so changes become visible in the clock's order. The
//! clock is read before and after: only a reading during which it stood still is one moment.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::reading;
use identity::{RegionId, TableId};
use uuid::Uuid;

use crate::platform::{Changes, Moment, Stamp};
use crate::table::{TableRow, table_columns};
use crate::{Catalog, Error};

const TICKS: &str = "SELECT ticks FROM clock WHERE name = 'platform'";
const TABLES: &str = concat!(
    "SELECT ",
    table_columns!(),
    " FROM tables WHERE workspace_id IS NULL AND changed > $1 ORDER BY changed"
);
const STAMPS: &str = "SELECT table_id, region_id, version, updated_at FROM region_stamps WHERE changed > $1";

/// A reading is repeated while commits fall into it; they are rarer than readings are long.
const ATTEMPTS: usize = 50;

database::row! {
    struct StampRow {
        table_id: Uuid,
        region_id: RegionId as String,
        version: i64,
        updated_at: DateTime<Utc>,
    }
}

impl Catalog {
    /// The platform's tables as they are now on this node: at once what this node published, within a poll what others did.
    pub fn moment(&self) -> Moment {
        Moment::new(self.platform.load_full())
    }

    /// The tick of [`Catalog::moment`], without making one.
    pub fn tick(&self) -> i64 {
        self.platform.load().ticks
    }

    /// Reads what other nodes changed since the last reading. Errors: [`Error::Database`].
    pub async fn refresh(&self) -> Result<(), Error> {
        let _one_at_a_time = self.refreshing.lock().await;
        let known = self.platform.load_full();
        if let Some(changes) = self.changes_since(known.ticks).await? {
            self.platform.store(Arc::new(known.after(changes)));
        }
        Ok(())
    }

    /// Refreshes every `every` until `stop` is ready. A reading that fails is repeated at the next turn; what is known stays in use.
    pub async fn follow(self, every: Duration, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut failing = false;
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(every) => {}
            }
            let outcome = self.refresh().await;
            match &outcome {
                Err(error) if !failing => {
                    tracing::warn!(%error, "the catalog cannot be read; serving what is known")
                }
                Ok(()) if failing => tracing::info!("the catalog can be read again"),
                _ => {}
            }
            failing = outcome.is_err();
        }
    }

    async fn changes_since(&self, known: i64) -> Result<Option<Changes>, Error> {
        let mut before = self.ticks().await?;
        for _ in 0..ATTEMPTS {
            if before == known {
                return Ok(None);
            }
            let (tables, stamps) = (self.changed_tables(known).await?, self.changed_stamps(known).await?);
            let after = self.ticks().await?;
            if after == before {
                return Ok(Some(Changes { ticks: before, tables, stamps }));
            }
            before = after;
        }
        Err(Error::Database(database::Error::Busy))
    }

    async fn ticks(&self) -> Result<i64, Error> {
        Ok(reading!(self.db, |pool| sqlx::query_scalar(TICKS).fetch_one(pool))?)
    }

    async fn changed_tables(&self, known: i64) -> Result<Vec<(Arc<crate::Table>, Option<Stamp>)>, Error> {
        let rows: Vec<TableRow> =
            reading!(self.db, |pool| sqlx::query_as(TABLES).bind(known).fetch_all(pool))?;
        Ok(rows.into_iter().map(with_floor).collect())
    }

    async fn changed_stamps(&self, known: i64) -> Result<Vec<(TableId, RegionId, Stamp)>, Error> {
        let rows: Vec<StampRow> =
            reading!(self.db, |pool| sqlx::query_as(STAMPS).bind(known).fetch_all(pool))?;
        let stamp = |row: StampRow| {
            let stamp = Stamp { version: row.version, updated_at: row.updated_at };
            (TableId::from_uuid(row.table_id), row.region_id, stamp)
        };
        Ok(rows.into_iter().map(stamp).collect())
    }
}

fn with_floor(row: TableRow) -> (Arc<crate::Table>, Option<Stamp>) {
    let floor = row.floor_version.zip(row.floor_at);
    let floor = floor.map(|(version, updated_at)| Stamp { version, updated_at });
    (row.shared(), floor)
}
