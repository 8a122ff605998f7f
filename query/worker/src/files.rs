//! The bytes a task may read: served by the gateway, read by the worker.
//!
//! ```text
//! worker: FileClient.read(3, 0..4 MiB) ─ GET /files/3, Range ─▶ gateway: Files.read(3, 0..4 MiB)
//! ```
//! A file is a number that means something only inside one task. No path, URL or credential crosses.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

mod client;
mod server;

pub(crate) use client::connect;
pub(crate) use server::{Served, answer};

/// The files of one task, on the gateway's side. Index: the position in the task's own list.
#[async_trait]
pub trait Files: Send + Sync {
    /// Length of file `index` in bytes. Errors: `NotFound` for a number outside the task.
    async fn size(&self, index: usize) -> io::Result<u64>;

    /// The bytes of `range` (half-open, inside the file). Errors: `NotFound`, or what the store says.
    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes>;

    /// The worker tells how far it is; the shape belongs to the task's kind. Ignored by default.
    fn progress(&self, _told: Value) {}
}

/// A task that reads no file at all.
pub struct NoFiles;

#[async_trait]
impl Files for NoFiles {
    async fn size(&self, index: usize) -> io::Result<u64> {
        Err(no_file(index))
    }

    async fn read(&self, index: usize, _: Range<u64>) -> io::Result<Bytes> {
        Err(no_file(index))
    }
}

fn no_file(index: usize) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {index} in this task"))
}

/// The worker's side of [`Files`]: cheap to clone, reads run side by side.
#[derive(Clone)]
pub struct FileClient(Source);

#[derive(Clone)]
enum Source {
    Gateway(client::Connection),
    Here(Arc<dyn Files>),
}

/// Bytes asked for in one request: bounds what the gateway holds for one worker.
const PIECE_BYTES: u64 = 4 << 20;
/// Requests of one `read` in flight.
const PIECES_AT_ONCE: usize = 3;

impl FileClient {
    /// A client over files of the same process: for tests of handlers.
    pub fn here(files: Arc<dyn Files>) -> Self {
        Self(Source::Here(files))
    }

    pub(crate) fn remote(connection: client::Connection) -> Self {
        Self(Source::Gateway(connection))
    }

    /// Length of file `index` in bytes. Errors: `NotFound`, `BrokenPipe` when the gateway is gone.
    pub async fn size(&self, index: usize) -> io::Result<u64> {
        match &self.0 {
            Source::Gateway(gateway) => gateway.size(index).await,
            Source::Here(files) => files.size(index).await,
        }
    }

    /// The bytes of `range` (half-open), exactly as long as asked for. Errors: `NotFound`,
    /// `UnexpectedEof` when the file is shorter, `BrokenPipe` when the gateway is gone.
    pub async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        use futures::{StreamExt, TryStreamExt};
        let wanted = range.end.saturating_sub(range.start);
        if wanted <= PIECE_BYTES {
            return self.piece(index, range).await;
        }
        let mut whole = Vec::with_capacity(usize::try_from(wanted).map_err(io::Error::other)?);
        let mut pieces = futures::stream::iter(pieces(range))
            .map(|piece| self.piece(index, piece))
            .buffered(PIECES_AT_ONCE);
        while let Some(piece) = pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// Tells the gateway how far the task is; lost when nobody listens.
    pub async fn progress(&self, told: Value) {
        match &self.0 {
            Source::Gateway(gateway) => gateway.progress(told).await,
            Source::Here(files) => files.progress(told),
        }
    }

    async fn piece(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let bytes = match &self.0 {
            Source::Gateway(gateway) => gateway.read(index, range).await?,
            Source::Here(files) => files.read(index, range).await?,
        };
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("file {index} is cut short"))),
        }
    }
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end).step_by(PIECE_BYTES as usize).map(move |at| at..end.min(at + PIECE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Letters(Vec<u8>);

    #[async_trait]
    impl Files for Letters {
        async fn size(&self, _: usize) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        async fn read(&self, _: usize, range: Range<u64>) -> io::Result<Bytes> {
            let end = self.0.len().min(range.end as usize);
            Ok(Bytes::copy_from_slice(&self.0[range.start as usize..end]))
        }
    }

    #[tokio::test]
    async fn a_long_read_is_put_together_in_order() {
        let letters: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8).collect();
        let client = FileClient::here(Arc::new(Letters(letters.clone())));
        assert_eq!(client.read(0, 5..9_999_999).await.unwrap(), letters[5..9_999_999]);
        assert!(client.read(0, 7..7).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_short_file_is_an_error_not_fewer_bytes() {
        let client = FileClient::here(Arc::new(Letters(vec![1, 2, 3])));
        let error = client.read(0, 0..4).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_task_without_files_has_none() {
        let client = FileClient::here(Arc::new(NoFiles));
        assert_eq!(client.size(0).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
