//! The runner of durable jobs (query/ingest/src/jobs).
//!
//! ```text
//! job row ─claim─▶ Runner ─▶ Handler::run (one per kind, under a lease) ─▶ outcome in the row
//!            ▲ queued here: at once; elsewhere, or left by a dead process: at the next look
//! ```
//! A process that ends puts its jobs back; one that is killed leaves a lease that runs out. Either way a job runs again from its row, so
//! a handler must be repeatable. Absent on purpose: schedules, and in the runner any knowledge of what a job does.

mod pipelines;
mod runner;

use async_trait::async_trait;
use catalog::{Job, Outcome, Run};
use serde_json::{Value, json};

pub use pipelines::{BACKFILL, MAINTENANCE, Pipelines, REBUILD, RUN, Request, lane};
pub use runner::{Runner, RunnerConfig};

/// Does the jobs of one kind.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The kind whose jobs it does.
    fn kind(&self) -> &'static str;

    /// Whether this process is one that may do them now; another one does them else.
    async fn may_work(&self) -> bool {
        true
    }

    /// Does one job, or as much as is left of it after an interruption. Stops soon once `run` is cancelled, with whatever outcome.
    async fn run(&self, job: &Job, run: &Run) -> Outcome;
}

/// The problem of a failure that is ours; its cause is in the log.
pub fn internal_problem() -> Value {
    json!({"type": "about:blank", "code": "internal", "title": "Internal error", "status": 500,
           "detail": "the job failed inside; it can be tried again"})
}
