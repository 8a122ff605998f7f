//! Stores by URL: a folder, memory, S3, GCS, Azure; all behind one trait, all rooted at the lake.
//!
//! ```text
//! file:///var/lake   ─▶ folder (made if absent), optionally durable against power loss
//! memory:///         ─▶ memory, gone with the process
//! s3|gs|az://b/p     ─▶ the cloud's client: no try after 5 s, 3 s a call, put-if-absent tried at start
//! ```
//! Absent on purpose: the libraries' own defaults, which retry for three minutes.

mod cloud;
mod durable;
mod upload;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use serde::Deserialize;
use url::Url;

use durable::Durable;
pub(crate) use upload::Upload;

use crate::Error;

/// Where the lake is and how it is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeConfig {
    /// `file:///folder`, `memory:///`, `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub url: String,
    /// The client's own settings (`region`, `endpoint`, `allow_http`, …); credentials also come from the environment.
    pub options: BTreeMap<String, String>,
    /// A folder's files and names are on the disk before a write returns.
    pub fsync: bool,
    /// Memory for table snapshots.
    pub snapshot_cache_bytes: u64,
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            url: "memory:///".to_owned(),
            options: BTreeMap::new(),
            fsync: false,
            snapshot_cache_bytes: 64 << 20,
        }
    }
}

/// The store, rooted at the lake, and what its kind allows.
#[derive(Clone)]
pub(crate) struct Store {
    pub objects: Arc<dyn ObjectStore>,
    /// The lake's folder, if it is one.
    pub folder: Option<PathBuf>,
    pub fsync: bool,
    /// Bytes a part of an upload; the unit of memory an upload takes.
    pub part_bytes: usize,
}

impl Store {
    /// Opens the store. Errors: [`Error::Misconfigured`] where the URL or an option is wrong, or where the
    /// store has no put-if-absent, without which two writers would overwrite each other's commits.
    pub async fn open(config: &LakeConfig) -> Result<Self, Error> {
        let url =
            Url::parse(&config.url).map_err(|error| Error::Misconfigured(format!("lake url: {error}")))?;
        match url.scheme() {
            "file" => Self::folder(&url, config.fsync),
            "memory" => Ok(Self {
                objects: Arc::new(InMemory::new()),
                folder: None,
                fsync: false,
                part_bytes: 1 << 20,
            }),
            _ => {
                let bucket = cloud::client(&url, &config.options)?;
                check_put_if_absent(bucket.as_ref(), &Path::from(url.path())).await?;
                let objects: Arc<dyn ObjectStore> =
                    Arc::new(PrefixStore::new(bucket, Path::from(url.path())));
                Ok(Self { objects, folder: None, fsync: false, part_bytes: 8 << 20 })
            }
        }
    }

    /// A store of others, which nothing is written to. Errors: [`Error::Misconfigured`].
    pub fn to_read(url: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let url = Url::parse(url).map_err(|error| Error::Misconfigured(format!("url: {error}")))?;
        let (objects, folder): (Arc<dyn ObjectStore>, _) = if url.scheme() == "file" {
            let wrong = |_| Error::Misconfigured("url: not a folder".to_owned());
            let folder = url.to_file_path().map_err(wrong)?;
            let files = LocalFileSystem::new_with_prefix(&folder)
                .map_err(|error| Error::Misconfigured(format!("folder: {error}")))?;
            (Arc::new(files), Some(folder))
        } else {
            let prefix = Path::from_url_path(url.path())
                .map_err(|error| Error::Misconfigured(format!("url: {error}")))?;
            (Arc::new(PrefixStore::new(cloud::client(&url, options)?, prefix)), None)
        };
        Ok(Self { objects, folder, fsync: false, part_bytes: 8 << 20 })
    }

    fn folder(url: &Url, fsync: bool) -> Result<Self, Error> {
        let folder =
            url.to_file_path().map_err(|()| Error::Misconfigured("lake url: not a folder".to_owned()))?;
        fs::create_dir_all(&folder).map_err(|error| Error::Misconfigured(format!("lake folder: {error}")))?;
        let folder =
            folder.canonicalize().map_err(|error| Error::Misconfigured(format!("lake folder: {error}")))?;
        let files = LocalFileSystem::new_with_prefix(&folder)?;
        let objects: Arc<dyn ObjectStore> =
            if fsync { Arc::new(Durable::new(files)) } else { Arc::new(files) };
        Ok(Self { objects, folder: Some(folder), fsync, part_bytes: 1 << 20 })
    }

