//! `GET /v1/jobs/{id}`

use axum::extract::State;
use axum::response::Response;
use catalog::Status;
use http::header::{HeaderValue, RETRY_AFTER};
use identity::JobId;

use crate::extract::{At, Caller, Watch};
use crate::problem::Problem;
use crate::routes::bodies::{Job, One};
use crate::state::App;

/// One job
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")),
    responses((status = 200, body = One<Job>)))]
pub async fn get_job(
    caller: Caller<Watch>,
    State(app): State<App>,
    At(id): At<JobId>,
) -> Result<Response, Problem> {
    let job = super::find(&app, &caller.principal, id).await?;
    let mut response = One::new(Job::from(&job)).ok();
    if matches!(job.status, Status::Queued | Status::Running) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}
