//! A table as the catalog knows it: its name, whose it is, and which version readers are served.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, within};
use identity::{Name, Slug, TableId, TableName, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Error, Owner};

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A table of the lake that everyone sees.
    Platform,
    /// A customer's upload.
    Dataset,
    /// A saved statement, run at every read.
    View,
    /// A saved statement whose result is stored; without a version it has not run yet.
    Materialised,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Dataset => "dataset",
            Self::View => "view",
            Self::Materialised => "materialised",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The catalog holds a kind that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("no kind of table is called `{0}`")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "platform" => Ok(Self::Platform),
            "dataset" => Ok(Self::Dataset),
            "view" => Ok(Self::View),
            "materialised" => Ok(Self::Materialised),
            other => Err(UnknownKind(other.to_owned())),
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = UnknownKind;

    fn try_from(text: String) -> Result<Self, UnknownKind> {
        text.parse()
    }
}

/// One column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in SQL.
    pub name: String,
    /// The header it came under, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `text`, `bigint`, `double`, `decimal(p,s)`, `boolean`, `date` or `timestamp`.
    pub r#type: String,
    /// How many rows are null, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<i64>,
    /// Unit of its values: `degC`, `mm`, `m/s`, `%`, a currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Column {
    /// A column with a name and a type, everything else unknown.
    pub fn new(name: impl Into<String>, r#type: impl Into<String>) -> Self {
        Self { name: name.into(), r#type: r#type.into(), ..Self::default() }
    }

    /// The same with the unit of its values.
    pub fn in_unit(self, unit: impl Into<String>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }

    /// The same with a sentence that says what it holds.
    pub fn described(self, description: impl Into<String>) -> Self {
        Self { description: Some(description.into()), ..self }
    }
}

/// A table, dataset or analysis at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub id: TableId,
    /// Whose it is; `None` for the platform's.
    pub workspace: Option<WorkspaceId>,
    /// The schema is the workspace's slug for a customer's table.
    pub name: TableName,
    pub kind: Kind,
    /// Its path in the lake.
    pub location: String,
    /// The Delta version readers are served; `None` before the first commit, and for views.
    pub version: Option<i64>,
    /// Counts changes of the definition.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    /// When the visible version was published, or the definition changed.
    pub updated_at: DateTime<Utc>,
    pub columns: Vec<Column>,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// The order in which each file's rows are stored.
    pub sort: Vec<String>,
    pub rows: i64,
    pub bytes: i64,
    /// Rows of the last write that were set aside.
    pub rejects: i64,
    pub description: Option<String>,
    /// The statement of an analysis.
    pub sql: Option<String>,
    /// The declared parameters of an analysis.
    pub params: Value,
    /// The tables an analysis or model reads.
    pub upstream: Vec<TableName>,
    /// When a materialised analysis runs by itself.
    pub refresh: Option<String>,
    /// The tests of an analysis.
    pub tests: Value,
    /// How old its newest commit may be before it is overdue, in seconds.
    pub promise_secs: Option<i64>,
    /// Since when the model behind it has failed; its rows are those of the last good run.
    pub failing_since: Option<DateTime<Utc>>,
}

impl Table {
    /// A table without content or definition, as it is before anything is known of it.
    pub(crate) fn empty(kind: Kind, name: TableName, now: DateTime<Utc>) -> Self {
        Self {
            id: TableId::new(),
            workspace: None,
            name,
            kind,
            location: String::new(),
            version: None,
            revision: 1,
            created_at: instant(now),
            updated_at: instant(now),
            columns: Vec::new(),
            key: Vec::new(),
            sort: Vec::new(),
            rows: 0,
            bytes: 0,
            rejects: 0,
            description: None,
            sql: None,
            params: Value::Null,
            upstream: Vec::new(),
            refresh: None,
            tests: Value::Null,
            promise_secs: None,
            failing_since: None,
        }
    }

    /// A customer's table of that name, in a folder of its own.
    pub(crate) fn of_workspace(
        workspace: WorkspaceId,
        slug: &Slug,
        name: &Name,
        kind: Kind,
        now: DateTime<Utc>,
    ) -> Self {
        let empty = Self::empty(kind, TableName::new(slug.as_str(), name.as_str()), now);
        Self { workspace: Some(workspace), location: workspace.place(empty.id), ..empty }
    }

