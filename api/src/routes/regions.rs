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

use arc_swap::ArcSwap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use engine::cache::Tag;
use engine::regions::{Lasting, RegionQuery};
use engine::{Answer, Format, QueryError};
use http::Uri;
use identity::RegionId;

use crate::caching;
use crate::extract::{Accepted, Caller, Read};
use crate::problem::{Kind, Problem};
use crate::repeats::Asked;
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
    let tag = app.engine.tag(&query, format, &caller.principal, now);
    if let Some(tag) = tag
        && let Some(response) = known(app, &caller.trail.uri, accepted, &tag).await
    {
        learn(app, caller, query, (format, accepted.bom), tag);
        return Ok(response);
    }
    let answer = app.engine.regions(&caller.principal, query, format, now).await?;
    if caching::has(accepted, &answer.page.etag) {
        return Ok(caching::not_modified(accepted, &answer.page.etag));
    }
    Ok(finish(&caller.trail.uri, accepted, answer).await)
}

/// The answer of this tag where the caller has it already or it is in memory.
pub async fn known(app: &App, uri: &Uri, accepted: &Accepted, tag: &Tag) -> Option<Response> {
    if caching::has(accepted, &tag.etag) {
        return Some(caching::not_modified(accepted, &tag.etag));
    }
    let page = app.engine.cached(tag)?;
    Some(finish(uri, accepted, Answer { page, hit: true }).await)
}

/// Keeps a question that came again, for those who ask it in the same words.
fn learn(app: &App, caller: &Caller<Read>, query: RegionQuery, (format, bom): (Format, bool), tag: Lasting) {
    if let (Some(words), Some(entry)) = (caller.words.clone(), caller.trail.route()) {
        let (policy, tag) = (caller.principal.policy.clone(), ArcSwap::from_pointee(tag));
        app.repeats.learn(Asked { words, policy, entry, query, format, bom, tag });
    }
}

async fn finish(uri: &Uri, accepted: &Accepted, answer: Answer) -> Response {
    let mut response = caching::page(accepted, &answer).await;
    if let Some(next) = &answer.page.facts.next {
        caching::link_next(&mut response, uri, next);
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
