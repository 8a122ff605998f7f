//! The lake: one handle to all tables, with what it remembers of them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::datasource::object_store::ObjectStoreUrl;
use identity::IntentId;
use moka::future::Cache;

use crate::file::DataFile;
use crate::log::{self, Entry};
use crate::objects::Objects;
use crate::scan;
use crate::snapshot::Snapshot;
use crate::store::{LakeConfig, Store};
use crate::types::normalise_schema;
use crate::verify;
use crate::writer::{FileWriter, WriterOptions};
use crate::{Error, Location, Version, commit};

/// A remembered newest version is looked up again after this: the log it continues may have been cleaned up by others,
/// and a put where an entry had been would be taken.
const HEAD_AGE: Duration = Duration::from_secs(600);
/// Share of the memory for snapshots that the newest ones of each table may take.
const HEAD_SHARE: u64 = 2;

/// The newest version known of a table, and when the store last agreed.
#[derive(Clone)]
struct Head {
    snapshot: Arc<Snapshot>,
    seen: Instant,
}

/// All tables and objects under one URL. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    pub(crate) store: Store,
    objects: Objects,
    snapshots: Cache<(Location, Version), Arc<Snapshot>>,
    heads: Cache<Location, Head>,
    url: ObjectStoreUrl,
}

impl Lake {
    /// Opens the store; makes the folder if it is one. Errors: [`Error::Misconfigured`].
    pub async fn open(config: LakeConfig) -> Result<Self, Error> {
        let store = Store::open(&config).await?;
        let heads_bytes = config.snapshot_cache_bytes / HEAD_SHARE;
        Ok(Self {
            objects: Objects::new(store.clone()),
            store,
            snapshots: Cache::builder()
                .weigher(|_, snapshot: &Arc<Snapshot>| snapshot.weight())
                .max_capacity(config.snapshot_cache_bytes - heads_bytes)
                .support_invalidation_closures()
                .build(),
            heads: Cache::builder()
                .weigher(|_, head: &Head| head.snapshot.weight())
                .max_capacity(heads_bytes)
                .build(),
            // one URL an instance: plans of two lakes in one process must not read each other's store
            url: ObjectStoreUrl::parse(format!("lake://{}", uuid::Uuid::new_v4().simple()))?,
        })
    }

    /// Makes a table at version 0. The same again is no error; gives 0 in any case.
    /// Errors: [`Error::Exists`] for a table of another shape, [`Error::Unsupported`] for a type.
    pub async fn create(
        &self,
        at: &Location,
        schema: SchemaRef,
        partition_by: &[&str],
    ) -> Result<Version, Error> {
        let schema = normalise_schema(&schema)?;
        match commit::create(&self.store, at, &schema, partition_by).await? {
            Some(entry) => self.remember(Arc::new(Snapshot::replay(at.clone(), vec![entry])?)).await,
            None => self.check_same(at, &schema, partition_by).await?,
        }
        Ok(0)
    }

    async fn check_same(&self, at: &Location, schema: &Schema, partition_by: &[&str]) -> Result<(), Error> {
        let head = self.head(at).await?.ok_or(Error::NotFound)?;
        let same = head.schema().as_ref() == schema && head.partition_columns() == partition_by;
        if same { Ok(()) } else { Err(Error::Exists) }
    }

    /// The newest version, asked of the store; not for hot paths. `None` if there is no table.
    pub async fn latest(&self, at: &Location) -> Result<Option<Version>, Error> {
        Ok(self.newest(at).await?.map(|head| head.version()))
    }

    /// The table at a version; in memory or one read away in most cases.
    /// Errors: [`Error::VersionGone`], [`Error::Unsupported`], [`Error::Corrupt`].
    pub async fn snapshot(&self, at: &Location, version: Version) -> Result<Arc<Snapshot>, Error> {
        let key = (at.clone(), version);
        if let Some(known) = self.snapshots.get(&key).await {
            return Ok(known);
        }
        let loaded = self.snapshots.try_get_with(key, self.load(at, version)).await;
        loaded.map_err(shared)
    }

