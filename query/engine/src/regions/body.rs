//! The envelope of region answers: `{"data": …, "meta": {…}}`, built once.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cache::Tag;
use crate::{Facts, Format, Page, QueryError, TableMeta};

/// `meta` of an answer; keys in the order they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta {
    entries: Map<String, Value>,
    facts: Facts,
}

impl Meta {
    /// What every answer says: how many rows, from which tables.
    pub fn new(rows: usize, tables: Vec<TableMeta>) -> Self {
        let facts = Facts { rows: rows as u64, tables, ..Facts::default() };
        Self { entries: Map::new(), facts }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.entries.insert(name.to_owned(), value.into());
        self
    }

    /// `rows`, `truncated` and `next`: the meta of lists. Nothing here is ever truncated without saying where it goes on.
    pub fn listed(mut self, next: Option<String>) -> Self {
        self.facts.next = next;
        let (rows, next) = (self.facts.rows, self.facts.next.clone());
        self.with("rows", rows).with("truncated", false).with("next", next)
    }

    pub fn at(self, at: Option<DateTime<Utc>>) -> Self {
        self.with("as_of", at.map(super::summary::rfc3339))
    }

    fn json(&self) -> Result<Vec<u8>, QueryError> {
        let mut entries = self.entries.clone();
        entries.insert("tables".to_owned(), json!(self.facts.tables));
        serde_json::to_vec(&entries).map_err(QueryError::engine)
    }
}

/// A JSON page; `write` appends the data.
pub(super) fn page(
    tag: &Tag,
    meta: Meta,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), QueryError>,
) -> Result<Page, QueryError> {
    let mut body = Vec::with_capacity(2048);
    body.extend_from_slice(b"{\"data\":");
    write(&mut body)?;
    body.extend_from_slice(b",\"meta\":");
    body.extend_from_slice(&meta.json()?);
    body.push(b'}');
    Ok(Page::new(Bytes::from(body), Format::Json, tag.etag.clone(), meta.facts))
}

/// A JSON page of one value.
pub(super) fn page_of(tag: &Tag, meta: Meta, data: &impl Serialize) -> Result<Page, QueryError> {
    page(tag, meta, |body| serde_json::to_writer(body, data).map_err(QueryError::engine))
}

/// A page in another format: rows alone, its facts told beside it.
pub(super) fn plain(tag: &Tag, meta: Meta, format: Format, body: Bytes) -> Page {
    Page::new(body, format, tag.etag.clone(), meta.facts)
}
