//! Checksums of stored bytes: made while a file is written, checked on every read of it.
//!
//! ```text
//! writer ─▶ Digest (SHA-256 of the file, CRC-32 a block) ─▶ Add action of the log
//! reader ─▶ Verified store ─▶ range widened to whole blocks ─▶ CRC compared ─▶ bytes
//! ```
//! Parquet has page checksums, but its Rust writer writes none; and a footer would not be covered by them.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::file::DataFile;

const SMALLEST_BLOCK: usize = 64 << 10;
const MOST_BLOCKS: usize = 256;

/// CRC-32 of each block of a file; the last block may be shorter. As text `<bytes a block>:<8 hex digits a block>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Blocks {
    block_bytes: u64,
    sums: Arc<[u32]>,
}

/// Stored bytes that are not those which were written.
#[derive(Debug, thiserror::Error)]
#[error("the checksum of {path} does not match")]
pub struct Mismatch {
    pub path: String,
}

impl Mismatch {
    /// Finds it in the text of an error that has lost its cause.
    pub fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("the checksum of ")?;
        let (path, _) = rest.split_once(" does not match")?;
        Some(Self { path: path.to_owned() })
    }
}

/// Takes a file's bytes as they pass, in constant memory.
pub(crate) struct Digest {
    whole: Sha256,
    block: crc32fast::Hasher,
    filled: usize,
    sums: Vec<u32>,
    size: u64,
}

impl Digest {
    pub fn new() -> Self {
        Self { whole: Sha256::new(), block: crc32fast::Hasher::new(), filled: 0, sums: Vec::new(), size: 0 }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(SMALLEST_BLOCK - self.filled));
            self.block.update(now);
            self.filled += now.len();
            if self.filled == SMALLEST_BLOCK {
                self.close_block();
            }
            bytes = later;
        }
    }

    fn close_block(&mut self) {
        self.sums.push(std::mem::take(&mut self.block).finalize());
        self.filled = 0;
    }

    /// Size in bytes, hex SHA-256, block sums.
    pub fn finish(mut self) -> (u64, String, Blocks) {
        if self.filled > 0 {
            self.close_block();
        }
        let (mut block_bytes, mut sums) = (SMALLEST_BLOCK as u64, self.sums);
        while sums.len() > MOST_BLOCKS {
            sums = join_pairs(&sums, block_bytes, self.size);
            block_bytes *= 2;
        }
        (self.size, hex(&self.whole.finalize()), Blocks { block_bytes, sums: sums.into() })
    }
}

/// Sums of blocks twice as long, from the sums alone.
fn join_pairs(sums: &[u32], block_bytes: u64, size: u64) -> Vec<u32> {
    let hasher = |index: usize| {
        let start = index as u64 * block_bytes;
        crc32fast::Hasher::new_with_initial_len(sums[index], block_bytes.min(size - start))
    };
    let pair = |index: usize| {
        let mut first = hasher(index);
        if index + 1 < sums.len() {
            first.combine(&hasher(index + 1));
        }
        first.finalize()
    };
    (0..sums.len()).step_by(2).map(pair).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Blocks {
    /// `range` widened to whole blocks of a file of `size` bytes.
    fn widen(&self, range: &Range<u64>, size: u64) -> Range<u64> {
        let start = range.start / self.block_bytes * self.block_bytes;
        start..(range.end.div_ceil(self.block_bytes) * self.block_bytes).min(size)
    }

    /// Whether `bytes`, which begin at the block border `start`, are what was written.
    fn hold(&self, start: u64, bytes: &[u8]) -> bool {
        let Ok(block) = usize::try_from(self.block_bytes) else { return false };
        let first = start / self.block_bytes;
        bytes.chunks(block).zip(first..).all(|(chunk, index)| {
            let sum = usize::try_from(index).ok().and_then(|index| self.sums.get(index));
            sum == Some(&crc32fast::hash(chunk))
        })
    }
}

impl From<Blocks> for String {
    fn from(blocks: Blocks) -> Self {
        use fmt::Write as _;
        blocks.sums.iter().fold(format!("{}:", blocks.block_bytes), |mut text, sum| {
            let _ = write!(text, "{sum:08x}");
            text
        })
    }
}

impl TryFrom<String> for Blocks {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const BAD: &str = "not a list of block checksums";
        let (block, sums) = text.split_once(':').ok_or(BAD)?;
        let block_bytes: u64 = block.parse().map_err(|_| BAD)?;
        if block_bytes == 0 || !sums.is_ascii() || sums.len() % 8 != 0 {
            return Err(BAD);
        }
        let sum = |at: usize| u32::from_str_radix(&sums[at..at + 8], 16).map_err(|_| BAD);
        let sums = (0..sums.len()).step_by(8).map(sum).collect::<Result<_, _>>()?;
        Ok(Self { block_bytes, sums })
    }
}

