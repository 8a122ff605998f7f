//! Mapping files as sources: a file that changes is a new version of its table, and of all that rests on it.
//!
//! ```text
//! mappings/<schema>.<table>.csv ─▶ other bytes than last ─▶ raw/mapping.<schema>.<table>/day=… ─▶ the whole table anew
//! ```
//! A file that is wrong keeps the table as it is and fails until it is mended: half a mapping is worse than an old one.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use identity::TableName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::raw::{Arrived, RawObject, RawStore, sha256};
use super::{Batch, Places, Source, SourceError, Touched, position};
use crate::lakefile::{Mapping, TableSpec};
use crate::publish::{Mode, Split};

/// One mapping file.
pub struct Mapped {
    name: String,
    mapping: Mapping,
    table: TableSpec,
    raw: RawStore,
    places: Places,
}

/// Which bytes the table holds.
#[derive(Serialize, Deserialize)]
struct At {
    sha256: String,
}

/// What the names of these sources begin with.
pub const PREFIX: &str = "mapping.";

impl Mapped {
    pub fn new(mapping: Mapping, table: TableSpec, raw: RawStore, places: Places) -> Self {
        Self { name: format!("{PREFIX}{}", mapping.table), mapping, table, raw, places }
    }

    /// The file as it is now.
    async fn text(&self) -> Result<String, SourceError> {
        let Some(path) = &self.mapping.path else { return Ok(self.mapping.text.clone()) };
        let read = tokio::fs::read_to_string(path).await;
        read.map_err(|source| SourceError::Folder { folder: path.display().to_string(), source })
    }

    async fn batch(&self, object: RawObject, text: &str) -> Result<Batch, SourceError> {
        let rows = self.mapping.rows(text, &self.table);
        let rows = rows.map_err(|error| SourceError::refused(error.to_string()))?;
        let position = json!(At { sha256: object.sha256.clone() });
        // What it maps is not known here: any region's rows may rest on it.
        let touched = Touched::all_days(self.places.all().await?);
        Ok(Batch { position, objects: json!([object]), rows: vec![rows], touched })
    }
}

#[async_trait]
impl Source for Mapped {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.mapping.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        (Mode::Overwrite, None)
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let text = self.text().await?;
        let known = after.map(position::<At>).transpose()?;
        if known.is_some_and(|known| known.sha256 == sha256(text.as_bytes())) {
            return Ok(None);
        }
        // Judged before it is stored: a wrong file leaves nothing behind.
        let judged = self.mapping.rows(&text, &self.table);
        judged.map_err(|error| SourceError::refused(error.to_string()))?;
        let part = Arrived {
            name: format!("{}.csv", self.mapping.table),
            bytes: Bytes::from(text.clone()),
            origin: self.mapping.file.clone(),
            about: Value::Null,
        };
        let stored = self.raw.store(&self.name, n, now, vec![part]).await?;
        let object = stored.into_iter().next().ok_or_else(|| SourceError::refused("nothing was stored"))?;
        self.batch(object, &text).await.map(Some)
    }

    async fn replay(&self, _: Value, objects: Value) -> Result<Batch, SourceError> {
        let object = super::weather::stored(objects)?.into_iter().next();
        let object = object.ok_or_else(|| SourceError::refused("a batch without objects"))?;
        let bytes = self.raw.read(&object).await?;
        self.batch(object, &String::from_utf8_lossy(&bytes)).await
    }
}
