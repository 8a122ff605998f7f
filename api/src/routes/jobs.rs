//! Long work: its state, its end, its result.

pub mod cancel;
pub mod get;
pub mod list;
pub mod result;

use identity::{JobId, Principal, Scope};

use crate::problem::{Kind, Problem};
use crate::state::App;

/// The job of that id: the caller's own, or the platform's for an operator. Errors: `unknown-job`, also for another's.
async fn find(app: &App, caller: &Principal, id: JobId) -> Result<catalog::Job, Problem> {
    let jobs = app.catalog.jobs();
    let own = if caller.may(Scope::Read) { jobs.get(caller.workspace, id).await? } else { None };
    match own {
        None if caller.may(Scope::Admin) => jobs.get_platform(id).await?,
        own => own,
    }
    .ok_or_else(|| unknown(id))
}

fn unknown(id: JobId) -> Problem {
    Problem::because(Kind::UnknownJob, format!("no job `{id}`"))
}
