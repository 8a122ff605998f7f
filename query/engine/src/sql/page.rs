//! A worker's rows in the envelope of an answer.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::work::Ready;
use crate::sandbox::Answered;
use crate::{Facts, Format, Page, QueryError};

/// Which keys `meta` has beside `rows`, `truncated`, `columns` and `tables`.
#[derive(Clone, Debug)]
pub(crate) enum Envelope {
    Sql,
    /// Rows of a table: with `next`, and `count` where it was asked for.
    Rows {
        next: Option<String>,
        count: Option<u64>,
    },
}

/// The whole answer of a statement that was run.
pub(crate) fn page(
    ready: &Ready,
    answered: &Answered,
    rows: Bytes,
    envelope: Envelope,
    now: DateTime<Utc>,
) -> Result<Page, QueryError> {
    let tables = ready.pinned.meta(now);
    let next = match &envelope {
        Envelope::Sql => None,
        Envelope::Rows { next, .. } => next.clone(),
    };
    let facts = Facts { rows: answered.rows, truncated: answered.truncated, next, tables };
    let body = match ready.statement.format {
        Format::Json => wrapped(&rows, &meta(&facts, answered, &envelope))?,
        _ => rows,
    };
    Ok(Page::new(body, ready.statement.format, ready.tag.etag.clone(), facts))
}

fn meta(facts: &Facts, answered: &Answered, envelope: &Envelope) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("rows".to_owned(), json!(facts.rows));
    meta.insert("truncated".to_owned(), json!(facts.truncated));
    if let Envelope::Rows { next, count } = envelope {
        meta.insert("next".to_owned(), json!(next));
        if let Some(count) = count {
            meta.insert("count".to_owned(), json!(count));
        }
    }
    meta.insert("columns".to_owned(), json!(answered.columns));
    meta.insert("tables".to_owned(), json!(facts.tables));
    meta
}

fn wrapped(rows: &[u8], meta: &Map<String, Value>) -> Result<Bytes, QueryError> {
    let meta = serde_json::to_vec(meta).map_err(QueryError::engine)?;
    let parts: [&[u8]; 5] = [b"{\"data\":", rows, b",\"meta\":", &meta, b"}"];
    Ok(parts.concat().into())
}
