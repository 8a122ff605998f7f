//! A long log becomes a checkpoint and the entries after it.

use std::sync::Arc;
use std::time::Duration;

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
    /// Writes a checkpoint of the newest version and removes log entries older than `keep_log` that no kept version
    /// needs; those versions are [`Error::VersionGone`] from then on. One caller a table at a time.
    pub async fn checkpoint(
        &self,
        at: &Location,
        keep_log: Duration,
        now: DateTime<Utc>,
    ) -> Result<Checkpointed, Error> {
        let newest = self.newest(at).await?.ok_or(Error::NotFound)?;
        self.write_checkpoint(at, newest.version()).await?;
        let before = now - chrono::Duration::from_std(keep_log).map_err(Error::internal)?;
        let listing = log::list(&self.store, at).await?;
        let mut log_entries_removed = 0;
        for path in obsolete(&listing, newest.version(), before) {
            store::delete(self.store.objects.as_ref(), &path).await?;
            log_entries_removed += 1;
        }
        Ok(Checkpointed { version: newest.version(), log_entries_removed })
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

/// Log files before the checkpoint that the oldest kept version starts from.
fn obsolete(listing: &Listing, newest: Version, before: DateTime<Utc>) -> Vec<Path> {
    let kept =
        listing.entries.iter().filter(|(_, meta)| meta.last_modified >= before).map(|(version, _)| *version);
    let oldest_kept = kept.min().unwrap_or(newest);
    let Some(base) = listing.checkpoint(oldest_kept) else { return Vec::new() };
    let all = listing.entries.iter().chain(&listing.checkpoints);
    all.filter(|(version, _)| *version < base).map(|(_, meta)| meta.location.clone()).collect()
}
