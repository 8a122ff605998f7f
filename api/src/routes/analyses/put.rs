//! `PUT /v1/analyses/{name}`

use axum::extract::State;
use axum::response::Response;
use catalog::{PutAnalysis, Table};
use chrono::Utc;
use http::StatusCode;
use identity::{Name, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Analysis;
use crate::extract::{Caller, Json, STORES, Write, description};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::json;
use crate::state::App;

/// What an analysis is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalysisBody {
    /// One `SELECT` of at most 64 KiB.
    #[schema(
        example = "SELECT region_id, day, air_temperature_max FROM weather.daily WHERE air_temperature_max >= $1"
    )]
    sql: String,
    #[serde(default)]
    kind: AnalysisKind,
    /// Bound to `$1`, `$2`, … of the statement.
    #[serde(default)]
    #[schema(value_type = Vec<Value>, example = json!([10]))]
    params: Vec<Value>,
    /// When a stored analysis runs by itself; kept and shown, not yet acted on.
    #[serde(default)]
    refresh: Option<String>,
    #[serde(default)]
    #[schema(example = "Days of 10 degrees and more")]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>, example = json!([]))]
    tests: Vec<Map<String, Value>>,
}

/// `view`: run at every read; `table`: the result is stored by runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "table")]
pub enum AnalysisKind {
    #[default]
    View,
    Table,
}

/// The analysis, and the run that its definition started.
#[derive(Serialize, ToSchema)]
pub struct Saved {
    data: Analysis,
    meta: SavedMeta,
}

#[derive(Serialize, ToSchema)]
pub struct SavedMeta {
    /// Of kind `table`: the job that fills it.
    #[schema(required = true, example = "/v1/jobs/0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")]
    run: Option<String>,
}

/// Saves an analysis
///
/// It is readable as `my.<name>` and at `/v1/tables/my/<name>/rows`. The statement is checked with the caller's rights
/// now, and again at every read. A new or changed analysis of kind `table` runs at once; `meta.run` is its job.
#[utoipa::path(put, path = "/v1/analyses/{name}", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", pattern = "^[a-z][a-z0-9_]{1,62}$", example = "hot_days")),
    request_body = AnalysisBody,
    responses((status = 201, body = Saved, description = "A new analysis; a stored one has no rows before its first run has ended",
        example = json!({"data": {"name": "hot_days", "table": "my.hot_days", "kind": "table",
            "sql": "SELECT region_id, day, air_temperature_max FROM weather.daily WHERE air_temperature_max >= $1",
            "params": [10], "refresh": null, "description": "Days of 10 degrees and more", "tests": [],
            "columns": [{"name": "day", "label": null, "type": "date", "nulls": null}], "upstream": ["weather.daily"],
            "revision": 1, "version": null, "rows": null, "created_at": "2026-02-01T06:00:00Z",
            "updated_at": "2026-02-01T06:00:00Z"}, "meta": {"run": "/v1/jobs/0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10"}})),
        (status = 200, body = Saved, description = "It was there before")))]
pub async fn put_analysis(
    caller: Caller<Write>,
    State(app): State<App>,
    axum::extract::Path(name): axum::extract::Path<String>,
    analysis: Json<AnalysisBody>,
) -> Result<Response, Problem> {
    let name = Name::parse(&name)?;
    let kind = analysis.body.kind;
    caller.spend(&app, if kind == AnalysisKind::Table { STORES } else { 1 })?;
    let put = described(&app, &caller, name, analysis.body).await?;
    let now = Utc::now();
    let put = match kind {
        AnalysisKind::View => app.catalog.put_view(caller.workspace(), put, now).await?,
        AnalysisKind::Table => app.catalog.put_materialised(caller.workspace(), put, now).await?,
    };
    let run = match kind {
        AnalysisKind::Table if put.changed => Some(first_run(&app, &caller, &put.table).await?),
        _ => None,
    };
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &Saved { data: Analysis::from(&*put.table), meta: SavedMeta { run } }))
}

/// Checks the statement with the caller's eyes and fills in what it answers and reads.
async fn described(
    app: &App,
    caller: &Caller<Write>,
    name: Name,
    body: AnalysisBody,
) -> Result<PutAnalysis, Problem> {
    let described = app.engine.describe(&caller.principal, &body.sql, &body.params, Utc::now()).await?;
    if described.rests_on.contains(&TableName::my(&name)) {
        return Err(Problem::because(Kind::Conflict, "the definition would read itself"));
    }
    let shown = described.columns.iter().map(|column| column.name.as_str());
    let names = match body.kind {
        AnalysisKind::View => shown.map(str::to_owned).collect(),
        AnalysisKind::Table => engine::sandbox::stored_names(shown),
    };
    let columns = names.into_iter().zip(described.columns);
    let columns = columns.map(|(name, column)| catalog::Column::new(name, column.sql_type));
    Ok(PutAnalysis {
        params: Value::Array(body.params),
        upstream: described.names,
        columns: columns.collect(),
        refresh: body.refresh,
        tests: body.tests.into_iter().map(Value::Object).collect(),
        description: description(body.description)?,
        ..PutAnalysis::new(caller.principal.slug.clone(), name, body.sql)
    })
}

async fn first_run(app: &App, caller: &Caller<Write>, table: &Table) -> Result<String, Problem> {
    let now = Utc::now();
    let run = ingest::materialise::new_run(&caller.principal, table, &caller.trail.id.to_string(), now);
    let job = app.catalog.jobs().enqueue(run, now).await?;
    Ok(format!("/v1/jobs/{}", job.id))
}
