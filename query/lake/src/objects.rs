//! Plain objects beside the tables: raw files, uploads, results.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use crate::Error;
use crate::store::{Store, Upload, delete};
use crate::verify::Digest;

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Bytes.
    pub size: u64,
    /// Hex SHA-256 of the whole.
    pub sha256: String,
}

/// An object as a listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Relative to the lake's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub modified: DateTime<Utc>,
    /// The store's entity tag, where it has one.
    pub tag: Option<String>,
}

impl From<ObjectMeta> for ObjectInfo {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            path: meta.location.to_string(),
            size: meta.size,
            modified: meta.last_modified,
            tag: meta.e_tag,
        }
    }
}

/// Objects by path, relative to the lake's root.
#[derive(Clone)]
pub struct Objects {
    store: Store,
}

impl Objects {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Objects of another store than the lake's, to be read: nothing is made or tried there.
    /// Errors: [`Error::Misconfigured`] where the URL or an option is wrong.
    pub fn elsewhere(url: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        Ok(Self::new(Store::to_read(url, options)?))
    }

    /// Stores a stream in constant memory while it is hashed. The object appears whole or not at all: an error of
    /// the stream, or dropping the future, leaves nothing visible.
    pub async fn put_stream<S>(&self, path: &str, content: S) -> Result<Put, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>>,
    {
        let mut upload =
            Upload::new(Arc::clone(&self.store.objects), Path::from(path), self.store.part_bytes);
        match pour(&mut upload, content).await {
            Ok(put) => upload.finish().await.map(|()| put),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Stores bytes, replacing what is there.
    pub async fn put(&self, path: &str, content: Bytes) -> Result<Put, Error> {
        let mut digest = Digest::new();
        digest.update(&content);
        self.store.objects.put(&Path::from(path), content.into()).await?;
        let (size, sha256, _) = digest.finish();
        Ok(Put { size, sha256 })
    }

    /// The whole object, in memory. Errors: [`Error::NotFound`].
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        Ok(self.store.objects.get(&Path::from(path)).await?.bytes().await?)
    }

    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
        Ok(self.store.objects.get_range(&Path::from(path), range).await?)
    }

