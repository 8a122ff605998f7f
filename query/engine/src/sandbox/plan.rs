//! What the gateway asks of a worker, and what comes back: the JSON of the tasks `resolve`, `query`, `materialise`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::encode::{ColumnType, Format};

/// A statement with everything it may see. Names in a scope are written as the statement writes them,
/// lower-cased: `my.sales`, `weather.daily`; their values are keys of `objects`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub sql: String,
    /// Values of `$1`, `$2`, …: null, booleans, numbers, strings, or arrays of one of them.
    #[serde(default)]
    pub params: Vec<Value>,
    /// Rows wanted; the smaller of this and `limits.rows` holds. 0 plans and checks only: no row comes back.
    #[serde(default)]
    pub limit: Option<u64>,
    #[serde(default)]
    pub format: Format,
    /// Byte order mark for CSV.
    #[serde(default)]
    pub bom: bool,
    /// What `now()` and `current_date` answer.
    pub now: DateTime<Utc>,
    pub scope: BTreeMap<String, String>,
    pub objects: BTreeMap<String, Object>,
    #[serde(default)]
    pub limits: Limits,
    /// The last so many columns are for the gateway, not for the answer: see [`Answered::last`].
    #[serde(default)]
    pub hidden: usize,
    /// One thread, files in their order: rows of a query without ORDER BY come the same at every run.
    #[serde(default)]
    pub sequential: bool,
}

/// What a name stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Object {
    /// Parquet files of one version of a table.
    Table(Files),
    /// A saved statement; its names mean what its own scope says.
    View {
        sql: String,
        scope: BTreeMap<String, String>,
        #[serde(default)]
        params: Vec<Value>,
    },
}

/// The files of a table at one version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Files {
    /// The stored schema, partition columns included.
    #[serde(with = "lake::stored_schema")]
    pub schema: arrow::datatypes::SchemaRef,
    /// Columns the rows of each file are sorted by, ascending.
    #[serde(default)]
    pub sort: Vec<String>,
    pub files: Vec<PlannedFile>,
}

/// One Parquet file; `index` is its number for [`worker::Files`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedFile {
    pub index: usize,
    #[serde(flatten)]
    pub file: lake::DataFile,
}

/// Caps of one statement.
/// - `rows`, `bytes`: of the answer (100 000 and 16 MiB); what is over is cut and `truncated` says so.
/// - `memory`: bytes its operators may hold (512 MiB); `spill`: bytes on disk (10 GiB).
/// - `join_pairs`: row pairs a join without a key may look at (200 million).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub rows: u64,
    pub bytes: u64,
    pub memory: u64,
    pub spill: u64,
    pub join_pairs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 16 << 20, memory: 512 << 20, spill: 10 << 30, join_pairs: 200_000_000 }
    }
}

/// Head of a `query` reply; the body holds the rows in the asked format.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    pub rows: u64,
    pub truncated: bool,
    pub columns: Vec<ColumnType>,
    pub content_type: String,
    /// Hex SHA-256 of the body.
    pub sha256: String,
    /// The hidden columns of the last row: text, times and decimals as strings, floats as numbers (`"NaN"`, `"Infinity"`).
    #[serde(default)]
    pub last: Vec<Value>,
    /// How many rows at the end have exactly these hidden values.
    #[serde(default)]
    pub repeats: u64,
}

/// Reply of `resolve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `schema.table`, lower-cased unless quoted, each once, sorted. CTE names are not among them.
    pub tables: Vec<String>,
    /// The highest `$n`.
    pub params: usize,
    /// Whether an equal question may have another answer (`now()`, `random()`, …).
    pub volatile: bool,
}

/// Request of the task `files` with `op: materialise`: the result as Parquet files in the scratch folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Materialise {
    /// Always `materialise`.
    pub op: String,
    pub plan: Plan,
    /// Columns the rows are sorted by; empty keeps the statement's own order.
    #[serde(default)]
    pub sort: Vec<String>,
    /// Bytes after which a new file begins (128 MiB).
    #[serde(default = "target_bytes")]
    pub target_bytes: u64,
}

fn target_bytes() -> u64 {
    128 << 20
}

/// Reply head of `materialise`. Rows over `plan.limits.rows` are an error here, never cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    pub rows: u64,
    pub columns: Vec<ColumnType>,
    /// The stored schema of the files.
    #[serde(with = "lake::stored_schema")]
    pub schema: arrow::datatypes::SchemaRef,
    pub files: Vec<WrittenFile>,
}

/// One finished file: `described.path` is its name inside the scratch folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrittenFile {
    #[serde(flatten)]
    pub described: lake::DataFile,
}