    /// Whether its promise is broken at `now`: no commit for longer than `promise_secs`.
    pub fn overdue(&self, now: DateTime<Utc>) -> bool {
        self.overdue_at().is_some_and(|at| now > at)
    }

    /// Whether the last run of the model behind it failed.
    pub fn failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// When the promise breaks unless a commit comes before; `None` without a promise.
    pub fn overdue_at(&self) -> Option<DateTime<Utc>> {
        let promise = chrono::TimeDelta::try_seconds(self.promise_secs?)?;
        self.updated_at.checked_add_signed(promise)
    }
}

/// The columns of [`TableRow`], listed by every statement that reads one.
macro_rules! table_columns {
    () => {
        "id, workspace_id, schema_name, name, kind, location, version, revision, created_at, updated_at, \
         columns, key_columns, sort_columns, row_count, byte_count, reject_count, description, definition, \
         params, upstream, refresh, tests, promise_secs, floor_version, floor_at, changed, \
         failing_since"
    };
}
pub(crate) use table_columns;

database::row! {
    /// One row of `tables`.
    #[derive(Debug)]
    pub(crate) struct TableRow {
        pub id: Uuid,
        pub workspace_id: Option<Uuid>,
        pub schema_name: String,
        pub name: String,
        pub kind: Kind as String,
        pub location: String,
        pub version: Option<i64>,
        pub revision: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub columns: Json<Vec<Column>>,
        pub key_columns: Json<Vec<String>>,
        pub sort_columns: Json<Vec<String>>,
        pub row_count: i64,
        pub byte_count: i64,
        pub reject_count: i64,
        pub description: Option<String>,
        pub definition: Option<String>,
        pub params: Json<Value>,
        pub upstream: Json<Vec<TableName>>,
        pub refresh: Option<String>,
        pub tests: Json<Value>,
        pub promise_secs: Option<i64>,
        pub floor_version: Option<i64>,
        pub floor_at: Option<DateTime<Utc>>,
        pub changed: i64,
        pub failing_since: Option<DateTime<Utc>>,
    }
}

impl From<TableRow> for Table {
    fn from(row: TableRow) -> Self {
        Self {
            id: TableId::from_uuid(row.id),
            workspace: row.workspace_id.map(WorkspaceId::from_uuid),
            name: TableName::new(row.schema_name, row.name),
            kind: row.kind,
            location: row.location,
            version: row.version,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
            columns: row.columns.0,
            key: row.key_columns.0,
            sort: row.sort_columns.0,
            rows: row.row_count,
            bytes: row.byte_count,
            rejects: row.reject_count,
            description: row.description,
            sql: row.definition,
            params: row.params.0,
            upstream: row.upstream.0,
            refresh: row.refresh,
            tests: row.tests.0,
            promise_secs: row.promise_secs,
            failing_since: row.failing_since,
        }
    }
}

impl TableRow {
    pub fn shared(self) -> Arc<Table> {
        Arc::new(self.into())
    }
}

/// Adds a row. `ticks` is the clock's, 0 for a customer's table. False where the name is taken.
pub(crate) async fn insert(tx: &mut Tx, table: &Table, owner: &Owner, ticks: i64) -> Result<bool, Error> {
    const INSERT: &str = concat!(
        "INSERT INTO tables (",
        table_columns!(),
        ", owner)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                 $21, $22, $23, NULL, NULL, $24, NULL, $25)
         ON CONFLICT DO NOTHING"
    );
    let added = within!(tx, |conn| sqlx::query(INSERT)
        .bind(table.id.as_uuid())
        .bind(table.workspace.map(|id| id.as_uuid()))
        .bind(&table.name.schema)
        .bind(&table.name.table)
        .bind(table.kind.as_str())
        .bind(&table.location)
        .bind(table.version)
        .bind(table.revision)
        .bind(instant(table.created_at))
        .bind(instant(table.updated_at))
        .bind(Json(&table.columns))
        .bind(Json(&table.key))
        .bind(Json(&table.sort))
        .bind(table.rows)
        .bind(table.bytes)
        .bind(table.rejects)
        .bind(&table.description)
        .bind(&table.sql)
        .bind(Json(&table.params))
        .bind(Json(&table.upstream))
        .bind(&table.refresh)
        .bind(Json(&table.tests))
        .bind(table.promise_secs)
        .bind(ticks)
        .bind(owner.to_string())
        .run(conn))?;
    Ok(added == 1)
}
