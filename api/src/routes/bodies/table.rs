//! A table of the catalog as it is answered.

use catalog::{Kind, Table};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::dataset::{Column, columns};

/// Any table the caller may see.
#[derive(Serialize, ToSchema)]
pub struct TableBody {
    /// `my` for the caller's own.
    #[schema(example = "weather")]
    pub schema: String,
    #[schema(example = "daily")]
    pub table: String,
    /// `platform`, `dataset`, `view` or `materialised`.
    #[schema(example = "platform")]
    pub kind: &'static str,
    pub description: Option<String>,
    pub columns: Vec<Column>,
    pub key: Vec<String>,
    /// Null for views, and before the first commit.
    pub version: Option<i64>,
    pub rows: Option<i64>,
    pub updated_at: DateTime<Utc>,
    /// The newest commit is older than was promised.
    pub overdue: bool,
    /// Tables it is made from.
    pub upstream: Vec<String>,
    /// The caller's analyses that read it.
    pub downstream: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    pub tests: Value,
}

impl TableBody {
    /// The answer for one table at `now`.
    pub fn new(table: &Table, downstream: Vec<String>, now: DateTime<Utc>) -> Self {
        let own = table.workspace.is_some();
        Self {
            schema: if own { "my".into() } else { table.name.schema.clone() },
            table: table.name.table.clone(),
            kind: table.kind.as_str(),
            description: table.description.clone(),
            columns: columns(table),
            key: table.key.clone(),
            version: table.version,
            rows: (table.kind != Kind::View && table.version.is_some()).then_some(table.rows),
            updated_at: table.updated_at,
            overdue: table.overdue(now),
            upstream: table.upstream.iter().map(ToString::to_string).collect(),
            downstream,
            tests: if table.tests.is_null() { Value::Array(Vec::new()) } else { table.tests.clone() },
        }
    }
}
