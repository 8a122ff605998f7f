//! The bytes of an upload, in order: fetched ahead, unpacked, turned into UTF-8.
//!
//! ```text
//! FileClient ─ ranges ahead ─▶ Fetched ─▶ gzip | zstd, ratio counted ─▶ UTF-8, windows-1252 or UTF-16 ─▶ blocks
//! ```

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use worker::FileClient;

use super::fault::{Fault, Stop};
use super::request::DecodeCaps;
use super::sniff::Packing;

/// Bytes of one range.
const RANGE_BYTES: u64 = 4 << 20;
/// Ranges fetched ahead.
const RANGES_AHEAD: usize = 2;
/// The ratio counts from here on: small files of one repeated letter are no bombs.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// An upload that can be read from its start as often as needed.
#[derive(Clone)]
pub struct Source {
    files: FileClient,
    index: usize,
    handle: Handle,
    pub size: u64,
    pub caps: DecodeCaps,
    /// Stored bytes that the current pass has read.
    progress: Arc<AtomicU64>,
}

impl Source {
    /// Errors: what the gateway says about the file.
    pub async fn open(files: FileClient, index: usize, caps: DecodeCaps) -> io::Result<Self> {
        let size = files.size(index).await?;
        Ok(Self { files, index, handle: Handle::current(), size, caps, progress: Arc::default() })
    }

    /// The first `length` stored bytes, or fewer where the file is shorter. Blocking.
    pub fn head(&self, length: u64) -> io::Result<Bytes> {
        self.range(0, length.min(self.size))
    }

    /// Stored bytes from `start` to `end`. Blocking: not for threads of the runtime.
    pub fn range(&self, start: u64, end: u64) -> io::Result<Bytes> {
        self.handle.block_on(self.files.read(self.index, start..end))
    }

    /// The content from its start, unpacked.
    pub fn unpacked(&self, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
        let stored = self.stored();
        let read = stored.taken.clone();
        let unpacked: Box<dyn Read + Send> = match packing {
            Packing::None => return Ok(Box::new(stored)),
            Packing::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(256 << 10, stored)))
            }
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(
                256 << 10,
                stored,
            ))?),
        };
        Ok(Box::new(Counted { unpacked, read, given: 0, caps: self.caps }))
    }

    /// Stored bytes that the current pass has read.
    pub fn taken(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    fn stored(&self) -> Fetched {
        self.progress.store(0, Ordering::Relaxed);
        let (send, ranges) = mpsc::channel(RANGES_AHEAD);
        let (files, index, size) = (self.files.clone(), self.index, self.size);
        self.handle.spawn(async move {
            let mut at = 0;
            while at < size {
                let end = size.min(at + RANGE_BYTES);
                let read = files.read(index, at..end).await;
                let failed = read.is_err();
                if send.send(read).await.is_err() || failed {
                    return;
                }
                at = end;
            }
        });
        Fetched { ranges, current: Bytes::new(), taken: Arc::default(), progress: Arc::clone(&self.progress) }
    }
}

/// Ranges in order as one reader.
struct Fetched {
    ranges: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    taken: Arc<AtomicU64>,
    progress: Arc<AtomicU64>,
}

impl Read for Fetched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.ranges.blocking_recv() {
                Some(range) => self.current = range?,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..length]);
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        self.progress.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Stops an unpacked stream that grows out of proportion.
struct Counted {
    unpacked: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    given: u64,
    caps: DecodeCaps,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.unpacked.read(into).map_err(damaged)?;
        self.given += length as u64;
        let allowed = RATIO_FREE_BYTES + self.read.load(Ordering::Relaxed).saturating_mul(self.caps.ratio);
        if self.given > allowed.min(self.caps.unpacked_bytes) {
            let why = match self.given > self.caps.unpacked_bytes {
                true => format!("it unpacks to more than {} bytes", self.caps.unpacked_bytes),
                false => format!("it unpacks to more than {} times its size", self.caps.ratio),
            };
            return Err(
                Stop::Fault(Fault::malformed(format!("the compressed file is refused: {why}"))).into()
            );
        }
        Ok(length)
    }
}

/// What the unpacker says about the bytes is the file's fault; what comes from below stays an error of input.
fn damaged(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => refused("the compressed file ends too early"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other
            if !is_carried(&error) =>
        {
            refused("the compressed data is damaged")
        }
        _ => error,
    }
}

fn is_carried(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.to_string() == "the file is refused")
}

fn refused(detail: &str) -> io::Error {
    Stop::Fault(Fault::malformed(detail)).into()
}
