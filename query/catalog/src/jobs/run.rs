//! A job while this process works at it: its lease is kept, its caller's cancellation arrives, its progress is written once a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use identity::JobId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Beat, Jobs, Outcome};
use crate::{Error, Owner};

/// How often a run looks whether it was cancelled elsewhere, and writes its progress.
const LOOK: Duration = Duration::from_secs(1);

/// How often, and how long apart, the end of a job is tried to be written.
const FINISH_ATTEMPTS: u32 = 5;
const FINISH_PAUSE: Duration = Duration::from_millis(300);

/// What this process is working at, shared by all handles of the job table.
#[derive(Debug, Default)]
pub(super) struct Here {
    running: Mutex<HashMap<JobId, CancellationToken>>,
    /// Told when a job is queued here.
    queued: Notify,
}

impl Here {
    pub fn cancel(&self, id: JobId) {
        if let Some(token) = self.running.lock().get(&id) {
            token.cancel();
        }
    }

    pub fn wake(&self) {
        self.queued.notify_one();
    }

    pub async fn woken(&self) {
        self.queued.notified().await;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    percent: f64,
    rows: i64,
    /// Not written yet.
    fresh: bool,
}

#[derive(Debug)]
struct Inner {
    jobs: Jobs,
    id: JobId,
    owner: Owner,
    lease: Duration,
    cancelled: CancellationToken,
    lost: AtomicBool,
    progress: Mutex<Progress>,
}

/// A claimed job in this process. Dropped without [`Run::finish`], its lease runs out and it is begun again.
#[derive(Debug)]
pub struct Run {
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

impl Jobs {
    /// Keeps the lease of a job that this process has claimed or started. Needs a tokio runtime.
    pub fn run(&self, id: JobId, owner: &Owner, lease: Duration) -> Run {
        let cancelled = CancellationToken::new();
        self.here.running.lock().insert(id, cancelled.clone());
        let (lost, progress) = (AtomicBool::new(false), Mutex::default());
        let inner = Inner { jobs: self.clone(), id, owner: owner.clone(), lease, cancelled, lost, progress };
        let inner = Arc::new(inner);
        let keeper = tokio::spawn(keep(inner.clone())).abort_handle();
        Run { inner, keeper }
    }
}

impl Run {
    pub fn id(&self) -> JobId {
        self.inner.id
    }

    /// Cancelled when the caller cancels the job, the lease is lost, or the process ends: stop soon, and write nothing more.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.inner.cancelled
    }

    /// Whether the job is another's now.
    pub fn is_lost(&self) -> bool {
        self.inner.lost.load(Ordering::Relaxed)
    }

    /// Notes how far it is: 0 to 100, and rows done so far. Costs nothing; written once a second.
    pub fn progress(&self, percent: f64, rows: i64) {
        *self.inner.progress.lock() = Progress { percent, rows, fresh: true };
    }

    /// Ends the job; tried for a while where the database is busy. False where it was another's. Errors: [`Error::Database`].
    pub async fn finish(&self, outcome: &Outcome, now: DateTime<Utc>) -> Result<bool, Error> {
        let Inner { jobs, id, owner, .. } = &*self.inner;
        for attempt in 1..FINISH_ATTEMPTS {
            match jobs.finish(*id, owner, outcome, now).await {
                Err(Error::Database(error)) if error.is_transient() => {
                    tokio::time::sleep(FINISH_PAUSE * attempt).await;
                }
                done => return done,
            }
        }
        jobs.finish(*id, owner, outcome, now).await
    }

    /// Puts the job back as if it had not been begun: the process ends, another will do it. Errors: [`Error::Database`].
    pub async fn give_back(&self, now: DateTime<Utc>) -> Result<bool, Error> {
        self.inner.jobs.give_back(self.inner.id, &self.inner.owner, now).await
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.keeper.abort();
        self.inner.jobs.here.running.lock().remove(&self.inner.id);
    }
}

/// Renews the lease at a third of its time and looks for a cancellation in between.
async fn keep(run: Arc<Inner>) {
    let every = LOOK.min(run.lease / 4);
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(every).await;
        let renew = renewed.elapsed() >= run.lease / 3;
        let beat = if renew { run.renew().await } else { run.look().await };
        match beat {
            Ok(Beat::Go) => {}
            Ok(Beat::Cancel) => run.cancelled.cancel(),
            Ok(Beat::Lost) => return run.lose(),
            // The work goes on: whether the lease held is seen when it can be asked again.
            Err(error) => tracing::debug!(job = %run.id, %error, "the job table cannot be reached"),
        }
        if renew {
            renewed = Instant::now();
        }
    }
}

impl Inner {
    async fn renew(&self) -> Result<Beat, Error> {
        self.jobs.heartbeat(self.id, &self.owner, self.lease, Utc::now()).await
    }

    async fn look(&self) -> Result<Beat, Error> {
        if let Some(news) = self.news() {
            self.jobs.progress(self.id, &self.owner, news.percent, news.rows).await?;
        }
        self.jobs.look(self.id, &self.owner).await
    }

    fn news(&self) -> Option<Progress> {
        let mut progress = self.progress.lock();
        std::mem::take(&mut progress.fresh).then_some(*progress)
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.cancelled.cancel();
    }
}
