//! Long work: its state, its end, its result.

pub mod cancel;
pub mod get;
pub mod list;
pub mod result;

use identity::{JobId, WorkspaceId};

use crate::problem::{Kind, Problem};
use crate::state::App;

/// The caller's job of that id. Errors: `unknown-job`, also for another's.
async fn find(app: &App, workspace: WorkspaceId, id: JobId) -> Result<catalog::Job, Problem> {
    app.catalog.jobs().get(workspace, id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: JobId) -> Problem {
    Problem::because(Kind::UnknownJob, format!("no job `{id}`"))
}
