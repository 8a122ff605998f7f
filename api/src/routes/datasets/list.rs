//! `GET /v1/datasets`

use axum::extract::State;
use axum::response::Response;
use catalog::Kind as TableKind;
use identity::Name;

use crate::extract::{Caller, Query, Read};
use crate::problem::Problem;
use crate::routes::bodies::{Dataset, List};
use crate::routes::page::Page;
use crate::state::App;

/// The caller's datasets, by name
#[utoipa::path(get, path = "/v1/datasets", tag = "datasets", params(Page), responses((status = 200, body = List<Dataset>)))]
pub async fn list_datasets(
    caller: Caller<Read>,
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let tables = own(&app, &caller, &page, |kind| kind == TableKind::Dataset).await?;
    let (tables, next) = tables;
    Ok(List::new(tables.iter().map(|table| Dataset::from(&**table)).collect(), next).ok())
}

/// A page of the caller's own tables of some kinds, and the cursor after it.
pub async fn own(
    app: &App,
    caller: &Caller<Read>,
    page: &Page,
    wanted: fn(TableKind) -> bool,
) -> Result<(Vec<std::sync::Arc<catalog::Table>>, Option<String>), Problem> {
    let limit = page.limit()? as usize;
    let mut after = page.cursor(|text| Name::parse(text).ok())?;
    let mut found = Vec::new();
    loop {
        let batch = app.catalog.own(caller.workspace(), after.as_ref(), 1_000).await?;
        let last = batch.last().and_then(|table| Name::parse(&table.name.table).ok());
        let whole = batch.len() < 1_000;
        found.extend(batch.into_iter().filter(|table| wanted(table.kind)));
        if found.len() > limit || whole || last.is_none() {
            break;
        }
        after = last;
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|table| table.name.table.clone());
    Ok((found, next))
}
