//! A table's state at a version, from nothing.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use identity::IntentId;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use serde::Deserialize;

use super::{Entry, checkpoint, parse_name, read_entries, read_entry};
use crate::snapshot::{Snapshot, intent_app};
use crate::store::Store;
use crate::{Error, Location, Version};

#[derive(Deserialize)]
struct LastCheckpoint {
    version: Version,
    parts: Option<u32>,
}

/// What a LIST of the log shows, in no order.
#[derive(Default)]
pub(crate) struct Listing {
    pub entries: Vec<(Version, ObjectMeta)>,
    pub checkpoints: Vec<(Version, ObjectMeta)>,
}

impl Listing {
    pub fn latest(&self) -> Option<Version> {
        self.entries.iter().chain(&self.checkpoints).map(|(version, _)| *version).max()
    }

    /// The newest checkpoint that is not after `version`.
    pub fn checkpoint(&self, version: Version) -> Option<Version> {
        self.checkpoints.iter().map(|(found, _)| *found).filter(|found| *found <= version).max()
    }
}

/// The newest version in the store; `None` if there is no table.
pub(crate) async fn latest(store: &Store, location: &Location) -> Result<Option<Version>, Error> {
    Ok(list(store, location).await?.latest())
}

/// The table at a version. Errors: [`Error::VersionGone`] if that cannot be put together any more.
pub(crate) async fn at(store: &Store, location: &Location, version: Version) -> Result<Arc<Snapshot>, Error> {
    let entries = entries(store, location, version).await?;
    Snapshot::replay(location.clone(), entries).map(Arc::new)
}

/// A checkpoint, if there is one, as the first entry; and the entries after it.
pub(super) async fn entries(
    store: &Store,
    location: &Location,
    version: Version,
) -> Result<Vec<Entry>, Error> {
    let base = match hint(store, location).await? {
        Some(checkpoint) if checkpoint <= version => Some(checkpoint),
        _ => list(store, location).await?.checkpoint(version),
    };
    let (mut entries, first) = match base {
        Some(base) => (vec![checkpoint::read(store, location, base).await?], base + 1),
        None => (Vec::new(), 0),
    };
    entries.extend(read_entries(store, location, first..=version).await?);
    Ok(entries)
}

/// When files were removed, by path, in milliseconds since the epoch: as far back as the log's own retention.
pub(crate) async fn tombstones(
    store: &Store,
    location: &Location,
    version: Version,
) -> Result<HashMap<String, i64>, Error> {
    let removed = entries(store, location, version).await?.into_iter().flat_map(|entry| entry.remove);
    Ok(removed.map(|removed| (removed.path, removed.at)).collect())
}

/// The version that carries an intent: entries are read newest first, back to the time the intent itself tells.
pub(crate) async fn find_intent(
    store: &Store,
    location: &Location,
    newest: Version,
    intent: IntentId,
) -> Result<Option<Version>, Error> {
    let app = intent_app(intent);
    let since = made_at(intent) - chrono::Duration::minutes(5);
    let mut entries = list(store, location).await?.entries;
    entries.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    for (version, _) in entries
        .into_iter()
        .filter(|(version, _)| *version <= newest)
        .take_while(|(_, meta)| meta.last_modified >= since)
    {
        let entry = read_entry(store, location, version).await?;
        if entry.is_some_and(|entry| entry.txn.iter().any(|txn| txn.app_id == app)) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

fn made_at(intent: IntentId) -> DateTime<Utc> {
    let (seconds, nanos) = intent.as_uuid().get_timestamp().map_or((0, 0), |at| at.to_unix());
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, nanos))
        .unwrap_or_default()
}

/// The newest checkpoint by the log's own note; the note may be absent or behind.
async fn hint(store: &Store, location: &Location) -> Result<Option<Version>, Error> {
    let bytes = match store.objects.get(&location.log(checkpoint::HINT)).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let hint = serde_json::from_slice::<LastCheckpoint>(&bytes).ok();
    Ok(hint.filter(|hint| hint.parts.is_none()).map(|hint| hint.version))
}

/// Everything in the log.
pub(crate) async fn list(store: &Store, location: &Location) -> Result<Listing, Error> {
    let found = store.objects.list(Some(&location.log(""))).try_collect::<Vec<_>>().await;
    let found = match found {
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        other => other?,
    };
    let mut listing = Listing::default();
    for meta in found {
        match meta.location.filename().and_then(parse_name) {
            Some((version, true)) => listing.checkpoints.push((version, meta)),
            Some((version, false)) => listing.entries.push((version, meta)),
            None => {}
        }
    }
    Ok(listing)
}
