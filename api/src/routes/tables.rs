//! Case 3: any visible table by name.

pub mod get;
pub mod list;
pub mod rows;

use catalog::Table;

use crate::problem::Problem;

/// The caller's analyses that read `table`, as `my.x`.
async fn downstream(
    app: &crate::state::App,
    workspace: identity::WorkspaceId,
    table: &Table,
) -> Result<Vec<String>, Problem> {
    let names = app.catalog.downstream(workspace, &table.name).await?;
    Ok(names.into_iter().map(|name| format!("my.{}", name.table)).collect())
}
