//! Sources that come as CSV files in a folder: A, B, and the market's history (query/ingest/src/sources/files).
//!
//! ```text
//! inbox/<source>/*.csv ─▶ new or changed, and settled ─▶ raw/<source>/day=… ─▶ rows of the declared types
//! ```
//! The rows of a file are dated by a column of their own, else by the date in the file's name, else by the day it
//! came, less the source's lag. A file that does not fit its table is kept in the raw area, said aloud, and passed
//! over: it does not hold up those behind it. Absent on purpose: other formats, and places that are not folders.

mod csv;
mod folder;

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use identity::TableName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use folder::Found;

use super::raw::{Arrived, RawObject, RawStore, sha256};
use super::{Batch, Source, SourceError, Touched, position};
use crate::lakefile::{FilesSpec, TableSpec};
use crate::publish::{Mode, Split};

/// The longest file that is taken.
const LIMIT_BYTES: u64 = 1 << 30;

/// One folder as a source.
pub struct Files {
    pub name: String,
    pub spec: FilesSpec,
    pub table: TableSpec,
    pub folder: PathBuf,
    pub raw: RawStore,
}

/// What is known of each file that was taken.
#[derive(Default, Serialize, Deserialize)]
struct At {
    files: BTreeMap<String, Known>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified_ms: i64,
    sha256: String,
    /// Why its rows were not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table.name
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        (Mode::Upsert { key: self.table.key.clone(), unique: false }, None)
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let at: At = after.map(position).transpose()?.unwrap_or_default();
        for found in folder::list(&self.folder, self.spec.settle_ms, now).await? {
            let known = at.files.get(&found.name);
            if known.is_some_and(|k| (k.size, k.modified_ms) == (found.size, found.modified_ms)) {
                continue;
            }
            let bytes = found.read(LIMIT_BYTES).await?;
            let digest = sha256(&bytes);
            if known.is_some_and(|k| k.sha256 == digest) {
                continue; // touched, not changed
            }
            return self.take(n, at, found, bytes, now).await.map(Some);
        }
        Ok(None)
    }

    async fn replay(&self, at: Value, objects: Value) -> Result<Batch, SourceError> {
        let object = super::weather::stored(objects)?.into_iter().next();
        let object = object.ok_or_else(|| SourceError::refused("a batch without objects"))?;
        let bytes = self.raw.read(&object).await?;
        let (batch, _) = self.batch(at, object, &bytes);
        Ok(batch)
    }
}

impl Files {
    async fn take(
        &self,
        n: i64,
        mut at: At,
        found: Found,
        bytes: Bytes,
        now: DateTime<Utc>,
    ) -> Result<Batch, SourceError> {
        let part = Arrived {
            name: found.name.clone(),
            bytes: bytes.clone(),
            origin: found.path.display().to_string(),
            about: json!({ "file": found.name }),
        };
        let stored = self.raw.store(&self.name, n, now, vec![part]).await?;
        let object = stored.into_iter().next().ok_or_else(|| SourceError::refused("nothing was stored"))?;
        let known = Known {
            size: found.size,
            modified_ms: found.modified_ms,
            sha256: object.sha256.clone(),
            refused: None,
        };
        let (mut batch, refused) = self.batch(Value::Null, object, &bytes);
        at.files.insert(found.name, Known { refused, ..known });
        batch.position = json!(at);
        Ok(batch)
    }

    /// The rows of a file; none, and why, when it does not fit its table.
    fn batch(&self, position: Value, object: RawObject, bytes: &[u8]) -> (Batch, Option<String>) {
        let name = object.about["file"].as_str().unwrap_or_default();
        let read = csv::read(bytes, &self.table, &self.dating(name, object.at), object.at);
        let (rows, touched, refused) = match read {
            Ok((rows, touched)) => (rows, touched, None),
            Err(error) => {
                tracing::error!(source = self.name, file = name, %error, "a file is set aside");
                metrics::counter!("lakefront_source_set_aside_total", "source" => self.name.clone())
                    .increment(1);
                (Vec::new(), Touched::default(), Some(error.to_string()))
            }
        };
        (Batch { position, objects: json!([object]), rows, touched }, refused)
    }

    /// How rows without a date of their own are dated.
    fn dating(&self, name: &str, came: DateTime<Utc>) -> csv::Dating {
        let day = folder::date_in(name).unwrap_or(came.date_naive());
        csv::Dating {
            column: self.spec.dated.clone(),
            day: day - chrono::TimeDelta::days(self.spec.lag_days),
        }
    }

    /// The schema its rows have.
    pub fn schema(&self) -> SchemaRef {
        self.table.schema()
    }
}
