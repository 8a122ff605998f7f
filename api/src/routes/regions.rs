//! Case 1: what is known of regions. Everything here is a cached page of the platform's tables.

pub mod bodies;
pub mod forecast;
pub mod get;
pub mod list;
pub mod market;
mod parameters;
pub mod series;
pub mod summaries;
pub mod summary;
pub mod weather;

use axum::response::Response;
use chrono::{DateTime, Utc};
use engine::regions::RegionQuery;
use engine::{Answer, Format, QueryError};
use identity::RegionId;

use crate::caching;
use crate::extract::{Accepted, Caller, Read};
use crate::problem::{Kind, Problem};
use crate::state::App;

/// Answers a region question: 304 and hits without a query, else by the engine.
async fn answer(
    app: &App,
    caller: &Caller<Read>,
    accepted: &Accepted,
    query: RegionQuery,
    format: Format,
) -> Result<Response, Problem> {
    let now = Utc::now();
    if let Some(tag) = app.engine.tag(&query, format, &caller.principal, now) {
        if caching::has(accepted, &tag.etag) {
            return Ok(caching::not_modified(accepted, &tag.etag));
        }
        if let Some(page) = app.engine.cached(&tag) {
            return Ok(finish(caller, accepted, Answer { page, hit: true }).await);
        }
    }
    let answer = app.engine.regions(&caller.principal, query, format, now).await?;
    if caching::has(accepted, &answer.page.etag) {
        return Ok(caching::not_modified(accepted, &answer.page.etag));
    }
    Ok(finish(caller, accepted, answer).await)
}

async fn finish(caller: &Caller<Read>, accepted: &Accepted, answer: Answer) -> Response {
    let mut response = caching::page(accepted, &answer).await;
    if let Some(next) = &answer.page.facts.next {
        caching::link_next(&mut response, &caller.trail.uri, next);
    }
    response
}

/// An optional instant of the past. Errors: `invalid-parameter`.
fn as_of(text: Option<&str>) -> Result<Option<DateTime<Utc>>, QueryError> {
    text.map(|text| engine::regions::instant("as_of", text)).transpose()
}

/// `limit` of a list of regions.
fn limit(text: Option<&str>) -> Result<Option<u32>, QueryError> {
    let limit = text.map(|text| engine::regions::limit(text, 1_000)).transpose()?;
    Ok(limit.and_then(|limit| u32::try_from(limit).ok()))
}

/// `regions=a,b,c`. Errors: `unknown-region` for an impossible name, `invalid-parameter` for none or too many.
fn names(text: &str) -> Result<Vec<RegionId>, Problem> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > 1_000 {
        return Err(Problem::because(
            Kind::InvalidParameter,
            "`regions` is 1 to 1000 names with commas between",
        ));
    }
    let unknown = |name: &str| {
        Problem::because(Kind::UnknownRegion, format!("no region `{}`", crate::extract::plain(name)))
    };
    names.into_iter().map(|name| RegionId::parse(name).map_err(|_| unknown(name))).collect()
}

/// `fields=a,b`.
fn fields(text: Option<&str>) -> Option<Vec<String>> {
    text.map(|text| {
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    })
}
