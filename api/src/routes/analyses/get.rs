//! `GET /v1/analyses/{name}`

use axum::extract::State;
use axum::response::Response;
use identity::Name;

use super::Analysis;
use crate::extract::{At, Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::{Job, One};
use crate::state::App;

/// One analysis
#[utoipa::path(get, path = "/v1/analyses/{name}", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", example = "hot_days")),
    responses((status = 200, body = One<Analysis>,
        example = json!({"data": {"name": "hot_days", "table": "my.hot_days", "kind": "table",
            "sql": "SELECT region_id, day, air_temperature_max FROM weather.daily WHERE air_temperature_max >= $1",
            "params": [10], "refresh": null, "description": "Days of 10 degrees and more", "tests": [],
            "columns": [{"name": "day", "label": null, "type": "date", "nulls": null}], "upstream": ["weather.daily"],
            "revision": 1, "version": 1, "rows": 62, "created_at": "2026-02-01T06:00:00Z",
            "updated_at": "2026-02-01T06:00:00Z",
            "last_run": {"id": "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10", "kind": "materialise", "status": "succeeded",
                "progress": {"percent": 100.0, "rows": 62}, "result": "/v1/tables/my/hot_days/rows", "problem": null,
                "created_at": "2026-02-01T06:00:00Z", "ended_at": "2026-02-01T06:00:01Z"}}, "meta": {}}))))]
pub async fn get_analysis(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    let runs = app.catalog.runs(caller.workspace(), table.id, 1, None).await?;
    let last_run = runs.first().map(Job::from);
    Ok(One::new(Analysis { last_run, ..Analysis::from(&*table) }).ok())
}
