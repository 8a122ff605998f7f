//! Case 3: any visible table by name.

pub mod get;
pub mod list;
pub mod rows;

use catalog::Table;
use identity::TableName;

use crate::extract::plain;
use crate::problem::{Kind, Problem};

/// The same words for a table that is not there and one that is another's.
fn unknown(name: &TableName) -> Problem {
    Problem::because(Kind::UnknownTable, format!("no table `{}`", plain(&name.to_string())))
}

/// The caller's analyses that read `table`, as `my.x`.
async fn downstream(
    app: &crate::state::App,
    workspace: identity::WorkspaceId,
    table: &Table,
) -> Result<Vec<String>, Problem> {
    let names = app.catalog.downstream(workspace, &table.name).await?;
    Ok(names.into_iter().map(|name| format!("my.{}", name.table)).collect())
}
