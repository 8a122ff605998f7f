//! `DELETE /v1/jobs/{id}`

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use identity::{JobId, Scope};

use crate::extract::{At, Caller, Steer};
use crate::problem::Problem;
use crate::routes::bodies::{Job, One};
use crate::state::App;

/// Cancels a job
///
/// One that has ended stays as it is.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job", example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")),
    responses((status = 200, body = One<Job>)))]
pub async fn cancel_job(
    caller: Caller<Steer>,
    State(app): State<App>,
    At(id): At<JobId>,
) -> Result<Response, Problem> {
    let (jobs, now) = (app.catalog.jobs(), Utc::now());
    let may = |scope| caller.principal.may(scope);
    let own = if may(Scope::Write) { jobs.cancel(caller.workspace(), id, now).await? } else { None };
    let cancelled = match own {
        None if may(Scope::Admin) => jobs.cancel_platform(id, now).await?,
        own => own,
    };
    let job = cancelled.ok_or_else(|| super::unknown(id))?;
    Ok(One::new(Job::from(&job)).ok())
}
