//! A store for a worker: files it may only read, and only through somebody else's hands.
//!
//! ```text
//! scan ─▶ ObjectStore::get_ranges ─▶ Ranged::read(path, range) ─▶ the gateway's socket
//! ```
//! Absent on purpose: writing, listing, deleting, and reading without a range.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Reads parts of files by name.
#[async_trait]
pub trait Ranged: fmt::Debug + Send + Sync + 'static {
    /// Length of the file in bytes. Errors: `NotFound`.
    fn size(&self, path: &str) -> io::Result<u64>;

    /// The bytes of `range` (half-open, inside the file). Errors: `NotFound`, or what the reader says.
    async fn read(&self, path: &str, range: Range<u64>) -> io::Result<Bytes>;
}

/// The store that [`crate::scan_files`] reads `files` through.
pub fn ranged_store(files: Arc<dyn Ranged>) -> Arc<dyn ObjectStore> {
    Arc::new(RangedStore(files))
}

#[derive(Debug)]
struct RangedStore(Arc<dyn Ranged>);

const STORE: &str = "worker files";

impl fmt::Display for RangedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path: path.to_string(), source: source.into() },
        _ => Error::Generic { store: STORE, source: source.into() },
    }
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "these files are only read".into() })
}

impl RangedStore {
    fn meta(&self, path: &Path) -> Result<ObjectMeta> {
        let size = self.0.size(path.as_ref()).map_err(|error| failed(path, error))?;
        Ok(ObjectMeta {
            location: path.clone(),
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        })
    }
}

fn wanted(range: Option<GetRange>, size: u64) -> Range<u64> {
    match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
        Some(GetRange::Offset(start)) => start.min(size)..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(length)..size,
    }
}

#[async_trait]
impl ObjectStore for RangedStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let meta = self.meta(path)?;
        let range = wanted(options.range, meta.size);
        let bytes = match options.head {
            true => Bytes::new(),
            false => self.0.read(path.as_ref(), range.clone()).await.map_err(|error| failed(path, error))?,
        };
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
