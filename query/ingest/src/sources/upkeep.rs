//! Keeps the platform's tables in good shape while they are written every few seconds.
//!
//! Small files are put together by tiers of size, logs get checkpoints and lose entries of versions that nobody can ask
//! for any more, and files that no kept version names go. Readers hold the version they began with; none of this moves it.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use identity::{TableId, TableName};
use lake::Location;
use tokio_util::sync::CancellationToken;

use super::{Arrivals, Progress, SourceError};

/// Time between two looks at the tables for small files.
const COMPACT: Duration = Duration::from_secs(60);
/// Every so many looks the logs get a checkpoint,
const CHECKPOINT_EVERY: u64 = 2;
/// and every so many, files without a version go.
const VACUUM_EVERY: u64 = 60;
/// A round in which all of it is due.
const EVERYTHING: u64 = 0;
/// Files of a model's table that are left as they are.
const MODEL_FILES: usize = 200;
/// How long log entries stay at least: until a quarter hour and [`catalog::FINE`] are over and its versions are thinned, as
/// each version that is still kept then gets a checkpoint of its own; and longer than it takes to settle a dead writer's
/// intent, whose commit is looked for in them.
const LOG: TimeDelta = TimeDelta::minutes(27);
/// How long files stay that no kept version names: longer than any write or query.
const FILES: Duration = Duration::from_secs(3_600);

impl Arrivals {
    /// Brings every table into good shape at once, as the rounds do by and by.
    /// - Shape: the tables.
    /// - Errors: [`SourceError::Stopped`]; a table that is being written waits for the next round.
    pub async fn maintain(
        &self,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Vec<TableName>, SourceError> {
        let tables: Vec<TableName> = self.0.lakefile.tables.iter().map(|table| table.name.clone()).collect();
        for (done, table) in tables.iter().enumerate() {
            if progress.stopped() {
                return Err(SourceError::Stopped);
            }
            if let Err(error) = self.keep_up_table(table, EVERYTHING, now).await {
                tracing::info!(%table, %error, "the table's upkeep waits");
            }
            progress.step("tables", done as u64 + 1, tables.len() as u64);
        }
        Ok(tables)
    }

    pub(super) async fn keep_up(self, stop: CancellationToken) {
        for round in 1_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COMPACT) => {}
            }
            if let Err(error) = self.retry(Utc::now(), &mut super::Ran::default()).await {
                tracing::warn!(%error, "failing models could not be tried again");
            }
            for table in self.0.lakefile.tables.iter().map(|t| &t.name) {
                if let Err(error) = self.keep_up_table(table, round, Utc::now()).await {
                    // The next round tries again; a conflict with a writer is no news.
                    tracing::debug!(%table, %error, "the table's upkeep waits");
                }
            }
        }
    }

    async fn keep_up_table(
        &self,
        name: &TableName,
        round: u64,
        now: DateTime<Utc>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(table) = self.0.catalog.moment().table(name) else { return Ok(()) };
        if table.version.is_none() {
            return Ok(());
        }
        let (lake, at) = (self.0.publisher.lake(), Location::from_str(&table.location)?);
        // A model's recent days have a file each on purpose; one event rewrites one of them.
        let files = lake.snapshot(&at, table.version.unwrap_or_default()).await?.files().len();
        if !self.0.models.fills(name) || files > MODEL_FILES {
            self.0.publisher.compact(&table, now).await?;
        }
        if round.is_multiple_of(CHECKPOINT_EVERY) {
            let since = self.log_since(table.id, now).await?;
            let kept = self.0.catalog.live_versions(table.id, now).await?;
            lake.checkpoint(&at, &kept, since).await?;
        }
        if round.is_multiple_of(VACUUM_EVERY) {
            let kept = self.0.catalog.live_versions(table.id, now).await?;
            lake.vacuum(&at, FILES, now, &kept).await?;
        }
        Ok(())
    }

    /// From when on log entries must stay: a write that is still open may have its commit among them.
    async fn log_since(&self, table: TableId, now: DateTime<Utc>) -> Result<DateTime<Utc>, catalog::Error> {
        let open = self.0.catalog.open_intents_of(table).await?;
        let oldest = open.first().map_or(now, |intent| intent.created_at);
        Ok((now - LOG).min(oldest - TimeDelta::minutes(5)))
    }
}
