//! Case 3: any visible table by name.

pub mod get;
pub mod list;
pub mod rows;

use catalog::Table;
use identity::{Principal, TableName};

use crate::problem::Problem;
use crate::state::App;

/// The models' tables that read `table`, and the caller's analyses that do, as `my.x`.
async fn downstream(app: &App, principal: &Principal, table: &Table) -> Result<Vec<String>, Problem> {
    let names = app.catalog.downstream(principal.workspace, &table.name).await?;
    let seen = |name: TableName| match name.schema == principal.slug.as_str() {
        true => format!("my.{}", name.table),
        false => name.to_string(),
    };
    Ok(names.into_iter().map(seen).collect())
}