    /// The file behind a path, if the lake is a folder.
    pub fn local_path(&self, path: &Path) -> Option<PathBuf> {
        self.folder
            .as_ref()
            .map(|folder| path.parts().fold(folder.clone(), |at, part| at.join(part.as_ref())))
    }

    /// Puts an object that must not exist yet; the way of every log entry.
    pub async fn create(&self, path: &Path, bytes: impl Into<PutPayload>) -> object_store::Result<()> {
        self.objects.put_opts(path, bytes.into(), PutMode::Create.into()).await.map(drop)
    }
}

/// Two puts of one new name: the second must be refused. Some stores that speak S3 take both without a word.
async fn check_put_if_absent(store: &dyn ObjectStore, prefix: &Path) -> Result<(), Error> {
    let path = prefix.clone().join("_lakefront").join(format!("put-if-absent-{}", uuid::Uuid::new_v4()));
    let put = || store.put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into());
    put().await.map_err(|error| Error::Misconfigured(format!("the lake cannot be written: {error}")))?;
    let second = put().await;
    delete(store, &path).await?;
    match second {
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
        Ok(_) => Err(Error::Misconfigured(
            "the store overwrites where it should refuse (no If-None-Match)".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Removes an object; an absent one counts as removed.
pub(crate) async fn delete(store: &dyn ObjectStore, path: &Path) -> Result<(), Error> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a finished local file, which `open` holds, part of a folder lake: on the disk first if asked, then under its
/// name. Errors: another file than the open one lies under the old name by now.
pub(crate) fn move_in(from: &FsPath, open: File, to: &FsPath, fsync: bool) -> io::Result<()> {
    if fsync {
        open.sync_all()?;
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_in(from, open, to, fsync)?,
        Err(error) => return Err(error),
        Ok(()) if fs::symlink_metadata(to)?.ino() != open.metadata()?.ino() => {
            fs::remove_file(to)?;
            return Err(io::Error::other("the file was exchanged while it was read"));
        }
        Ok(()) => {}
    }
    if fsync { durable::sync_parents(to) } else { Ok(()) }
}

/// The scratch folder lies on another disk: copy beside the target, then rename.
fn copy_in(from: &FsPath, mut open: File, to: &FsPath, fsync: bool) -> io::Result<()> {
    let staged = durable::staging_path(to);
    let mut copy = File::create_new(&staged)?;
    open.rewind()?;
    io::copy(&mut open, &mut copy)?;
    if fsync {
        copy.sync_all()?;
    }
    fs::rename(&staged, to)?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_can_be_taken_once_in_every_kind_of_store() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap().to_string();
        for (url, fsync) in [("memory:///", false), (url.as_str(), false), (url.as_str(), true)] {
            let store = Store::open(&LakeConfig { url: url.to_owned(), fsync, ..LakeConfig::default() })
                .await
                .unwrap();
            let path = Path::from(format!("a/b/{fsync}.json"));
            store.create(&path, "first").await.unwrap();
            let again = store.create(&path, "second").await.unwrap_err();
            assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again}");
            assert_eq!(store.objects.get(&path).await.unwrap().bytes().await.unwrap(), "first");
            check_put_if_absent(store.objects.as_ref(), &Path::from("x")).await.unwrap();
        }
    }

    #[tokio::test]
    async fn wrong_settings_are_refused_at_start() {
        for url in ["nonsense", "ftp://host/x", "s3://"] {
            let opened = Store::open(&LakeConfig { url: url.to_owned(), ..LakeConfig::default() }).await;
            assert!(matches!(opened, Err(Error::Misconfigured(_))), "{url}");
        }
        let options = [("no_such_option".to_owned(), "1".to_owned())].into();
        let opened =
            Store::open(&LakeConfig { url: "s3://bucket/x".to_owned(), options, ..LakeConfig::default() })
                .await;
        assert!(matches!(opened, Err(Error::Misconfigured(_))));
    }
}
