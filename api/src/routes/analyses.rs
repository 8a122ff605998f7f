//! Cases 3 and 4: saved statements, read as `my.<name>`.

pub mod delete;
pub mod get;
pub mod list;
pub mod put;
pub mod runs;

use std::sync::Arc;

use catalog::{Kind as TableKind, Table};
use chrono::{DateTime, Utc};
use identity::{Name, WorkspaceId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Column, Job, columns};
use crate::state::App;

/// A saved statement.
#[derive(Serialize, ToSchema)]
pub struct Analysis {
    #[schema(example = "hot_days")]
    pub name: String,
    /// Its name in SQL.
    #[schema(example = "my.hot_days")]
    pub table: String,
    /// `view`: run at every read; `table`: its result is stored by runs.
    #[schema(value_type = put::AnalysisKind)]
    pub kind: &'static str,
    #[schema(
        required = true,
        example = "SELECT region_id, day, air_temperature_max FROM weather.daily WHERE air_temperature_max >= $1"
    )]
    pub sql: Option<String>,
    #[schema(value_type = Vec<Value>, example = json!([10]))]
    pub params: Value,
    #[schema(required = true)]
    pub refresh: Option<String>,
    #[schema(required = true, example = "Days of 10 degrees and more")]
    pub description: Option<String>,
    #[schema(value_type = Vec<Object>, example = json!([]))]
    pub tests: Value,
    #[schema(example = json!([{"name": "day", "label": null, "type": "date", "nulls": null}]))]
    pub columns: Vec<Column>,
    /// Tables it reads.
    #[schema(example = json!(["weather.daily"]))]
    pub upstream: Vec<String>,
    /// Counts changes of the definition.
    #[schema(example = 1)]
    pub revision: i64,
    /// Of the stored result; null for views and before the first run.
    #[schema(required = true, example = 1)]
    pub version: Option<i64>,
    #[schema(required = true, example = 62)]
    pub rows: Option<i64>,
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub created_at: DateTime<Utc>,
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub updated_at: DateTime<Utc>,
    /// Asked for alone: the newest run of a stored analysis. Where it failed, the result before it keeps serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Job>,
}

impl From<&Table> for Analysis {
    fn from(table: &Table) -> Self {
        let list = |value: &Value| if value.is_null() { Value::Array(Vec::new()) } else { value.clone() };
        Self {
            name: table.name.table.clone(),
            table: format!("my.{}", table.name.table),
            kind: if table.kind == TableKind::View { "view" } else { "table" },
            sql: table.sql.clone(),
            params: list(&table.params),
            refresh: table.refresh.clone(),
            description: table.description.clone(),
            tests: list(&table.tests),
            columns: columns(table),
            upstream: table.upstream.iter().map(ToString::to_string).collect(),
            revision: table.revision,
            version: table.version,
            rows: table.version.map(|_| table.rows),
            created_at: table.created_at,
            updated_at: table.updated_at,
            last_run: None,
        }
    }
}

fn is_analysis(kind: TableKind) -> bool {
    matches!(kind, TableKind::View | TableKind::Materialised)
}

/// The analysis of that name. Errors: `unknown-analysis`, also where the name is a dataset's.
async fn find(app: &App, workspace: WorkspaceId, name: &Name) -> Result<Arc<Table>, Problem> {
    let found = app.catalog.find(workspace, name).await?;
    found.filter(|table| is_analysis(table.kind)).ok_or_else(|| unknown(name))
}

fn unknown(name: &Name) -> Problem {
    Problem::because(Kind::UnknownAnalysis, format!("no analysis `{name}`"))
}
