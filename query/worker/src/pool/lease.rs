//! A worker on loan: runs the tasks of one caller, one at a time.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use identity::WorkspaceId;
use serde_json::Value;

use super::process::{Process, empty};
use super::{Class, Inner};
use crate::death::Death;
use crate::files::Files;
use crate::serve::{HEAD_LENGTH, Refusal, Reply, TIMEOUT};

/// The longest reply taken from a worker: a page and its head, with room.
const REPLY_BYTES: usize = 64 << 20;
/// A worker whose socket broke is gone or going; after this it is helped.
const DYING: Duration = Duration::from_secs(2);

/// Why a task gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The worker died of it: the caller's 4xx.
    #[error("the task was stopped: {}", .0.limit())]
    Died(Death),
    /// Its time was over and its worker was killed.
    #[error("the task took longer than it may")]
    Deadline,
    /// The worker refused it with a code: the caller's 4xx.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours to mend: the worker could not be spoken to.
    #[error("the worker could not be spoken to")]
    Io(#[source] io::Error),
}

/// A worker that is this caller's until dropped. Dropped in the middle of a task, the worker is killed;
/// otherwise its folder is emptied and it may serve the same workspace again.
pub struct Lease {
    pool: Arc<Inner>,
    workspace: WorkspaceId,
    standing: Arc<Standing>,
    /// `None` once it must not be used again.
    process: Option<Process>,
    in_task: bool,
}

/// What a lease counts as. Read and written under the pool's lock only, which orders it.
pub(super) struct Standing {
    long: AtomicBool,
    ended: AtomicBool,
}

impl Standing {
    pub(super) fn end(&self) -> Class {
        self.ended.store(true, Ordering::Relaxed);
        self.class()
    }

    fn class(&self) -> Class {
        if self.long.load(Ordering::Relaxed) { Class::Long } else { Class::Inline }
    }
}

/// Makes a job's task out of an inline one while it runs. Does not keep the lease or the pool alive.
#[derive(Clone)]
pub struct Promoter {
    pool: Weak<Inner>,
    workspace: WorkspaceId,
    standing: Arc<Standing>,
}

impl Promoter {
    /// True when the task counts as long from now on, or did already; false when no more long tasks fit
    /// or the lease has ended.
    pub fn into_long(&self) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        let mut state = pool.state.lock();
        if self.standing.ended.load(Ordering::Relaxed) {
            return false;
        }
        let long = self.standing.class() == Class::Long || state.promote(self.workspace);
        self.standing.long.store(long, Ordering::Relaxed);
        long
    }
}

impl Lease {
    pub(super) fn new(pool: Arc<Inner>, workspace: WorkspaceId, class: Class, process: Process) -> Self {
        let long = AtomicBool::new(class == Class::Long);
        let standing = Arc::new(Standing { long, ended: AtomicBool::new(false) });
        Self { pool, workspace, standing, process: Some(process), in_task: false }
    }

