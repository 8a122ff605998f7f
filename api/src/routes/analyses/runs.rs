//! `POST /v1/analyses/{name}/runs` and `GET /v1/analyses/{name}/runs`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use catalog::Kind as TableKind;
use chrono::Utc;
use http::StatusCode;
use identity::Name;

use crate::extract::{At, Caller, NoBody, Query, Read, STORES, Write};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Job, List, One};
use crate::routes::jobs::list::{before, of};
use crate::routes::once::{Call, OnceKey, Told};
use crate::routes::page::Page;
use crate::state::App;

/// Runs a stored analysis
///
/// Its last result keeps serving until the run has ended well.
#[utoipa::path(post, path = "/v1/analyses/{name}/runs", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", example = "hot_days"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this call for 24 h", example = "a-call-of-today")),
    responses((status = 202, body = One<Job>, description = "The job",
        example = json!({"data": {"id": "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10", "kind": "materialise", "status": "queued",
            "progress": {"percent": 0.0, "rows": 0}, "result": null, "problem": null,
            "created_at": "2026-02-01T06:00:00Z", "ended_at": null}, "meta": {}}))))]
pub async fn run_analysis(
    caller: Caller<Write>,
    State(app): State<App>,
    At(name): At<Name>,
    key: OnceKey,
    _: NoBody,
) -> Result<Response, Problem> {
    caller.spend(&app, STORES)?;
    let table = super::find(&app, caller.workspace(), &name).await?;
    if table.kind != TableKind::Materialised {
        return Err(Problem::because(Kind::Conflict, format!("`{name}` is a view; it has no runs")));
    }
    let work = async {
        let now = Utc::now();
        let run = ingest::materialise::new_run(&caller.principal, &table, &caller.trail.id.to_string(), now);
        let job = app.catalog.jobs().enqueue(run, now).await?;
        Told::new(StatusCode::ACCEPTED, Some(format!("/v1/jobs/{}", job.id)), &One::new(Job::from(&job)))
    };
    let hashed = format!("{name}");
    let call = Call {
        app: &app,
        workspace: caller.workspace(),
        route: "analyses.runs",
        key,
        bytes: hashed.as_bytes(),
    };
    Ok(call.once(work, Told::clone).await?.into_response())
}

/// Runs of a stored analysis, newest first
#[utoipa::path(get, path = "/v1/analyses/{name}/runs", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", example = "hot_days"), Page),
    responses((status = 200, body = List<Job>,
        example = json!({"data": [{"id": "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10", "kind": "materialise", "status": "succeeded",
            "progress": {"percent": 100.0, "rows": 62}, "result": "/v1/tables/my/hot_days/rows", "problem": null,
            "created_at": "2026-02-01T06:00:00Z", "ended_at": "2026-02-01T06:00:01Z"}], "meta": {"rows": 1, "next": null}}))))]
pub async fn list_runs(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    let limit = page.limit()?;
    let wanted = i64::from(limit) + 1;
    let jobs = app.catalog.runs(caller.workspace(), table.id, wanted, before(&page)?).await?;
    Ok(of(jobs, limit))
}
