//! The gateway's side: processes kept ready, and who may use one when.
//!
//! ```text
//! fresh ──lease──▶ running(workspace) ──end──▶ idle(workspace) ──lease, same workspace──▶ running
//!   ▲                    │ death, deadline, caller gone        │ 10 s, or another workspace waits
//!   └──── starting ◀─────┴─────────────────────────────────────┘
//! ```
//! A process that has seen one workspace never sees another. All bookkeeping happens under one short
//! lock; spawning, killing and cleaning happen outside it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use identity::WorkspaceId;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::limits::{Limits, cores};

mod lease;
mod process;
mod queue;
mod state;
mod stderr;

use lease::Standing;
pub use lease::{Lease, Promoter, TaskError};
use process::Process;
use state::{Granted, State};

/// How many processes, for whom, and where.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The binary and its arguments, usually this very binary and `["worker"]`.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Processes in all.
    pub workers: usize,
    /// Processes of one workspace at a time.
    pub per_workspace: usize,
    /// Waiting callers of one workspace, and of all.
    pub queue_per_workspace: usize,
    pub queue: usize,
    /// Folder in which every process gets a folder of its own. Leftovers of dead gateways are removed at start.
    pub scratch_root: PathBuf,
    /// How long a process waits for more work of its workspace.
    pub idle: Duration,
    /// Resident bytes after which a process is replaced even for its own workspace.
    pub resident_bytes: u64,
    pub limits: Limits,
}

impl PoolConfig {
    /// The defaults of the design for this machine: cores + 2 processes, at most min(4, processes - 2) a workspace.
    pub fn new(program: PathBuf, scratch_root: PathBuf) -> Self {
        let workers = cores() + 2;
        Self {
            program,
            args: vec!["worker".to_owned()],
            workers,
            per_workspace: workers.saturating_sub(2).clamp(1, 4),
            queue_per_workspace: 32,
            queue: 256,
            scratch_root,
            idle: Duration::from_secs(10),
            resident_bytes: 192 << 20,
            limits: Limits::default(),
        }
    }
}

/// What a task is to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for the answer.
    Inline,
    /// Jobs and uploads: they leave one process to inline work, of all and of each workspace that may have two.
    Long,
}

/// Why no worker was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Admission {
    /// The queue of this workspace, or of all, is full; or the deadline came first.
    #[error("all workers are busy")]
    Busy { retry_after: Duration },
    #[error("the server is stopping")]
    Closed,
}

/// Counts for health and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    pub starting: usize,
    pub fresh: usize,
    pub idle: usize,
    pub running: usize,
    pub queued: usize,
}

/// The worker processes of this gateway. Cheap to clone; the processes end with the last clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

pub(crate) struct Inner {
    config: PoolConfig,
    state: Mutex<State<Process, oneshot::Sender<Lease>>>,
    runtime: Handle,
}

impl Pool {
    /// Starts all processes in the background; leases wait for the first. Call it on the runtime that is to
    /// carry the sockets. Errors: the scratch folder cannot be made.
    pub fn start(config: PoolConfig) -> std::io::Result<Self> {
        process::sweep(&config.scratch_root)?;
        let state = Mutex::new(State::new(&config));
        let pool = Self(Arc::new(Inner { config, state, runtime: Handle::current() }));
        for _ in 0..pool.0.config.workers {
            pool.0.begin();
        }
        pool.0.runtime.spawn(keep_house(Arc::downgrade(&pool.0)));
        Ok(pool)
    }

    /// A worker for tasks of `workspace`, as soon as one is free and it is this workspace's turn.
    /// Errors: [`Admission::Busy`] when the queues are full or `deadline` passes first.
    pub async fn lease(
        &self,
        workspace: WorkspaceId,
        class: Class,
        deadline: Instant,
    ) -> Result<Lease, Admission> {
        let (give, given) = oneshot::channel();
        self.0.state.lock().enqueue(workspace, class, give)?;
        self.0.dispatch();
        match tokio::time::timeout_at(deadline.into(), given).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(_)) => Err(Admission::Closed),
            Err(_) => Err(self.0.state.lock().busy()),
        }
    }

    /// How many processes are in which state.
    pub fn state(&self) -> PoolState {
        self.0.state.lock().counts()
    }

    /// Waits until `count` fresh processes are ready; for `/readyz` and tests.
    pub async fn ready(&self, count: usize) {
        while self.state().fresh < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends: callers in the queue get [`Admission::Closed`], processes that run nothing are killed at
    /// once, the others when their task ends.
    pub fn close(&self) {
        let ended = self.0.state.lock().close();
        drop(ended);
    }
}

impl Inner {
    /// Starts one process; `starting` was already counted, or is here at the beginning.
    fn begin(self: &Arc<Self>) {
        let (config, weak) = (self.config.clone(), Arc::downgrade(self));
        self.runtime.spawn(async move {
            let mut pause = Duration::from_millis(50);
            loop {
                match process::start(&config).await {
                    Ok(process) => return arrived(&weak, process),
                    Err(error) => tracing::error!(%error, "a worker process could not be started"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
                if weak.upgrade().is_none_or(|pool| pool.state.lock().closed()) {
                    return;
                }
            }
        });
    }

    /// Hands out what can be handed out, and replaces what stands in the way.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let (granted, retired) = self.state.lock().dispatch();
            let nothing = granted.is_empty();
            for _ in &retired {
                self.begin();
            }
            drop(retired);
            for Granted { workspace, class, process, waiter } in granted {
                let lease = Lease::new(self.clone(), workspace, class, process);
                // A caller who left drops the lease here, which comes back through `end`.
                drop(waiter.send(lease));
            }
            if nothing {
                return;
            }
        }
    }

    /// A lease ended; `kept` is its process if it may serve the same workspace again.
    fn end(self: &Arc<Self>, workspace: WorkspaceId, standing: &Standing, kept: Option<Process>) {
        let replace = {
            let mut state = self.state.lock();
            state.end(workspace, standing.end(), kept, Instant::now())
        };
        if replace {
            self.begin();
        }
        self.dispatch();
    }

    /// A process that nobody uses has died on its own.
    fn died(self: &Arc<Self>, pid: u32) {
        let found = self.state.lock().forget(pid);
        if found.is_some() {
            self.begin();
        }
    }
}

fn arrived(pool: &Weak<Inner>, process: Process) {
    let Some(pool) = pool.upgrade() else { return };
    let watched = process.exited();
    let (pid, weak) = (process.pid(), Arc::downgrade(&pool));
    pool.runtime.spawn(async move {
        watched.await;
        if let Some(pool) = weak.upgrade() {
            pool.died(pid);
        }
    });
    let unwanted = pool.state.lock().arrive(process);
    drop(unwanted);
    pool.dispatch();
}

/// Once a second: processes that waited long enough for their workspace are replaced, counts are published.
async fn keep_house(pool: Weak<Inner>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let stale = pool.state.lock().stale(Instant::now());
        for _ in &stale {
            pool.begin();
        }
        drop(stale);
        pool.dispatch();
        publish(pool.state.lock().counts());
    }
}

fn publish(counts: PoolState) {
    let all = [
        ("starting", counts.starting),
        ("fresh", counts.fresh),
        ("idle", counts.idle),
        ("running", counts.running),
    ];
    for (state, count) in all {
        metrics::gauge!("lakefront_worker_processes", "state" => state).set(count as f64);
    }
    metrics::gauge!("lakefront_worker_queue_length").set(counts.queued as f64);
}
