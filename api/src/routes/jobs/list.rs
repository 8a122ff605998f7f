//! `GET /v1/jobs`

use axum::extract::State;
use axum::response::Response;
use identity::{JobId, Scope};

use crate::extract::{Caller, Query, Watch};
use crate::problem::Problem;
use crate::routes::bodies::{Job, List};
use crate::routes::page::{Page, cut};
use crate::state::App;

/// The job before which a page begins.
pub fn before(page: &Page) -> Result<Option<JobId>, Problem> {
    page.cursor(|text| text.parse().ok())
}

/// The page made of `limit` jobs and, if there, one more that tells of a next page.
pub fn of(mut jobs: Vec<catalog::Job>, limit: u32) -> Response {
    let next = cut(&mut jobs, limit, |job| job.id.to_string());
    List::new(jobs.iter().map(Job::from).collect(), next).ok()
}

/// The caller's jobs, newest first
///
/// An operator sees the platform's own among them: runs of sources and models, backfills, rebuilds.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(Page), responses((status = 200, body = List<Job>)))]
pub async fn list_jobs(
    caller: Caller<Watch>,
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let limit = page.limit()?;
    let (jobs, own, before) = (app.catalog.jobs(), caller.workspace(), before(&page)?);
    let may = |scope| caller.principal.may(scope);
    let wanted = i64::from(limit) + 1;
    let jobs = match may(Scope::Admin) {
        true => jobs.list_platform(may(Scope::Read).then_some(own), wanted, before).await?,
        false => jobs.list(own, wanted, before).await?,
    };
    Ok(of(jobs, limit))
}