    async fn load(&self, at: &Location, version: Version) -> Result<Arc<Snapshot>, Error> {
        let near = match self.heads.get(at).await {
            Some(head) if head.snapshot.version() <= version => self.advance(head.snapshot, version).await,
            _ => Err(Error::VersionGone { version }),
        };
        let snapshot = match near {
            Err(Error::VersionGone { .. }) => log::at(&self.store, at, version).await?,
            other => other?,
        };
        self.remember_head(&snapshot).await;
        Ok(snapshot)
    }

    async fn advance(&self, from: Arc<Snapshot>, to: Version) -> Result<Arc<Snapshot>, Error> {
        let mut entries =
            log::read_entries(&self.store, from.location(), from.version() + 1..=to).await?.into_iter();
        entries.try_fold(from, |base, entry| base.next(entry).map(Arc::new))
    }

    /// A recent version to build a commit upon: the remembered one, or else the newest.
    pub(crate) async fn head(&self, at: &Location) -> Result<Option<Arc<Snapshot>>, Error> {
        match self.heads.get(at).await {
            Some(head) if head.seen.elapsed() < HEAD_AGE => Ok(Some(head.snapshot)),
            Some(head) => self.confirm(at, head.snapshot).await,
            None => self.find_head(at).await,
        }
    }

    /// Brings an old head up to date, or starts anew where its log is gone.
    async fn confirm(&self, at: &Location, head: Arc<Snapshot>) -> Result<Option<Arc<Snapshot>>, Error> {
        let latest = log::latest(&self.store, at).await?.unwrap_or(-1);
        if latest >= head.version()
            && let Ok(snapshot) = self.advance(head, latest).await
        {
            self.remember_head(&snapshot).await;
            return Ok(Some(snapshot));
        }
        self.heads.invalidate(at).await;
        self.find_head(at).await
    }

    async fn find_head(&self, at: &Location) -> Result<Option<Arc<Snapshot>>, Error> {
        let Some(version) = log::latest(&self.store, at).await? else { return Ok(None) };
        let snapshot = log::at(&self.store, at, version).await?;
        self.remember_head(&snapshot).await;
        Ok(Some(snapshot))
    }

    /// The newest version there is: from the remembered one on, entry by entry, until there is none.
    pub(crate) async fn newest(&self, at: &Location) -> Result<Option<Arc<Snapshot>>, Error> {
        let Some(mut head) = self.head(at).await? else { return Ok(None) };
        while let Some(entry) = log::read_entry(&self.store, at, head.version() + 1).await? {
            head = Arc::new(head.next(entry)?);
        }
        self.remember_head(&head).await;
        Ok(Some(head))
    }

    /// The version after `base`, with what is known of its entry.
    pub(crate) async fn follow(&self, base: &Arc<Snapshot>, entry: Entry) -> Result<Arc<Snapshot>, Error> {
        let next = Arc::new(base.next(entry)?);
        self.remember_head(&next).await;
        Ok(next)
    }

    pub(crate) async fn remember(&self, snapshot: Arc<Snapshot>) {
        self.snapshots.insert((snapshot.location().clone(), snapshot.version()), Arc::clone(&snapshot)).await;
        self.remember_head(&snapshot).await;
    }

    async fn remember_head(&self, snapshot: &Arc<Snapshot>) {
        let at = snapshot.location();
        if self.heads.get(at).await.is_none_or(|head| head.snapshot.version() <= snapshot.version()) {
            let head = Head { snapshot: Arc::clone(snapshot), seen: Instant::now() };
            self.heads.insert(at.clone(), head).await;
        }
    }

    /// Drops what is remembered of a table; the store is asked next time.
    pub async fn forget(&self, at: &Location) {
        self.heads.invalidate(at).await;
        let gone = at.clone();
        if let Err(error) = self.snapshots.invalidate_entries_if(move |(location, _), _| *location == gone) {
            tracing::debug!(%error, "snapshots of a removed table stay until they age");
        }
    }

