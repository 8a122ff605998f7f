//! `GET /v1/jobs`

use axum::extract::State;
use axum::response::Response;
use identity::{JobId, Scope};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Caller, Query, Watch};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Job, List};
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// 100 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 10)]
    limit: Option<String>,
    /// `meta.next` of the page before.
    cursor: Option<String>,
}

impl Page {
    /// How many to answer.
    pub fn limit(&self) -> Result<i64, Problem> {
        let limit = self.limit.as_deref().map(|text| engine::regions::limit(text, 1_000)).transpose()?;
        Ok(limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(100))
    }

    /// The job before which the page begins.
    pub fn before(&self) -> Result<Option<JobId>, Problem> {
        let wrong = |_| Problem::new(Kind::InvalidCursor);
        self.cursor.as_deref().map(|text| text.parse::<JobId>().map_err(wrong)).transpose()
    }

    /// The page made of `limit` jobs and, if there, one more that tells of a next page.
    pub fn of(&self, mut jobs: Vec<catalog::Job>, limit: i64) -> Response {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().filter(|_| more).map(|job| job.id.to_string());
        List::new(jobs.iter().map(Job::from).collect(), next).ok()
    }
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
    let (jobs, own, before) = (app.catalog.jobs(), caller.workspace(), page.before()?);
    let may = |scope| caller.principal.may(scope);
    let jobs = match may(Scope::Admin) {
        true => jobs.list_platform(may(Scope::Read).then_some(own), limit + 1, before).await?,
        false => jobs.list(own, limit + 1, before).await?,
    };
    Ok(page.of(jobs, limit))
}
