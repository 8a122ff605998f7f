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
    #[schema(
        required = true,
        example = "Weather of each local day: from its hours where 20 or more are there or nothing else is, else from the archive."
    )]
    pub description: Option<String>,
    #[schema(example = json!([{"name": "air_temperature_mean", "label": null, "type": "double", "nulls": null, "unit": "degC", "description": "mean of the day, nulls ignored"}]))]
    pub columns: Vec<Column>,
    #[schema(example = json!(["region_id", "day"]))]
    pub key: Vec<String>,
    /// Null for views, and before the first commit.
    #[schema(required = true, example = 812)]
    pub version: Option<i64>,
    #[schema(required = true, example = 62)]
    pub rows: Option<i64>,
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub updated_at: DateTime<Utc>,
    /// The newest commit is older than was promised.
    #[schema(example = false)]
    pub overdue: bool,
    /// Tables it is made from.
    #[schema(example = json!(["weather.hourly"]))]
    pub upstream: Vec<String>,
    /// The caller's analyses that read it; empty in a list.
    #[schema(example = json!([]))]
    pub downstream: Vec<String>,
    #[schema(value_type = Vec<Object>, example = json!([]))]
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
