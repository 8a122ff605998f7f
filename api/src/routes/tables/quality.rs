//! `GET /v1/tables/{schema}/{table}/quality`: whether a platform table keeps its promise, what its tests found, how it grew,
//! how its sources fare.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use catalog::{SourceFile, Table};
use chrono::{DateTime, NaiveDate, Utc};
use identity::{Scope, TableName};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{At, Caller, TableAt, Watch};
use crate::problem::Problem;
use crate::routes::bodies::{One, RunOfModel, TableBody};
use crate::state::App;

/// Versions that are looked at: more than the thinned history of a week has.
const VERSIONS: i64 = 2_000;
/// Files set aside that are told of a source.
const FILES: i64 = 20;

/// How good a table is.
#[derive(Serialize, ToSchema)]
pub struct Quality {
    #[schema(example = "2026-02-01T06:00:00Z")]
    updated_at: DateTime<Utc>,
    /// How old its newest commit may become; null where nothing is promised.
    #[schema(required = true, example = 10800)]
    promise_seconds: Option<i64>,
    #[schema(example = false)]
    overdue: bool,
    /// The last run of the model behind it failed.
    #[schema(example = false)]
    failing: bool,
    /// The last run of the model behind it; null for a table without a model.
    #[schema(required = true)]
    run: Option<RunOfModel>,
    /// What its tests found.
    #[schema(value_type = Vec<Object>, example = json!([{"test": "between", "columns": ["hours"], "passed": true}]))]
    tests: Value,
    /// Rows and bytes of the whole table at the end of each UTC day, newest first, as far back as versions are kept.
    #[schema(example = json!([]))]
    days: Vec<Size>,
    /// The sources that fill it.
    #[schema(example = json!([]))]
    sources: Vec<Feeding>,
}

/// The size of a table.
#[derive(Serialize, ToSchema)]
pub struct Size {
    #[schema(example = "2026-02-01")]
    day: NaiveDate,
    #[schema(example = 812)]
    version: i64,
    #[schema(example = 62)]
    rows: i64,
    #[schema(example = 15070)]
    bytes: i64,
}

/// A source of a table.
#[derive(Serialize, ToSchema)]
pub struct Feeding {
    #[schema(example = "c.current")]
    source: String,
    #[schema(required = true, example = "2026-02-01T06:00:00Z")]
    succeeded_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    #[schema(example = 0)]
    failures: i64,
    /// Files that are set aside.
    #[schema(example = 0)]
    set_aside: i64,
    /// The newest of them; an operator alone sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<Aside>>,
}

/// A file that is set aside.
#[derive(Serialize, ToSchema)]
pub struct Aside {
    #[schema(example = "a-2026-02-01.csv")]
    file: String,
    #[schema(example = 12)]
    batch: i64,
    #[schema(example = "2026-02-01T06:00:00Z")]
    came_at: DateTime<Utc>,
    #[schema(example = "the dataset has no column `shops`")]
    why: String,
}

/// How good a platform table is
///
/// Freshness against its promise, the tests of its last run, its size by day, how its sources fare.
#[utoipa::path(get, path = "/v1/tables/{schema}/{table}/quality", tag = "tables",
    params(("schema" = String, Path, description = "Schema", example = "weather"),
        ("table" = String, Path, description = "Name", example = "daily")),
    responses((status = 200, body = One<Quality>)))]
pub async fn table_quality(
    caller: Caller<Watch>,
    State(app): State<App>,
    At(name): TableAt,
) -> Result<Response, Problem> {
    let table = super::platform(&app, &caller.principal, &name).await?;
    let now = Utc::now();
    let run = app.catalog.model_run(table.id).await?;
    let TableBody { run, tests, .. } =
        TableBody::new(&table, Vec::new(), now).after(run, table.failing_since);
    let quality = Quality {
        updated_at: table.updated_at,
        promise_seconds: table.promise_secs,
        overdue: table.overdue(now),
        failing: table.failing(),
        run,
        tests,
        days: sizes(&app, &table).await?,
        sources: feeding(&app, &name, caller.principal.may(Scope::Admin)).await?,
    };
    Ok(One::new(quality).ok())
}

/// The last version of each day.
async fn sizes(app: &App, table: &Table) -> Result<Vec<Size>, Problem> {
    let mut days: BTreeMap<NaiveDate, Size> = BTreeMap::new();
    for row in app.catalog.versions(table.id, VERSIONS, None).await? {
        let day = row.published_at.date_naive();
        days.entry(day).or_insert(Size { day, version: row.version, rows: row.rows, bytes: row.bytes });
    }
    Ok(days.into_values().rev().collect())
}

async fn feeding(app: &App, table: &TableName, operator: bool) -> Result<Vec<Feeding>, Problem> {
    let counts = app.catalog.source_files().count_set_aside().await?;
    let mut feeding = Vec::new();
    for source in app.arrivals.sources_of(table) {
        let state = app.catalog.source_states().get(&source).await?;
        let set_aside = counts.get(&source).copied().unwrap_or(0);
        let files = match operator && set_aside > 0 {
            true => Some(app.catalog.source_files().set_aside(&source, FILES).await?),
            false => None,
        };
        feeding.push(Feeding {
            succeeded_at: state.as_ref().and_then(|state| state.succeeded_at),
            failures: state.map_or(0, |state| state.failures),
            set_aside,
            files: files.map(|files| files.into_iter().map(Aside::from).collect()),
            source,
        });
    }
    Ok(feeding)
}

impl From<SourceFile> for Aside {
    fn from(file: SourceFile) -> Self {
        let SourceFile { name, refused, n, came_at, .. } = file;
        Self { file: name, batch: n, came_at, why: refused.unwrap_or_default() }
    }
}
