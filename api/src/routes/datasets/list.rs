//! `GET /v1/datasets`

use axum::extract::State;
use axum::response::Response;
use catalog::Kind as TableKind;
use identity::Name;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Caller, Query, Read};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{Dataset, List};
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// 100 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 10)]
    pub limit: Option<String>,
    /// `meta.next` of the page before.
    pub cursor: Option<String>,
}

impl Page {
    /// How many to answer.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.as_deref().map(|text| engine::regions::limit(text, 1_000)).transpose()?;
        Ok(limit.map_or(100, |limit| limit as usize))
    }

    /// The name after which the page begins.
    pub fn after(&self) -> Result<Option<Name>, Problem> {
        let wrong = |_| Problem::new(Kind::InvalidCursor);
        self.cursor.as_deref().map(|text| Name::parse(text).map_err(wrong)).transpose()
    }
}

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
    let limit = page.limit()?;
    let mut after = page.after()?;
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
