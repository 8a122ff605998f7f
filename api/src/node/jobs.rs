//! Which room does which kind of job.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Job, Outcome, Run};
use chrono::Utc;
use engine::Engine;
use ingest::jobs::{Handler, Pipelines, REBUILD, Request, Runner, RunnerConfig};
use ingest::materialise::Materialise;
use ingest::upload::Uploads;

use super::store::Store;

/// Statements that outlive their call.
struct SqlJobs(Engine);

#[async_trait]
impl Handler for SqlJobs {
    fn kind(&self) -> &'static str {
        "sql"
    }

    /// Dropping the work is what stops it.
    async fn run(&self, job: &Job, run: &Run) -> Outcome {
        let work = self.0.run_job(job, Utc::now());
        run.cancelled().run_until_cancelled(work).await.unwrap_or(Outcome::Cancelled)
    }
}

/// Operator's jobs at a time in a process.
const PIPELINES: usize = 2;
const LOOK: Duration = Duration::from_millis(500);

/// How a process works at the operator's jobs. One that is cancelled ends the batch it is at.
pub fn pipelines_config() -> RunnerConfig {
    let stop_within = Duration::from_secs(15);
    RunnerConfig { concurrency: PIPELINES, poll: LOOK, woken: false, stop_within, ..RunnerConfig::default() }
}

/// The runner of the operator's jobs.
pub fn pipelines(store: &Store) -> Runner {
    Runner::start(store.catalog.clone(), Pipelines::handlers(&store.arrivals), pipelines_config())
}

/// Ends what must not be served half done: a rebuild from the raw area that was cut short.
pub async fn unfinished(store: &Store) -> anyhow::Result<()> {
    for job in store.catalog.jobs().open_of(REBUILD).await?.iter().filter(|job| Request::is_unfinished(job)) {
        tracing::warn!(job = %job.id, "a rebuild that was cut short is done again before anybody is served");
        // The lease of whoever began it may have to run out first.
        while !Runner::do_one(
            &store.catalog,
            Pipelines::handlers(&store.arrivals),
            pipelines_config(),
            job.id,
        )
        .await?
        {
            if store.catalog.jobs().find(job.id).await?.is_none_or(|job| job.status.is_final()) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Whether somebody is at such work, or was.
pub async fn is_unfinished(store: &Store) -> anyhow::Result<bool> {
    Ok(store.catalog.jobs().open_of(REBUILD).await?.iter().any(Request::is_unfinished))
}

/// All handlers of customers' jobs.
pub fn handlers(engine: &Engine, uploads: &Uploads, materialise: Materialise) -> Vec<Arc<dyn Handler>> {
    vec![Arc::new(SqlJobs(engine.clone())), Arc::new(uploads.clone()), Arc::new(materialise)]
}
