//! `GET /v1/jobs/{id}/result`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use catalog::Status;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use identity::JobId;

use crate::caching;
use crate::extract::{Accepted, At, Caller, Query, Watch};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Job, One};
use crate::routes::sql::{SqlRows, Wanted};
use crate::state::App;

/// The result of a job
///
/// Of a statement: its rows, in the format it was asked for. Of an upload or a run of an analysis: 303 to what it made. Of an
/// operator's job: what it did.
#[utoipa::path(get, path = "/v1/jobs/{id}/result", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10"), Wanted),
    responses((status = 200, body = SqlRows), (status = 303, description = "`Location` is what the job made")))]
pub async fn job_result(
    caller: Caller<Watch>,
    State(app): State<App>,
    At(id): At<JobId>,
    accepted: Accepted,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let job = super::find(&app, &caller.principal, id).await?;
    match job.status {
        Status::Queued | Status::Running => return Err(Problem::new(Kind::JobNotFinished).retry_after(1)),
        Status::Failed => return Err(failed(&job)),
        Status::Cancelled => return Err(Problem::because(Kind::JobFailed, "the job was cancelled")),
        Status::Succeeded => {}
    }
    if job.workspace.is_none() {
        return Ok(One::new(job.result.unwrap_or_default()).ok());
    }
    if job.kind != "sql" {
        let made = Job::from(&job).result.unwrap_or_default();
        let made = HeaderValue::try_from(made).map_err(Problem::internal)?;
        return Ok((StatusCode::SEE_OTHER, [(LOCATION, made)]).into_response());
    }
    let answer = app.engine.result(&caller.principal, &job).await?;
    if wanted.format.as_deref().is_some_and(|word| word != answer.page.format.word()) {
        let detail = format!("the result was asked for, and is kept, as {}", answer.page.format);
        return Err(Problem::because(Kind::NotAcceptable, detail));
    }
    let accepted = accepted.with_bom(wanted.bom, answer.page.format);
    if caching::has(&accepted, &answer.page.etag) {
        return Ok(caching::not_modified(&accepted, &answer.page.etag));
    }
    Ok(caching::page(&accepted, &answer).await)
}

/// The job's own problem again, so that a caller need not look twice.
fn failed(job: &catalog::Job) -> Problem {
    let text = |key: &str| {
        job.problem.as_ref().and_then(|problem| problem.get(key)).and_then(|value| value.as_str())
    };
    let detail = text("detail").or_else(|| text("title")).unwrap_or("the job failed");
    let kind = text("code").and_then(Kind::of).filter(|kind| kind.status().is_client_error());
    Problem::because(kind.unwrap_or(Kind::JobFailed), detail)
}
