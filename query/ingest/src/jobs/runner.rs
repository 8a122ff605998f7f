//! Takes jobs as they come, a bounded number at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Job, Outcome, Run};
use chrono::Utc;
use identity::JobId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Handler, internal_problem};

/// How the runner works.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Jobs at a time in this process.
    pub concurrency: usize,
    /// How long a job of a dead process waits for another.
    pub lease: Duration,
    /// How often it looks for jobs queued elsewhere.
    pub poll: Duration,
    /// Whether it is woken when a job is queued here. Of several runners of a process one is; the others look.
    pub woken: bool,
    /// How long a job may take to stop when it is cancelled or the process ends; then it is broken off.
    pub stop_within: Duration,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            woken: true,
            stop_within: Duration::from_secs(5),
        }
    }
}

type Handlers = HashMap<&'static str, Arc<dyn Handler>>;

/// A runner at work. Dropped, it takes no more jobs and breaks off those it has, as a kill would.
pub struct Runner {
    stopping: CancellationToken,
    taking: tokio::task::JoinHandle<()>,
}

impl Runner {
    /// Starts to take jobs of the handlers' kinds. Needs a tokio runtime.
    pub fn start(catalog: Catalog, handlers: Vec<Arc<dyn Handler>>, config: RunnerConfig) -> Self {
        let handlers = handlers.into_iter().map(|handler| (handler.kind(), handler)).collect();
        let stopping = CancellationToken::new();
        let work = Work { catalog, handlers: Arc::new(handlers), config, stopping: stopping.clone() };
        Self { stopping, taking: tokio::spawn(work.take_jobs()) }
    }

    /// Does this very job, here and now, if it is due and nobody does it. For a process without a runner.
    /// - Shape: whether it was done, however it ended.
    /// - Errors: the catalog's.
    pub async fn do_one(
        catalog: &Catalog,
        handlers: Vec<Arc<dyn Handler>>,
        config: RunnerConfig,
        id: JobId,
    ) -> Result<bool, catalog::Error> {
        let Some(job) = catalog.jobs().take(id, catalog.owner(), config.lease, Utc::now()).await? else {
            return Ok(false);
        };
        let handlers: Handlers = handlers.into_iter().map(|handler| (handler.kind(), handler)).collect();
        let (catalog, stopping) = (catalog.clone(), CancellationToken::new());
        Work { catalog, handlers: Arc::new(handlers), config, stopping }.work_at(job).await;
        Ok(true)
    }

    /// Takes no more jobs, has those at work stop, and puts back what they had not finished.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = (&mut self.taking).await {
            tracing::error!(%error, "the job runner broke");
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.taking.abort();
    }
}

#[derive(Clone)]
struct Work {
    catalog: Catalog,
    handlers: Arc<Handlers>,
    config: RunnerConfig,
    stopping: CancellationToken,
}

impl Work {
    async fn take_jobs(self) {
        let places = Arc::new(Semaphore::new(self.config.concurrency.max(1)));
        let mut at_work = JoinSet::new();
        while !self.stopping.is_cancelled() {
            let Some(place) = self.free_place(&places).await else { break };
            while at_work.try_join_next().is_some() {}
            match self.next_job().await {
                Some(job) => drop(at_work.spawn(self.clone().work(job, place))),
                None => self.wait().await,
            }
        }
        let all_done = async { while at_work.join_next().await.is_some() {} };
        // Each job has its own patience; the second more is for writing how they ended.
        if tokio::time::timeout(self.config.stop_within + Duration::from_secs(1), all_done).await.is_err() {
            tracing::warn!(left = at_work.len(), "jobs did not stop in time; they run again from their rows");
        }
    }

