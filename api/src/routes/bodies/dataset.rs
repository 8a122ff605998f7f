//! A dataset as it is answered.

use catalog::Table;
use chrono::{DateTime, Utc};
use ingest::upload::Notes;
use serde::Serialize;
use utoipa::ToSchema;

/// A column of a table.
#[derive(Serialize, ToSchema)]
pub struct Column {
    /// Its name in SQL.
    #[schema(example = "sold")]
    pub name: String,
    /// The header it came under, where that differs.
    #[schema(required = true)]
    pub label: Option<String>,
    #[schema(example = "bigint")]
    pub r#type: String,
    /// How many rows are null, where that is known.
    #[schema(required = true, example = 0)]
    pub nulls: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<String>,
    /// After an upload: why it is text although it looks like numbers or dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

/// An uploaded file as a table.
#[derive(Serialize, ToSchema)]
pub struct Dataset {
    #[schema(example = "sales")]
    pub name: String,
    /// Its name in SQL.
    #[schema(example = "my.sales")]
    pub table: String,
    #[schema(required = true, example = 1)]
    pub version: Option<i64>,
    #[schema(example = 2)]
    pub rows: i64,
    #[schema(example = 1507)]
    pub bytes: i64,
    pub columns: Vec<Column>,
    /// Rows that the last upload set aside; `…/rejects` lists them.
    #[schema(example = 1)]
    pub rejects: i64,
    #[schema(required = true, example = "Sales by region and day")]
    pub description: Option<String>,
    /// Columns that tell rows apart in mode `upsert`.
    #[schema(example = json!([]))]
    pub key: Vec<String>,
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub created_at: DateTime<Utc>,
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub updated_at: DateTime<Utc>,
}

impl From<&Table> for Dataset {
    fn from(table: &Table) -> Self {
        Self {
            name: table.name.table.clone(),
            table: format!("my.{}", table.name.table),
            version: table.version,
            rows: table.rows,
            bytes: table.bytes,
            columns: columns(table),
            rejects: table.rejects,
            description: table.description.clone(),
            key: table.key.clone(),
            created_at: table.created_at,
            updated_at: table.updated_at,
        }
    }
}

impl Dataset {
    /// The same with what an upload says of its columns.
    #[must_use]
    pub fn noted(mut self, mut notes: Notes) -> Self {
        self.columns.iter_mut().for_each(|column| column.note = notes.remove(&column.name));
        self
    }
}

/// The columns of a table as they are answered.
pub fn columns(table: &Table) -> Vec<Column> {
    let column = |column: &catalog::Column| Column {
        name: column.name.clone(),
        label: column.label.clone(),
        r#type: column.r#type.clone(),
        nulls: column.nulls,
        unit: column.unit.clone(),
        description: column.description.clone(),
        note: None,
    };
    table.columns.iter().map(column).collect()
}
