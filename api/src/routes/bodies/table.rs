//! A table of the catalog as it is answered.

use catalog::{Kind, ModelRun, Table};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::dataset::{Column, columns};

/// How the last run of a model ended.
#[derive(Serialize, ToSchema)]
pub struct RunOfModel {
    #[schema(example = "2026-02-01T06:00:00Z")]
    pub at: DateTime<Utc>,
    /// `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    pub outcome: &'static str,
    /// The version that is served since.
    #[schema(required = true, example = 812)]
    pub version: Option<i64>,
    /// Rows that it computed.
    #[schema(example = 2)]
    pub rows: i64,
    /// Which test broke and with which value, or why the statement fails.
    #[schema(required = true, example = json!(null))]
    pub failure: Option<String>,
    /// Since when its runs fail.
    #[schema(required = true, example = json!(null))]
    pub failing_since: Option<DateTime<Utc>>,
}

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
    /// The last run of the model behind it failed: the rows are those of the last good one.
    #[schema(example = false)]
    pub failing: bool,
    /// The last run of the model behind it; null for a table without a model, and before the first.
    #[schema(required = true)]
    pub run: Option<RunOfModel>,
    /// Where its days are listed with the writes and raw files that made them; null for a customer's own table.
    #[schema(required = true, example = "/v1/tables/weather/daily/partitions")]
    pub partitions: Option<String>,
    /// Where freshness, tests, size by day and the state of its sources stand; null likewise.
    #[schema(required = true, example = "/v1/tables/weather/daily/quality")]
    pub quality: Option<String>,
    /// Tables it is made from.
    #[schema(example = json!(["weather.hourly"]))]
    pub upstream: Vec<String>,
    /// The tables that are made from it, the caller's analyses among them; empty in a list.
    #[schema(example = json!([]))]
    pub downstream: Vec<String>,
    /// What the tests of its last run found; those of an analysis as they are declared.
    #[schema(value_type = Vec<Object>, example = json!([{"test": "between", "columns": ["hours"], "passed": true}]))]
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
            failing: table.failing(),
            run: None,
            partitions: beside(table, "partitions"),
            quality: beside(table, "quality"),
            upstream: table.upstream.iter().map(ToString::to_string).collect(),
            downstream,
            tests: if table.tests.is_null() { Value::Array(Vec::new()) } else { table.tests.clone() },
        }
    }

    /// The same with the last run of the model behind it.
    pub fn after(mut self, run: Option<ModelRun>, failing_since: Option<DateTime<Utc>>) -> Self {
        let Some(run) = run else { return self };
        let broken = broken(&run);
        if run.tests.is_array() {
            self.tests = run.tests;
        }
        self.run = Some(RunOfModel {
            at: run.at,
            outcome: if run.failure.is_some() { "failed" } else { "succeeded" },
            version: run.version,
            rows: run.rows,
            failure: broken,
            failing_since,
        });
        self
    }
}

/// The address of what is told of a platform table beside its rows.
fn beside(table: &Table, what: &str) -> Option<String> {
    let name = &table.name;
    (table.kind == Kind::Platform).then(|| format!("/v1/tables/{}/{}/{what}", name.schema, name.table))
}

/// What the first broken test found. What an engine says of a failing statement is for the operator alone.
fn broken(run: &ModelRun) -> Option<String> {
    run.failure.as_ref()?;
    let tests = run.tests.as_array().into_iter().flatten();
    let found = tests.filter_map(|test| test["found"].as_str()).next();
    Some(found.unwrap_or("its statement fails").to_owned())
}