    async fn free_place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            place = places.clone().acquire_owned() => place.ok(),
            () = self.stopping.cancelled() => None,
        }
    }

    async fn next_job(&self) -> Option<Job> {
        let mut kinds: Vec<&str> = Vec::with_capacity(self.handlers.len());
        for (kind, handler) in self.handlers.iter() {
            if handler.may_work().await {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() {
            return None;
        }
        let claimed =
            self.catalog.jobs().claim(self.catalog.owner(), &kinds, self.config.lease, Utc::now()).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "no job can be taken now");
            None
        })
    }

    async fn wait(&self) {
        let jobs = self.catalog.jobs();
        tokio::select! {
            () = jobs.woken(), if self.config.woken => {}
            () = tokio::time::sleep(self.config.poll) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Does one job; its place is free again after that.
    async fn work(self, job: Job, place: OwnedSemaphorePermit) {
        self.work_at(job).await;
        drop(place);
    }

    /// Does one job and writes how it ended.
    async fn work_at(&self, job: Job) {
        let run = Arc::new(self.catalog.jobs().run(job.id, self.catalog.owner(), self.config.lease));
        let outcome = self.outcome(&job, &run).await;
        self.end(&job, &run, outcome).await;
    }

    /// Runs the handler in a task of its own, so that its panic is one job's failure.
    async fn outcome(&self, job: &Job, run: &Arc<Run>) -> Outcome {
        let Some(handler) = self.handlers.get(job.kind.as_str()).cloned() else {
            return Outcome::Failed { problem: internal_problem() };
        };
        let (own_job, own_run) = (job.clone(), run.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { handler.run(&own_job, &own_run).await });
        let ended = tokio::select! {
            ended = task.join_next() => ended,
            () = self.out_of_patience(run) => None,
        };
        match ended {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => {
                tracing::error!(job = %job.id, kind = job.kind, %error, "a job's handler broke");
                Outcome::Failed { problem: internal_problem() }
            }
            None => Outcome::Cancelled,
        }
    }

    /// Ready when a job that was told to stop, or whose process ends, has had its time to do so.
    async fn out_of_patience(&self, run: &Run) {
        tokio::select! {
            () = self.stopping.cancelled() => run.cancelled().cancel(),
            () = run.cancelled().cancelled() => {}
        }
        tokio::time::sleep(self.config.stop_within).await;
    }

    async fn end(&self, job: &Job, run: &Run, outcome: Outcome) {
        let unfinished = matches!(outcome, Outcome::Cancelled | Outcome::Retry { .. });
        let written = if self.stopping.is_cancelled() && unfinished {
            run.give_back(Utc::now()).await
        } else {
            run.finish(&outcome, Utc::now()).await
        };
        match written {
            Ok(true) => tracing::info!(job = %job.id, kind = job.kind, "job ended"),
            Ok(false) => tracing::info!(job = %job.id, kind = job.kind, "the job had ended elsewhere"),
            Err(error) => {
                tracing::warn!(job = %job.id, kind = job.kind, %error, "the end of a job could not be written")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use catalog::{NewJob, Status};
    use database::testing::Scratch;
    use identity::WorkspaceId;
    use serde_json::json;

    use super::*;

    /// Does what the job's payload says: `sleep`, `panic`, or nothing.
    #[derive(Default)]
    struct Odd {
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
    }

    #[async_trait]
    impl Handler for Odd {
        fn kind(&self) -> &'static str {
            "odd"
        }

        async fn run(&self, job: &Job, run: &Run) -> Outcome {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let outcome = match job.payload.as_str() {
                Some("panic") => panic!("as the job says"),
                Some("sleep") => {
                    run.cancelled().cancelled().await;
                    Outcome::Cancelled
                }
                Some("deaf") => std::future::pending().await,
                _ => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Outcome::Succeeded { result: Some(json!("done")), meta: None }
                }
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            outcome
        }
    }

    struct House {
        catalog: Catalog,
        workspace: WorkspaceId,
        odd: Arc<Odd>,
        _scratch: Scratch,
    }

    impl House {
        async fn new() -> Self {
            let scratch = Scratch::sqlite().await;
            scratch.migrate().await.unwrap();
            let catalog = Catalog::open((*scratch).clone(), catalog::Config::default()).await.unwrap();
            Self { catalog, workspace: WorkspaceId::new(), odd: Arc::default(), _scratch: scratch }
        }

        fn runner(&self) -> Runner {
            let config = RunnerConfig {
                concurrency: 2,
                poll: Duration::from_millis(50),
                stop_within: Duration::from_millis(200),
                ..RunnerConfig::default()
            };
            Runner::start(self.catalog.clone(), vec![self.odd.clone()], config)
        }

        async fn enqueue(&self, what: &str) -> JobId {
            let now = Utc::now();
            let new = NewJob::new("odd", json!(what), now).of(self.workspace);
            self.catalog.jobs().enqueue(new, now).await.unwrap().id
        }

        async fn job(&self, id: JobId) -> Job {
            self.catalog.jobs().get(self.workspace, id).await.unwrap().unwrap()
        }

        async fn until(&self, id: JobId, status: Status) -> Job {
            for _ in 0..400 {
                let job = self.job(id).await;
                if job.status == status {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            panic!("the job is not {}: {:?}", status.as_str(), self.job(id).await)
        }
    }

    #[tokio::test]
    async fn jobs_are_done_a_bounded_number_at_a_time() {
        let house = House::new().await;
        let runner = house.runner();
        let mut ids = Vec::new();
        for _ in 0..6 {
            ids.push(house.enqueue("work").await);
        }
        for id in ids {
            assert_eq!(house.until(id, Status::Succeeded).await.result, Some(json!("done")));
        }
        assert_eq!(house.odd.most_at_once.load(Ordering::SeqCst), 2);
        runner.stop().await;
    }

    #[tokio::test]
    async fn a_handler_that_breaks_fails_its_job_alone() {
        let house = House::new().await;
        let _runner = house.runner();
        let broken = house.enqueue("panic").await;
        let fine = house.enqueue("work").await;
        assert_eq!(house.until(broken, Status::Failed).await.problem.unwrap()["code"], "internal");
        house.until(fine, Status::Succeeded).await;
    }

    #[tokio::test]
    async fn a_cancelled_job_stops_at_once_even_when_it_does_not_listen() {
        let house = House::new().await;
        let _runner = house.runner();
        for what in ["sleep", "deaf"] {
            let id = house.enqueue(what).await;
            house.until(id, Status::Running).await;
            house.catalog.jobs().cancel(house.workspace, id, Utc::now()).await.unwrap();
            house.until(id, Status::Cancelled).await;
        }
    }

    #[tokio::test]
    async fn what_a_stopping_process_had_not_finished_waits_for_the_next_one() {
        let house = House::new().await;
        let runner = house.runner();
        let id = house.enqueue("sleep").await;
        house.until(id, Status::Running).await;
        runner.stop().await;
        let waiting = house.job(id).await;
        assert_eq!((waiting.status, waiting.attempts), (Status::Queued, 0));
        let _next = house.runner();
        assert_eq!(house.until(id, Status::Running).await.attempts, 1);
    }

    #[tokio::test]
    async fn a_killed_process_leaves_jobs_for_its_successor() {
        let house = House::new().await;
        let runner = house.runner();
        let id = house.enqueue("deaf").await;
        house.until(id, Status::Running).await;
        drop(runner);
        let successor =
            Catalog::open(house._scratch.connect_again().await, catalog::Config::default()).await.unwrap();
        successor.restart(Utc::now()).await.unwrap();
        let taken =
            successor.jobs().claim(successor.owner(), &["odd"], Duration::from_secs(9), Utc::now()).await;
        assert_eq!(taken.unwrap().map(|job| (job.id, job.attempts)), Some((id, 2)));
    }
}
