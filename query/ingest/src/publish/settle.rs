//! Ending what a write began: publish what is in the log, clear what is not.

use std::sync::Arc;

use catalog::{Catalog, Intent, Publish, Table};
use chrono::{DateTime, Utc};
use identity::IntentId;
use lake::{Lake, Location, Version};

use super::Error;

/// What became of an open intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Its commit was in the log and is visible now.
    Published(Arc<Table>),
    /// No commit carries it; its files are gone.
    Cleared,
}

/// Ends an intent that nobody works at any more. Repeatable. Errors: the lake or the catalog does not answer; then it stays open.
pub async fn settle(
    lake: &Lake,
    catalog: &Catalog,
    intent: &Intent,
    now: DateTime<Utc>,
) -> Result<Settled, Error> {
    let at: Location = intent.location.parse()?;
    let Some(version) = committed(lake, &at, intent).await? else {
        return clear(lake, catalog, &at, intent.id, now).await;
    };
    let draft = intent.draft.clone().unwrap_or_else(|| Publish::new(intent.id, intent.table, version, now));
    match publish(lake, catalog, &at, version, draft).await {
        Ok(table) => Ok(Settled::Published(table)),
        // Deleted meanwhile: its place is removed as a whole.
        Err(Error::TableGone) => clear(lake, catalog, &at, intent.id, now).await,
        Err(error) => Err(error),
    }
}

/// The version that carries an intent; `None` where none does, and none will: its put may have been on its way.
async fn committed(lake: &Lake, at: &Location, intent: &Intent) -> Result<Option<Version>, Error> {
    let found = lake.find_commit(at, intent.id).await?;
    if found.is_some() || intent.draft.is_none() {
        return Ok(found);
    }
    lake.fence(at).await?;
    Ok(lake.find_commit(at, intent.id).await?)
}

/// Makes a commit visible, with the totals of its version. Errors: [`Error::TableGone`], [`Error::Catalog`], [`Error::Lake`].
pub async fn publish(
    lake: &Lake,
    catalog: &Catalog,
    at: &Location,
    version: Version,
    draft: Publish,
) -> Result<Arc<Table>, Error> {
    let snapshot = lake.snapshot(at, version).await?;
    let rows = i64::try_from(snapshot.rows()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(snapshot.bytes()).unwrap_or(i64::MAX);
    Ok(catalog.publish(Publish { version, rows, bytes, ..draft }).await?)
}

/// Gives a write up: its files go first, then its intent, so that a kill between the two is found again.
async fn clear(
    lake: &Lake,
    catalog: &Catalog,
    at: &Location,
    intent: IntentId,
    now: DateTime<Utc>,
) -> Result<Settled, Error> {
    remove_files(lake, at, intent).await?;
    catalog.abandon(intent, now).await?;
    Ok(Settled::Cleared)
}

/// Removes the files that carry an intent's name. Never call it for an intent whose commit is in the log.
pub async fn remove_files(lake: &Lake, at: &Location, intent: IntentId) -> Result<(), Error> {
    let prefix = format!("{}/{intent}-", at.as_str());
    for object in lake.objects().list(at.as_str()).await? {
        if object.path.starts_with(&prefix) {
            lake.objects().delete(&object.path).await?;
        }
    }
    Ok(())
}
