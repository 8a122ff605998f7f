//! A finished answer: final bytes, made once and copied ever after.

use std::io::Write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::{Compression, write::GzEncoder};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::Format;

/// What an answer rests on: one entry of `meta.tables`. `version` is the region's stamp where one region is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMeta {
    pub name: String,
    pub version: Option<i64>,
    pub updated_at: Option<DateTime<Utc>>,
    pub overdue: bool,
}

/// The facts of an answer that a format without room for `meta` carries in headers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    pub rows: u64,
    pub truncated: bool,
    /// Opaque cursor of the next page.
    pub next: Option<String>,
    pub tables: Vec<TableMeta>,
}

/// One whole answer in one format.
#[derive(Debug)]
pub struct Page {
    pub body: Bytes,
    pub format: Format,
    /// Strong tag of the identity form, with its quotes.
    pub etag: String,
    pub facts: Facts,
    gzip: OnceCell<Bytes>,
}

/// Compressing on the spot is fine below this; above it another thread does it.
const COMPRESS_INLINE_BYTES: usize = 32 << 10;

impl Page {
    /// An answer of `body`, already encoded as `format`.
    pub fn new(body: Bytes, format: Format, etag: String, facts: Facts) -> Self {
        Self { body, format, etag, facts, gzip: OnceCell::new() }
    }

    /// The gzip form of the body, made by the first who asks and kept beside it.
    pub async fn gzip(&self) -> Bytes {
        let make = || async {
            let body = self.body.clone();
            if body.len() <= COMPRESS_INLINE_BYTES {
                return compress(&body);
            }
            let kept = body.clone();
            tokio::task::spawn_blocking(move || compress(&kept)).await.unwrap_or_default()
        };
        self.gzip.get_or_init(make).await.clone()
    }

    /// Bytes this page may come to hold, its compressed form included.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.body.len() / 3 + 512
    }
}

fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::new(5));
    // Writing to memory cannot fail; if it ever did, the reader would see an empty body, not a wrong one.
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.map(Bytes::from).unwrap_or_default()
}

/// A page and whether it was there already.
#[derive(Clone, Debug)]
pub struct Answer {
    pub page: std::sync::Arc<Page>,
    pub hit: bool,
}
