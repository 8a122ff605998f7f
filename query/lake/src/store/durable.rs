//! A folder whose writes survive power loss: bytes are on the disk before their name appears, the name before
//! the call returns.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path as FsPath, PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// `LocalFileSystem` with fsync of files and folders.
#[derive(Debug)]
pub(crate) struct Durable {
    inner: LocalFileSystem,
}

impl Durable {
    pub fn new(inner: LocalFileSystem) -> Self {
        Self { inner }
    }
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({})", self.inner)
    }
}

/// A name that listings of the folder store hide, as its own unfinished files: `<name>#<digits>`.
pub(crate) fn staging_path(path: &FsPath) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
    PathBuf::from(name)
}

/// Puts the names of `path` and of the folders above it on the disk.
pub(crate) fn sync_parents(path: &FsPath) -> io::Result<()> {
    // three levels up is where a new table's folders may have been made; above them the lake existed before
    path.ancestors().skip(1).take(4).try_for_each(|folder| match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(_) => Ok(()),
    })
}

fn put(path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let staged = staging_path(path);
    let outcome = write_and_name(&staged, path, payload, create);
    if outcome.is_err() || create {
        let _ = fs::remove_file(&staged);
    }
    outcome?;
    sync_parents(path)
}

fn write_and_name(staged: &FsPath, path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(staged)?;
    payload.iter().try_for_each(|chunk| file.write_all(chunk))?;
    file.sync_all()?;
    if create { fs::hard_link(staged, path) } else { fs::rename(staged, path) }
}

fn store_error(path: &FsPath, error: io::Error) -> object_store::Error {
    let (path, kind) = (path.display().to_string(), error.kind());
    match kind {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: Box::new(error) },
        io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: Box::new(error) },
        _ => object_store::Error::Generic { store: "lake", source: Box::new(error) },
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&FsPath) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done =
        tokio::task::spawn_blocking(move || work(&path).map_err(|error| store_error(&path, error))).await;
    done.map_err(|source| object_store::Error::JoinError { source })?
}

#[async_trait]
impl ObjectStore for Durable {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        blocking(path, move |path| put(path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        let path = self.inner.path_to_filesystem(location)?;
        Ok(Box::new(Parts { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        blocking(self.inner.path_to_filesystem(to)?, sync_file).await
    }
}

fn sync_file(path: &FsPath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_parents(path)
}

/// An upload in parts that is on the disk once it is complete; nothing refers to it before that.
#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        blocking(self.path.clone(), sync_file).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