/// Reads ranges of one file; checks them where sums are known, reads once more before it gives up.
pub(crate) async fn read_ranges(
    store: &dyn ObjectStore,
    path: &Path,
    file: &DataFile,
    ranges: &[Range<u64>],
) -> object_store::Result<Vec<Bytes>> {
    let Some(blocks) = &file.blocks else {
        return store.get_ranges(path, ranges).await;
    };
    if ranges.iter().any(|range| range.end > file.size || range.start > range.end) {
        return Err(damaged(path));
    }
    let wide: Vec<_> = ranges.iter().map(|range| blocks.widen(range, file.size)).collect();
    for _ in 0..2 {
        let read = store.get_ranges(path, &wide).await?;
        let whole = |(range, bytes): (&Range<u64>, &Bytes)| {
            bytes.len() as u64 == range.end - range.start && blocks.hold(range.start, bytes)
        };
        if wide.iter().zip(&read).all(whole) {
            return Ok(cut(ranges, &wide, &read));
        }
        tracing::warn!(%path, "stored bytes do not match their checksum");
    }
    Err(damaged(path))
}

fn cut(ranges: &[Range<u64>], wide: &[Range<u64>], read: &[Bytes]) -> Vec<Bytes> {
    let one = |((range, wide), bytes): ((&Range<u64>, &Range<u64>), &Bytes)| {
        let at = |offset: u64| usize::try_from(offset - wide.start).unwrap_or(usize::MAX);
        bytes.slice(at(range.start)..at(range.end))
    };
    ranges.iter().zip(wide).zip(read).map(one).collect()
}

fn damaged(path: &Path) -> object_store::Error {
    object_store::Error::Generic { store: "lake", source: Box::new(Mismatch { path: path.to_string() }) }
}

/// A view of the store in which the files of one snapshot are read with their checksums.
pub(crate) struct Verified {
    inner: Arc<dyn ObjectStore>,
    files: HashMap<Path, Arc<DataFile>>,
}

impl Verified {
    pub fn new(inner: Arc<dyn ObjectStore>, files: HashMap<Path, Arc<DataFile>>) -> Self {
        Self { inner, files }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} files)", self.files.len())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Verified {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let Some(file) = self.files.get(location).filter(|_| !options.head) else {
            return self.inner.get_opts(location, options).await;
        };
        let range = match options.range {
            None => 0..file.size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(file.size),
            Some(GetRange::Offset(start)) => start..file.size,
            Some(GetRange::Suffix(last)) => file.size.saturating_sub(last)..file.size,
        };
        let read = read_ranges(self.inner.as_ref(), location, file, std::slice::from_ref(&range)).await?;
        let bytes = read.into_iter().next().unwrap_or_default();
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
            meta: meta(location.clone(), file),
            range,
            attributes: Default::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        match self.files.get(location) {
            Some(file) => read_ranges(self.inner.as_ref(), location, file, ranges).await,
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What a HEAD of the file would say, known without asking.
pub(crate) fn meta(location: Path, file: &DataFile) -> ObjectMeta {
    let last_modified = chrono::DateTime::from_timestamp_millis(file.modified).unwrap_or_default();
    ObjectMeta { location, last_modified, size: file.size, e_tag: None, version: None }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;

    async fn stored(len: usize) -> (InMemory, Path, DataFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let mut digest = Digest::new();
        bytes.chunks(10_007).for_each(|chunk| digest.update(chunk));
        let (size, sha256, blocks) = digest.finish();
        let (store, path) = (InMemory::new(), Path::from("t/f.parquet"));
        store.put(&path, bytes.clone().into()).await.unwrap();
        let file = DataFile { size, sha256: Some(sha256), blocks: Some(blocks), ..DataFile::default() };
        (store, path, file, bytes)
    }

    #[tokio::test]
    async fn ranges_come_back_as_written_and_a_flipped_byte_is_seen() {
        for len in [1, SMALLEST_BLOCK, SMALLEST_BLOCK * 3 + 5, SMALLEST_BLOCK * 600 + 17] {
            let (store, path, file, mut bytes) = stored(len).await;
            let ranges = [0..1_u64, (len as u64 / 2)..(len as u64), 0..len as u64];
            let read = read_ranges(&store, &path, &file, &ranges).await.unwrap();
            for (range, read) in ranges.iter().zip(read) {
                assert_eq!(&read[..], &bytes[range.start as usize..range.end as usize]);
            }
            bytes[len / 2] ^= 1;
            store.put(&path, bytes.into()).await.unwrap();
            let error = read_ranges(&store, &path, &file, &ranges[1..2]).await.unwrap_err();
            assert!(matches!(crate::Error::from(error), crate::Error::Corrupt { .. }));
        }
    }

    #[tokio::test]
    async fn a_shorter_file_is_seen() {
        let (store, path, file, bytes) = stored(SMALLEST_BLOCK * 2).await;
        store.put(&path, bytes[..SMALLEST_BLOCK + 9].to_vec().into()).await.unwrap();
        let missing = SMALLEST_BLOCK as u64..SMALLEST_BLOCK as u64 + 20;
        assert!(read_ranges(&store, &path, &file, std::slice::from_ref(&missing)).await.is_err());
    }

    #[test]
    fn the_text_form_is_short_and_reads_back() {
        let mut digest = Digest::new();
        (0..700).for_each(|i| digest.update(&vec![i as u8; SMALLEST_BLOCK]));
        let (_, sha256, blocks) = digest.finish();
        assert_eq!(sha256.len(), 64);
        assert!(blocks.sums.len() <= MOST_BLOCKS);
        let text = String::from(blocks.clone());
        assert_eq!(Blocks::try_from(text).unwrap(), blocks);
        assert!(Blocks::try_from("64:12".to_owned()).is_err());
    }
}
