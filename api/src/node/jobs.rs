//! Which room does which kind of job.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Job, Outcome, Run};
use chrono::Utc;
use engine::Engine;
use ingest::jobs::Handler;
use ingest::materialise::Materialise;
use ingest::upload::Uploads;

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

/// All handlers of a node.
pub fn handlers(engine: &Engine, uploads: &Uploads, materialise: Materialise) -> Vec<Arc<dyn Handler>> {
    vec![Arc::new(SqlJobs(engine.clone())), Arc::new(uploads.clone()), Arc::new(materialise)]
}
