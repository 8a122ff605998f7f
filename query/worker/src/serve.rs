//! The worker process itself: walls first, then one task after another.
//!
//! ```text
//! main ─▶ serve(handler): settings ▸ sockets ▸ walls ▸ threads ▸ POST /tasks/{kind} ─▶ handler(Task)
//!                                                         socket closed ─▶ the process ends
//! ```
//! The thread that speaks HTTP runs no task, so the end of the gateway is noticed under any load.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::FileClient;
use crate::limits::Limits;

mod control;
mod sockets;
mod walls;

pub(crate) use control::{HEAD_LENGTH, TIMEOUT};

/// The variable through which the gateway tells a new worker its [`Settings`].
pub(crate) const SETTINGS: &str = "LAKEFRONT_WORKER";

/// Stack of the threads that run tasks: deep plans recurse.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// What the gateway tells a worker at its start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub scratch: PathBuf,
    pub limits: Limits,
}

/// One task, as the handler sees it.
pub struct Task {
    /// `resolve`, `query` or `files`.
    pub kind: String,
    pub request: Value,
    /// Reads the files of this task, and only these.
    pub files: FileClient,
    /// The one folder that may be written. Empty at the start of a lease.
    pub scratch: PathBuf,
    /// The process is killed at this moment.
    pub deadline: Instant,
    pub limits: Arc<Limits>,
}

/// A finished task: `head` for the gateway, `body` for the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub head: Value,
    pub body: Bytes,
}

impl Reply {
    /// A reply that is only a head.
    pub fn head(head: Value) -> Self {
        Self { head, body: Bytes::new() }
    }
}

/// A task refused because of what it asks for: a 4xx with this `code`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    pub code: String,
    pub detail: String,
    #[serde(default)]
    pub errors: Vec<Value>,
}

impl Refusal {
    /// A refusal with a code of `openapi/problems.md` and a sentence for the caller.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into(), errors: Vec::new() }
    }

    /// The same with the places that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = errors;
        self
    }
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("`worker` is started by the gateway, not by hand")]
    NotAWorker,
    #[error("the worker's {what} failed")]
    Start { what: &'static str, source: std::io::Error },
    #[error("a wall could not be raised: {0}")]
    Wall(String),
}

/// Serves tasks on stdin and stdout until the gateway closes them. Call it from `main` before any
/// other thread exists: landlock and seccomp bind the calling thread and the threads it starts.
/// Errors: [`ServeError`]; a handler's panic is that task's 500 and not the end of the process.
pub fn serve<H, F>(handler: H) -> Result<(), ServeError>
where
    H: Fn(Task) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Refusal>> + Send + 'static,
{
    let settings = settings()?;
    let sockets = sockets::take().map_err(start("sockets"))?;
    walls::raise(&settings)?;
    let tasks = tasks(settings.limits.threads).map_err(start("threads"))?;
    let speaking = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(start("event loop"))?;
    let ended = speaking.block_on(control::run(sockets, settings, tasks.handle().clone(), handler));
    // A task that hangs must not keep the process: nobody is left to read its answer.
    tasks.shutdown_background();
    ended.map_err(start("control socket"))
}

fn settings() -> Result<Settings, ServeError> {
    let text = std::env::var(SETTINGS).map_err(|_| ServeError::NotAWorker)?;
    serde_json::from_str(&text).map_err(|_| ServeError::NotAWorker)
}

fn tasks(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .max_blocking_threads(16)
        .thread_stack_size(STACK_BYTES)
        .thread_name("task")
        .enable_time()
        .build()
}

fn start(what: &'static str) -> impl Fn(std::io::Error) -> ServeError {
    move |source| ServeError::Start { what, source }
}
