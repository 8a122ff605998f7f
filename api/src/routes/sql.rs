//! `POST /v1/sql`: one read-only statement over the visible tables.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use engine::sql::{SqlAnswer, SqlRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::caching;
use crate::extract::{Accepted, Caller, Json, Prefer, Query, Read};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Job, One, RowFormat, TableVersion};
use crate::state::App;

/// A statement.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlBody {
    /// One `SELECT` (or `WITH … SELECT`) of at most 64 KiB; `$1`, `$2`, … are bound from `params`.
    #[schema(
        example = "SELECT region_id, count(*) AS days, max(air_temperature_max) AS warmest FROM weather.daily WHERE day >= $1 GROUP BY region_id ORDER BY region_id"
    )]
    sql: String,
    #[serde(default)]
    #[schema(value_type = Vec<Value>, example = json!(["2026-01-01"]))]
    params: Vec<Value>,
    /// Rows answered at most; 10000 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000, example = 100)]
    limit: Option<u64>,
    /// The tables as they were then (RFC 3339).
    #[serde(default)]
    as_of: Option<DateTime<Utc>>,
    /// Plan only: columns and tables, no rows.
    #[serde(default)]
    dry_run: bool,
    /// Goes before `Accept`.
    #[serde(default)]
    #[schema(value_type = Option<RowFormat>)]
    format: Option<String>,
}

/// How the answer is to be written.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Goes before `Accept`.
    #[param(value_type = Option<RowFormat>, example = "json")]
    pub format: Option<String>,
    /// Whether CSV begins with a byte order mark, as Excel needs it.
    #[param(value_type = Option<bool>)]
    pub bom: Option<bool>,
}

/// A column of an answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine encodes the answer; this type describes it")]
pub struct ResultColumn {
    #[schema(example = "region_id")]
    name: String,
    #[schema(example = "text")]
    r#type: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine encodes the answer; this type describes it")]
pub struct SqlMeta {
    #[schema(example = 2)]
    rows: u64,
    /// Whether a limit cut the answer.
    #[schema(example = false)]
    truncated: bool,
    columns: Vec<ResultColumn>,
    tables: Vec<TableVersion>,
}

/// Rows as objects keyed by column.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine encodes the answer; this type describes it")]
pub struct SqlRows {
    #[schema(value_type = Vec<std::collections::HashMap<String, Value>>,
        example = json!([{"region_id": "de-bayern", "days": 31, "warmest": 10.0}, {"region_id": "it-lombardia", "days": 31, "warmest": 10.0}]))]
    data: Vec<Value>,
    meta: SqlMeta,
}

/// Runs a statement
///
/// It sees the platform's tables and the caller's own (`my.<name>`), at one moment. What takes longer than 10 s (or
/// `Prefer: wait=n`) is answered with 202 and a job; `Prefer: respond-async` asks for that at once.
#[utoipa::path(post, path = "/v1/sql", tag = "sql",
    params(Wanted, ("Prefer" = Option<String>, Header, description = "`respond-async` or `wait=n`: when to answer with a job", example = "wait=10")),
    request_body = SqlBody,
    responses((status = 200, body = SqlRows), (status = 202, body = One<Job>, description = "Still at work")))]
pub async fn run_sql(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    prefer: Prefer,
    Query(wanted): Query<Wanted>,
    statement: Json<SqlBody>,
) -> Result<Response, Problem> {
    let SqlBody { sql, params, limit, as_of, dry_run, format } = statement.body;
    let of_body = format.map(|word| accepted.format(Some(&word))).transpose()?;
    let format = match (wanted.format.as_deref(), of_body) {
        (None, Some(format)) => format,
        (word, _) => accepted.format(word)?,
    };
    let accepted = accepted.with_bom(wanted.bom, format);
    if limit.is_some_and(|limit| !(1..=engine::PAGE_ROWS).contains(&limit)) {
        return Err(Problem::because(
            Kind::InvalidParameter,
            format!("`limit` is 1 to {}", engine::PAGE_ROWS),
        ));
    }
    let wait = prefer.wait.map(|wait| wait.min(Duration::from_secs(50)));
    caller.spend(&app, 1)?;
    let request_id = Some(caller.trail.id.to_string());
    let request = SqlRequest { sql, params, limit, as_of, dry_run, format, wait, request_id };
    match app.engine.sql(&caller.principal, request, Utc::now()).await? {
        SqlAnswer::Page(answer) => {
            if answer.hit {
                caller.give_back(&app, 1);
            }
            Ok(caching::page(&accepted, &answer).await)
        }
        SqlAnswer::Job(job) => Ok(Job::accepted(&job)),
    }
}