    /// Runs one task to its end. `kind` is `resolve`, `query` or `files`; `timeout` is wall time, after
    /// which the worker is killed. Errors: [`TaskError`]; after all but `Refused` the lease is spent.
    pub async fn run(
        &mut self,
        kind: &str,
        request: &Value,
        files: Arc<dyn Files>,
        timeout: Duration,
    ) -> Result<Reply, TaskError> {
        let process =
            self.process.as_mut().ok_or_else(|| TaskError::Io(io::ErrorKind::NotConnected.into()))?;
        process.served.set(Some(files));
        self.in_task = true;
        let request = post(kind, request, timeout)?;
        let outcome = match tokio::time::timeout(timeout, exchange(process, request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(mourn(process, error).await),
            Err(_) => Err(stop(process).await),
        };
        process.served.set(None);
        self.settle(kind, &outcome);
        outcome
    }

    /// The worker's folder, as long as the lease lives.
    pub fn scratch(&self) -> &Path {
        self.process.as_ref().map_or(Path::new("/nonexistent"), Process::scratch)
    }

    /// The process id, for logs and tests.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Turns this inline lease into a job's while [`Lease::run`] is busy with it.
    pub fn promoter(&self) -> Promoter {
        Promoter {
            pool: Arc::downgrade(&self.pool),
            workspace: self.workspace,
            standing: self.standing.clone(),
        }
    }

    fn settle(&mut self, kind: &str, outcome: &Result<Reply, TaskError>) {
        let word = match outcome {
            Ok(_) => "done",
            Err(TaskError::Refused(_)) => "refused",
            Err(TaskError::Died(death)) => death.word(),
            Err(TaskError::Deadline) => "deadline",
            Err(TaskError::Io(_)) => "lost",
        };
        metrics::counter!("lakefront_worker_tasks_total", "kind" => kind.to_owned(), "outcome" => word)
            .increment(1);
        self.in_task = false;
        if !matches!(outcome, Ok(_) | Err(TaskError::Refused(_))) {
            self.process = None;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let most = self.pool.config.resident_bytes;
        let kept = self.process.take().filter(|process| !self.in_task && process.resident_bytes() <= most);
        let (pool, workspace, standing) = (self.pool.clone(), self.workspace, self.standing.clone());
        {
            let _ordered = pool.state.lock();
            standing.end();
        }
        let Some(process) = kept else { return pool.end(workspace, &standing, None) };
        self.pool.runtime.spawn(async move {
            let folder = process.scratch().to_owned();
            let emptied = tokio::task::spawn_blocking(move || empty(&folder)).await;
            pool.end(workspace, &standing, matches!(emptied, Ok(Ok(()))).then_some(process));
        });
    }
}

fn post(kind: &str, request: &Value, timeout: Duration) -> Result<Request<Full<Bytes>>, TaskError> {
    let lost = |error: http::Error| TaskError::Io(io::Error::other(error));
    let body = Full::new(Bytes::from(request.to_string()));
    let millis = timeout.as_millis().to_string();
    Request::post(format!("/tasks/{kind}")).header(TIMEOUT, millis).body(body).map_err(lost)
}

/// The inner result is the worker's own answer; the outer error means the connection broke.
async fn exchange(
    process: &mut Process,
    request: Request<Full<Bytes>>,
) -> io::Result<Result<Reply, TaskError>> {
    let answer = process.send(request).await.map_err(io::Error::other)?;
    let (status, head) = (answer.status(), head_length(&answer));
    let body =
        Limited::new(answer.into_body(), REPLY_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(match status {
        StatusCode::OK => reply(body, head),
        StatusCode::UNPROCESSABLE_ENTITY => Err(refusal(&body)),
        StatusCode::INTERNAL_SERVER_ERROR => Err(TaskError::Died(Death::Panic)),
        status => Err(TaskError::Io(io::Error::other(format!("the worker answered {status}")))),
    })
}

fn head_length(answer: &Response<Incoming>) -> Option<usize> {
    answer.headers().get(HEAD_LENGTH)?.to_str().ok()?.parse().ok()
}

fn reply(mut body: Bytes, head: Option<usize>) -> Result<Reply, TaskError> {
    let length = head.filter(|length| *length <= body.len());
    let length = length.ok_or_else(|| TaskError::Io(io::ErrorKind::InvalidData.into()))?;
    let head = body.split_to(length);
    let head = serde_json::from_slice(&head).map_err(|error| TaskError::Io(error.into()))?;
    Ok(Reply { head, body })
}

fn refusal(body: &[u8]) -> TaskError {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => TaskError::Refused(refusal),
        Err(error) => TaskError::Io(error.into()),
    }
}

/// The time is over: kills the worker and waits until it is gone.
async fn stop(process: &mut Process) -> TaskError {
    process.kill();
    let _late = tokio::time::timeout(DYING, process.exited()).await;
    TaskError::Deadline
}

/// The connection broke: finds out why the worker died, or ends one that only stopped talking.
async fn mourn(process: &mut Process, error: io::Error) -> TaskError {
    let Ok(Some(status)) = tokio::time::timeout(DYING, process.exited()).await else {
        process.kill();
        return TaskError::Io(error);
    };
    let death = Death::explain(status, &process.last_words.text());
    tracing::info!(pid = process.pid(), reason = death.word(), "a worker died of its task");
    TaskError::Died(death)
}
