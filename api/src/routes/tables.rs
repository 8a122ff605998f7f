//! Case 3: any visible table by name.

pub mod get;
pub mod list;
pub mod partitions;
pub mod quality;
pub mod rows;

use std::sync::Arc;

use catalog::{Kind, Table};
use identity::{Principal, TableName};

use crate::problem::Problem;
use crate::state::App;

/// The visible table of that name. Errors: `unknown-table`.
async fn table(app: &App, principal: &Principal, name: &TableName) -> Result<Arc<Table>, Problem> {
    let wanted = std::slice::from_ref(name);
    match app.catalog.pin(principal.workspace, &principal.slug, wanted).await?.pop().flatten() {
        Some(table) => Ok(table),
        None => Err(app.engine.unknown_table(principal, name).await.into()),
    }
}

/// The platform's table of that name. Errors: `unknown-table`, for a customer's own too: it has no partitions and no promise.
async fn platform(app: &App, principal: &Principal, name: &TableName) -> Result<Arc<Table>, Problem> {
    let table = table(app, principal, name).await?;
    match table.kind {
        Kind::Platform => Ok(table),
        _ => Err(app.engine.unknown_table(principal, name).await.into()),
    }
}

/// The models' tables that read `table`, and the caller's analyses that do, as `my.x`.
async fn downstream(app: &App, principal: &Principal, table: &Table) -> Result<Vec<String>, Problem> {
    let names = app.catalog.downstream(principal.workspace, &table.name).await?;
    let seen = |name: TableName| match name.schema == principal.slug.as_str() {
        true => format!("my.{}", name.table),
        false => name.to_string(),
    };
    Ok(names.into_iter().map(seen).collect())
}
