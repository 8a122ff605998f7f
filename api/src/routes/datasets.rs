//! Case 4: a customer's own files.

pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod rejects;
pub mod upload;
pub mod versions;

use std::sync::Arc;

use catalog::{Kind as TableKind, Table};
use identity::{Name, WorkspaceId};

use crate::problem::{Kind, Problem};
use crate::state::App;

/// The dataset of that name. Errors: `unknown-dataset`, also where the name is an analysis'.
async fn find(app: &App, workspace: WorkspaceId, name: &Name) -> Result<Arc<Table>, Problem> {
    let found = app.catalog.find(workspace, name).await?;
    found.filter(|table| table.kind == TableKind::Dataset).ok_or_else(|| unknown(name))
}

fn unknown(name: &Name) -> Problem {
    Problem::because(Kind::UnknownDataset, format!("no dataset `{name}`"))
}
