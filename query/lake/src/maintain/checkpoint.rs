//! A long log becomes a checkpoint and the entries after it.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::logstore::{StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::log::{self, Listing};
use crate::store::{self, Durable};
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
            self.write_checkpoint(at, *version).await?;
        }
        // The last one written is where readers begin: it must be the newest, before any entry goes.
        if !lacking.is_empty() || listing.checkpoint(newest) != Some(newest) {
            self.write_checkpoint(at, newest).await?;
        }
        let listing = log::list(&self.store, at).await?;
        let mut log_entries_removed = 0;
        for path in obsolete(&listing, oldest_entry, kept) {
            store::delete(self.store.objects.as_ref(), &path).await?;
            log_entries_removed += 1;
        }
        Ok(Checkpointed { version: newest, log_entries_removed })
    }

    async fn write_checkpoint(&self, at: &Location, version: Version) -> Result<(), Error> {
        let (root, url) = self.root_and_url(at)?;
        let inside = Path::from_url_path(url.path()).map_err(Error::internal)?;
        let table: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root), inside));
        let log_store = default_logstore(table, root, &url, &StorageConfig::default());
        let mut table = DeltaTable::new(log_store);
        let wanted = u64::try_from(version).map_err(Error::internal)?;
        table.load_version(wanted).await.map_err(Error::internal)?;
        create_checkpoint(&table, None).await.map_err(Error::internal)
    }
}

impl Lake {
    /// What the kernel takes for a store and a table in it. It knows folders by `file` and looks for them on the
    /// disk itself; of every other scheme it believes that listings come sorted, which is so.
    fn root_and_url(&self, at: &Location) -> Result<(Arc<dyn ObjectStore>, Url), Error> {
        let Some(folder) = self.store.local_path(&at.path()) else {
            let url = Url::parse(&format!("memory:///{at}/")).map_err(Error::internal)?;
            return Ok((Arc::clone(&self.store.objects), url));
        };
        let url =
            Url::from_directory_path(folder).map_err(|()| Error::internal("the lake's folder has no URL"))?;
        let files = LocalFileSystem::new();
        let root: Arc<dyn ObjectStore> =
            if self.store.fsync { Arc::new(Durable::new(files)) } else { Arc::new(files) };
        Ok((root, url))
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
