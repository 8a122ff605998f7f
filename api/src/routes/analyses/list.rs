//! `GET /v1/analyses`

use axum::extract::State;
use axum::response::Response;

use super::Analysis;
use crate::extract::{Caller, Query, Read};
use crate::problem::Problem;
use crate::routes::bodies::List;
use crate::routes::datasets::list::own;
use crate::routes::page::Page;
use crate::state::App;

/// The caller's analyses, by name
#[utoipa::path(get, path = "/v1/analyses", tag = "analyses", params(Page), responses((status = 200, body = List<Analysis>)))]
pub async fn list_analyses(
    caller: Caller<Read>,
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (tables, next) = own(&app, &caller, &page, super::is_analysis).await?;
    Ok(List::new(tables.iter().map(|table| Analysis::from(&**table)).collect(), next).ok())
}