    /// The version that carried an intent. Asks the store, newest entries first, back to the intent's own time.
    pub async fn find_commit(&self, at: &Location, intent: IntentId) -> Result<Option<Version>, Error> {
        let Some(newest) = self.newest(at).await? else { return Ok(None) };
        match newest.intent(intent) {
            Some(version) => Ok(Some(version)),
            None => log::find_intent(&self.store, at, newest.version(), intent).await,
        }
    }

    /// The last number an application has committed, asked of the store.
    pub async fn txn_version(&self, at: &Location, app: &str) -> Result<Option<i64>, Error> {
        Ok(self.newest(at).await?.and_then(|head| head.txn(app)))
    }

    /// A writer of new files; nothing refers to them until a commit adds them.
    pub fn writer(
        &self,
        at: &Location,
        schema: SchemaRef,
        options: WriterOptions,
    ) -> Result<FileWriter, Error> {
        FileWriter::new(Arc::clone(&self.store.objects), self.store.part_bytes, at.clone(), &schema, options)
    }

    /// Takes a finished local Parquet file into the table's folder under a new name `<prefix>-<uuid>.parquet`. It is
    /// read once: size and checksums are made, and compared where `described` has them; nothing else of
    /// `described` is checked. Errors: [`Error::Corrupt`] if they differ.
    pub async fn adopt(
        &self,
        at: &Location,
        local: &FsPath,
        described: DataFile,
        prefix: &str,
    ) -> Result<DataFile, Error> {
        crate::adopt::adopt(&self.store, at, local, described, prefix).await
    }

    /// The table as the engine reads it: pruned by the log's statistics, checked by its checksums. Cheap.
    /// `sort` is the order the table's writers keep; it is declared where every file vouches for it.
    pub fn provider(
        &self,
        snapshot: Arc<Snapshot>,
        sort: &[String],
    ) -> Result<Arc<dyn TableProvider>, Error> {
        let objects = &self.store.objects;
        let prepared =
            snapshot.prepared(|| Arc::new(scan::Prepared::verified(&snapshot, Arc::clone(objects))));
        Ok(scan::provider(prepared, self.url.clone(), sort))
    }

    /// The same of some of its files.
    pub fn files_provider(
        &self,
        snapshot: &Snapshot,
        files: Vec<Arc<DataFile>>,
        sort: &[String],
    ) -> Arc<dyn TableProvider> {
        let prepared = scan::Prepared::of(snapshot, files, Arc::clone(&self.store.objects));
        scan::provider(Arc::new(prepared), self.url.clone(), sort)
    }

    /// Bytes of a data file, checked. Errors: [`Error::Corrupt`].
    pub async fn read_range(
        &self,
        at: &Location,
        file: &DataFile,
        range: Range<u64>,
    ) -> Result<Bytes, Error> {
        let path = at.file(&file.path);
        let read = verify::read_ranges(self.store.objects.as_ref(), &path, file, &[range]).await?;
        read.into_iter().next().ok_or(Error::NotFound)
    }

    /// Plain objects beside the tables.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The files by their paths in the store.
    pub(crate) fn paths(snapshot: &Snapshot) -> HashMap<object_store::path::Path, Arc<DataFile>> {
        let path = |file: &Arc<DataFile>| (snapshot.location().file(&file.path), Arc::clone(file));
        snapshot.files().iter().map(path).collect()
    }
}

/// An error that several waiters got at once, as each one's own.
fn shared(error: Arc<Error>) -> Error {
    match error.as_ref() {
        Error::NotFound => Error::NotFound,
        Error::VersionGone { version } => Error::VersionGone { version: *version },
        Error::Corrupt { path } => Error::Corrupt { path: path.clone() },
        Error::Unsupported(what) => Error::Unsupported(what.clone()),
        Error::StorageFull => Error::StorageFull,
        Error::Unavailable(_) => Error::Unavailable(Box::new(error)),
        _ => Error::internal(error),
    }
}
