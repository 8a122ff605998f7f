//! A long log becomes a checkpoint and the entries after it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use object_store::path::Path;

use crate::log::{self, Listing};
use crate::store;
use crate::{Error, Lake, Location, Version};

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// The newest version, which the checkpoint holds.
    pub version: Version,
    pub log_entries_removed: u64,
}

impl Lake {
    /// Writes a checkpoint of the newest version and shortens the log: entries from before `since` go, and of the
    /// versions they made only those of `kept` can be read ever after, each from a checkpoint of its own; the others are
    /// [`Error::VersionGone`]. One caller a table at a time.
    pub async fn checkpoint(
        &self,
        at: &Location,
        kept: &[Version],
        since: DateTime<Utc>,
    ) -> Result<Checkpointed, Error> {
        let newest = self.newest(at).await?.ok_or(Error::NotFound)?.version();
        let listing = log::list(&self.store, at).await?;
        let oldest_entry = oldest_entry(&listing, newest, since);
        let lacking = without_checkpoint(&listing, kept, oldest_entry);
        for version in &lacking {
            log::checkpoint::write(&self.store, at, *version).await?;
        }
        // The last one written is where readers begin: it must be the newest, before any entry goes.
        if !lacking.is_empty() || listing.checkpoint(newest) != Some(newest) {
            log::checkpoint::write(&self.store, at, newest).await?;
        }
        let listing = log::list(&self.store, at).await?;
        let mut log_entries_removed = 0;
        for path in obsolete(&listing, oldest_entry, kept) {
            store::delete(self.store.objects.as_ref(), &path).await?;
            log_entries_removed += 1;
        }
        Ok(Checkpointed { version: newest, log_entries_removed })
    }
}

/// The first version whose entry stays because of its age.
fn oldest_entry(listing: &Listing, newest: Version, since: DateTime<Utc>) -> Version {
    let young = listing.entries.iter().filter(|(_, meta)| meta.last_modified >= since);
    young.map(|(version, _)| *version).min().unwrap_or(newest)
}

/// Versions to keep that the entries alone tell of today, and will no longer.
fn without_checkpoint(listing: &Listing, kept: &[Version], oldest_entry: Version) -> Vec<Version> {
    let entries: HashSet<Version> = listing.entries.iter().map(|(version, _)| *version).collect();
    let written: HashSet<Version> = listing.checkpoints.iter().map(|(version, _)| *version).collect();
    let lacking = |version: &Version| {
        *version < oldest_entry && entries.contains(version) && !written.contains(version)
    };
    kept.iter().copied().filter(lacking).collect()
}

/// Log files before the checkpoint that the oldest entry to stay starts from, but for checkpoints of versions to keep.
fn obsolete(listing: &Listing, oldest_entry: Version, kept: &[Version]) -> Vec<Path> {
    let Some(base) = listing.checkpoint(oldest_entry) else { return Vec::new() };
    let kept: HashSet<Version> = kept.iter().copied().collect();
    let entries = listing.entries.iter().filter(|(version, _)| *version < base);
    let checkpoints =
        listing.checkpoints.iter().filter(|(version, _)| *version < base && !kept.contains(version));
    entries.chain(checkpoints).map(|(_, meta)| meta.location.clone()).collect()
}