    /// The object in pieces, each a call of its own with its own time: a long one takes longer than one call may.
    /// Errors: [`Error::NotFound`].
    pub async fn get_stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let (objects, path) = (Arc::clone(&self.store.objects), Path::from(path));
        let (size, piece) = (objects.head(&path).await?.size, self.store.part_bytes as u64);
        let read = move |at: u64| {
            let (objects, path) = (Arc::clone(&objects), path.clone());
            async move { Ok(objects.get_range(&path, at..size.min(at + piece)).await?) }
        };
        Ok(stream::iter((0..size).step_by(self.store.part_bytes)).then(read).boxed())
    }

    pub async fn head(&self, path: &str) -> Result<Option<ObjectInfo>, Error> {
        match self.store.objects.head(&Path::from(path)).await {
            // A store with a prefix tells its own path of the object, not the one below the prefix.
            Ok(meta) => Ok(Some(ObjectInfo { path: path.to_owned(), ..meta.into() })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All objects below a prefix, in the order of their paths.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let found = self
            .store
            .objects
            .list(Some(&Path::from(prefix)))
            .map_ok(ObjectInfo::from)
            .try_collect::<Vec<_>>()
            .await;
        let mut found = match found {
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Paths of the folders right below a prefix.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        match self.store.objects.list_with_delimiter(Some(&Path::from(prefix))).await {
            Ok(found) => Ok(found.common_prefixes.iter().map(ToString::to_string).collect()),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an object; an absent one counts as removed.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        delete(self.store.objects.as_ref(), &Path::from(path)).await
    }

    /// Removes everything below a prefix; gives the number of objects.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, Error> {
        let paths: Vec<_> =
            self.list(prefix).await?.into_iter().map(|object| Ok(Path::from(object.path))).collect();
        let mut outcomes = self.store.objects.delete_stream(stream::iter(paths).boxed());
        let mut removed = 0;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(folder) = self.local_path(prefix) {
            tokio::task::spawn_blocking(move || remove_empty(&folder)).await.map_err(Error::internal)?;
        }
        Ok(removed)
    }

    /// The file behind a path, if the lake is a folder.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.store.local_path(&Path::from(path))
    }

    /// Removes unfinished files that a killed process left in a folder lake; listings do not show them.
    /// Elsewhere there is nothing to do: unfinished parts go by the bucket's lifecycle rule.
    pub async fn sweep_staging(&self, prefix: &str, older_than: DateTime<Utc>) -> Result<u64, Error> {
        let Some(folder) = self.local_path(prefix) else { return Ok(0) };
        tokio::task::spawn_blocking(move || sweep(folder, older_than.into()))
            .await
            .map_err(Error::internal)?
    }
}

async fn pour<S: Stream<Item = std::io::Result<Bytes>>>(
    upload: &mut Upload,
    content: S,
) -> Result<Put, Error> {
    let mut content = std::pin::pin!(content);
    let mut digest = Digest::new();
    while let Some(chunk) = content.next().await {
        let chunk = chunk?;
        digest.update(&chunk);
        upload.write(chunk).await?;
    }
    let (size, sha256, _) = digest.finish();
    Ok(Put { size, sha256 })
}

/// Removes folders without files in them; one that fills again meanwhile stays.
fn remove_empty(folder: &FsPath) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

fn sweep(folder: PathBuf, older_than: SystemTime) -> Result<u64, Error> {
    let (mut folders, mut removed) = (vec![folder], 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if is_staging(&entry.file_name().to_string_lossy())
                && meta.modified().is_ok_and(|at| at < older_than)
            {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn is_staging(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::store::LakeConfig;

    async fn both() -> (tempfile::TempDir, Vec<Objects>) {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap().to_string();
        let mut all = Vec::new();
        for url in ["memory:///".to_owned(), url] {
            all.push(Objects::new(Store::open(&LakeConfig { url, ..LakeConfig::default() }).await.unwrap()));
        }
        (folder, all)
    }

    fn chunks(count: usize, broken: bool) -> impl Stream<Item = std::io::Result<Bytes>> {
        let end = broken.then(|| Err(std::io::Error::other("cut off")));
        stream::iter((0..count).map(|i| Ok(Bytes::from(vec![i as u8; 300_000]))).chain(end))
    }

    #[tokio::test]
    async fn a_stream_is_stored_whole_with_its_digest() {
        let (_folder, all) = both().await;
        for objects in all {
            for count in [0, 1, 20] {
                let put = objects.put_stream("raw/x/f.csv", chunks(count, false)).await.unwrap();
                let read = objects.get("raw/x/f.csv").await.unwrap();
                assert_eq!(put, objects.put("raw/copy", read.clone()).await.unwrap());
                assert_eq!(put.size, read.len() as u64);
                let pieces = objects.get_stream("raw/x/f.csv").await.unwrap();
                assert_eq!(pieces.try_collect::<Vec<_>>().await.unwrap().concat(), read);
            }
            assert_eq!(objects.get_range("raw/x/f.csv", 299_999..300_001).await.unwrap(), [0_u8, 1][..]);
            assert_eq!(objects.list("raw").await.unwrap().len(), 2);
            assert_eq!(objects.list_folders("raw").await.unwrap(), ["raw/x"]);
            assert_eq!(objects.delete_prefix("raw").await.unwrap(), 2);
            assert!(
                objects.list("raw").await.unwrap().is_empty()
                    && objects.head("raw/copy").await.unwrap().is_none()
            );
        }
    }

    #[tokio::test]
    async fn a_broken_stream_leaves_nothing() {
        let (folder, all) = both().await;
        for objects in all {
            for count in [0, 1, 20] {
                assert!(objects.put_stream("up/f", chunks(count, true)).await.is_err());
                assert!(objects.list("up").await.unwrap().is_empty());
            }
        }
        let left = std::fs::read_dir(folder.path().join("up")).map_or(0, |entries| entries.count());
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn staging_files_of_a_killed_process_are_swept() {
        let (folder, all) = both().await;
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for name in ["a/b/f.parquet#12", "a/b/g.parquet", "a/h#x"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let later = Utc::now() + chrono::Duration::seconds(5);
        assert_eq!(all[1].sweep_staging("a", later - chrono::Duration::hours(1)).await.unwrap(), 0);
        assert_eq!(all[1].sweep_staging("a", later).await.unwrap(), 1);
        assert_eq!(all[0].sweep_staging("a", later).await.unwrap(), 0);
    }
}
