//! A finished answer: final bytes, made once and copied ever after.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::{Coding, Format};

/// What an answer rests on: one entry of `meta.tables`. `version` is the region's stamp where one region is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMeta {
    pub name: String,
    pub version: Option<i64>,
    pub updated_at: Option<DateTime<Utc>>,
    pub overdue: bool,
    /// The last run of the model behind it failed: the rows are those of the last good one.
    #[serde(default)]
    pub failing: bool,
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
    packed: [OnceCell<Option<Bytes>>; Coding::ALL.len()],
}

/// Packing on the spot is fine below this; above it another thread does it.
const PACK_INLINE_BYTES: usize = 32 << 10;

impl Page {
    /// An answer of `body`, already encoded as `format`.
    pub fn new(body: Bytes, format: Format, etag: String, facts: Facts) -> Self {
        Self { body, format, etag, facts, packed: Default::default() }
    }

    /// The body in a coding, packed by the first who asks and kept beside it; plain where it cannot be packed.
    pub async fn packed(&self, coding: Coding) -> Option<Bytes> {
        let make = || async {
            let body = self.body.clone();
            let packed = if body.len() <= PACK_INLINE_BYTES {
                coding.pack(&body)
            } else {
                tokio::task::spawn_blocking(move || coding.pack(&body))
                    .await
                    .unwrap_or_else(|e| Err(e.into()))
            };
            packed.ok()
        };
        self.packed[coding as usize].get_or_init(make).await.clone()
    }

    /// Bytes this page may come to hold, its packed forms included.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.body.len() / 2 + 512
    }
}

/// A page and whether it was there already.
#[derive(Clone, Debug)]
pub struct Answer {
    pub page: std::sync::Arc<Page>,
    pub hit: bool,
}
