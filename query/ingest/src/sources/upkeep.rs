//! Keeps the platform's tables in good shape while they are written every few seconds.
//!
//! Small files are put together by tiers of size, logs get checkpoints and lose entries of versions that nobody can ask
//! for any more, rows and raw bytes that an area no longer keeps go, and files that no kept version names. Readers hold the version they began with; none of this moves it.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use identity::{TableId, TableName};
use lake::Location;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Arrivals, Progress, SourceError};
use crate::lakefile::TableSpec;
use crate::publish::Error;
use crate::words::chain;

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

/// What became of the tables that were seen to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Maintained {
    pub tables: Vec<TableName>,
    /// Tables with why their upkeep failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Arrivals {
    /// Brings every table into good shape at once, as the rounds do by and by.
    /// - Shape: what became of the tables.
    /// - Errors: [`SourceError::Stopped`]; a table that is being written waits for the next round.
    pub async fn maintain(
        &self,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Maintained, SourceError> {
        let mut maintained = Maintained::default();
        let tables = &self.0.lakefile.tables;
        for (done, table) in tables.iter().map(|table| &table.name).enumerate() {
            if progress.stopped() {
                return Err(SourceError::Stopped);
            }
            match self.keep_up_noted(table, EVERYTHING, now).await {
                None => maintained.tables.push(table.clone()),
                Some(error) => maintained.failed.push(format!("{table}: {error}")),
            }
            progress.step("tables", done as u64 + 1, tables.len() as u64);
        }
        self.expire_raw(now).await?;
        Ok(maintained)
    }

    pub(super) async fn keep_up(self, stop: CancellationToken) {
        for round in 1_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COMPACT) => {}
            }
            if self.lead(Utc::now()).await.is_err() {
                continue;
            }
            if let Err(error) = self.retry(Utc::now(), &mut super::Ran::default()).await {
                tracing::warn!(%error, "failing models could not be tried again");
            }
            for table in self.0.lakefile.tables.iter().map(|t| &t.name) {
                self.keep_up_noted(table, round, Utc::now()).await;
            }
            if round.is_multiple_of(VACUUM_EVERY)
                && let Err(error) = self.expire_raw(Utc::now()).await
            {
                tracing::warn!(%error, "raw bytes that have expired could not be removed");
            }
        }
    }

    /// Sees to a table, and notes how that ended. The next round tries again.
    /// - Shape: why it failed; a conflict with a writer is no failure.
    async fn keep_up_noted(&self, table: &TableName, round: u64, now: DateTime<Utc>) -> Option<String> {
        let failure = match self.keep_up_table(table, round, now).await {
            Err(Error::Conflict) => return None,
            ended => ended.err().map(|error| chain(&error)),
        };
        if let Some(error) = &failure {
            tracing::warn!(%table, error, "the table's upkeep fails");
            metrics::counter!("lakefront_upkeep_failures_total", "table" => table.to_string()).increment(1);
        }
        self.0.states.kept(table, failure.as_deref(), now).await;
        failure
    }

    async fn keep_up_table(&self, name: &TableName, round: u64, now: DateTime<Utc>) -> Result<(), Error> {
        let Some(table) = self.0.catalog.moment().table(name) else { return Ok(()) };
        if table.version.is_none() {
            return Ok(());
        }
        let (lake, at) = (self.0.publisher.lake(), Location::from_str(&table.location)?);
        // A model's recent days have a file each on purpose; one event rewrites one of them.
        let files = lake.snapshot(&at, table.version.unwrap_or_default()).await?.files().len();
        let fed = !self.0.models.fills(name);
        if fed || files > MODEL_FILES {
            // What a source fills stays by month: a late hour rewrites the files of its own month and no others.
            let months = self.0.lakefile.table(name).filter(|_| fed).and_then(TableSpec::dated);
            self.0.publisher.compact(&table, months, now).await?;
        }
        if round.is_multiple_of(CHECKPOINT_EVERY) {
            let since = self.log_since(table.id, now).await?;
            let kept = self.0.catalog.live_versions(table.id, now).await?;
            lake.checkpoint(&at, &kept, since).await?;
        }
        if round.is_multiple_of(VACUUM_EVERY) {
            self.expire_rows(name, now).await?;
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
