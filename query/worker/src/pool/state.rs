//! Who has which process: the pool's books, free of I/O.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use identity::WorkspaceId;

use super::queue::Queue;
use super::{Admission, Class, PoolConfig, PoolState};

/// What the books need to know of a process.
pub(super) trait Numbered {
    fn number(&self) -> u32;
    /// Whether it still answers.
    fn alive(&self) -> bool;
}

/// What the books need to know of a caller.
pub(super) trait Waits {
    fn waits(&self) -> bool;
}

/// A process and the caller it goes to.
pub(super) struct Granted<P, W> {
    pub workspace: WorkspaceId,
    pub class: Class,
    pub process: P,
    pub waiter: W,
}

struct Idle<P> {
    workspace: WorkspaceId,
    process: P,
    since: Instant,
}

/// All processes and all callers. Processes in all = starting + fresh + idle + running.
pub(super) struct State<P, W> {
    starting: usize,
    fresh: VecDeque<P>,
    /// Oldest first.
    idle: VecDeque<Idle<P>>,
    running: HashMap<WorkspaceId, usize>,
    long: HashMap<WorkspaceId, usize>,
    queue: Queue<W>,
    closed: bool,
    per_workspace: usize,
    most_long: usize,
    workers: usize,
    keep: Duration,
}

/// Processes and callers to act on once the lock is gone.
type Moves<P, W> = (Vec<Granted<P, W>>, Vec<P>);

impl<P: Numbered, W: Waits> State<P, W> {
    /// Books in which every process is still starting.
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            starting: config.workers,
            fresh: VecDeque::new(),
            idle: VecDeque::new(),
            running: HashMap::new(),
            long: HashMap::new(),
            queue: Queue::new(config.queue, config.queue_per_workspace),
            closed: false,
            per_workspace: config.per_workspace.max(1),
            most_long: config.workers.saturating_sub(1).max(1),
            workers: config.workers.max(1),
            keep: config.idle,
        }
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn enqueue(
        &mut self,
        workspace: WorkspaceId,
        class: Class,
        waiter: W,
    ) -> Result<(), Admission> {
        if self.closed {
            return Err(Admission::Closed);
        }
        self.queue.retain(Waits::waits);
        self.queue.push(workspace, class, waiter).map_err(|_| self.busy())
    }

    /// One task a second and process is a guess on the long side for inline work.
    pub(super) fn busy(&self) -> Admission {
        let rounds = self.queue.len() / self.workers;
        Admission::Busy { retry_after: Duration::from_secs(1 + rounds.min(29) as u64) }
    }

    pub(super) fn counts(&self) -> PoolState {
        PoolState {
            starting: self.starting,
            fresh: self.fresh.len(),
            idle: self.idle.len(),
            running: self.running.values().sum(),
            queued: self.queue.len(),
        }
    }

    /// A started process is ready; given back when nobody wants it any more.
    pub(super) fn arrive(&mut self, process: P) -> Option<P> {
        self.starting = self.starting.saturating_sub(1);
        if self.closed {
            return Some(process);
        }
        self.fresh.push_back(process);
        None
    }

    /// Grants to whoever is in turn. Where only processes of other workspaces are left, the oldest of
    /// them is given back to be replaced.
    pub(super) fn dispatch(&mut self) -> Moves<P, W> {
        let mut moves = (Vec::new(), Vec::new());
        if self.closed {
            return moves;
        }
        self.queue.retain(Waits::waits);
        self.drop_dead(&mut moves.1);
        while let Some(granted) = self.grant(&mut moves.1) {
            moves.0.push(granted);
        }
        self.keep_one_fresh(&mut moves.1);
        self.starting += moves.1.len();
        moves
    }

    /// A lease ended. Its process is kept for its workspace, or true is answered: start another one.
    pub(super) fn end(
        &mut self,
        workspace: WorkspaceId,
        class: Class,
        kept: Option<P>,
        now: Instant,
    ) -> bool {
        fewer(&mut self.running, workspace);
        if class == Class::Long {
            fewer(&mut self.long, workspace);
        }
        if self.closed {
            return false;
        }
        match kept {
            Some(process) => {
                self.idle.push_back(Idle { workspace, process, since: now });
                false
            }
            None => {
                self.starting += 1;
                true
            }
        }
    }

    /// Takes a dead process off the books, if it is not running a task.
    pub(super) fn forget(&mut self, pid: u32) -> Option<P> {
        let fresh = self.fresh.iter().position(|p| p.number() == pid).and_then(|at| self.fresh.remove(at));
        let found = fresh.or_else(|| {
            let at = self.idle.iter().position(|idle| idle.process.number() == pid)?;
            self.idle.remove(at).map(|idle| idle.process)
        });
        if found.is_some() && !self.closed {
            self.starting += 1;
        }
        found
    }

    /// Processes that waited too long for their workspace.
    pub(super) fn stale(&mut self, now: Instant) -> Vec<P> {
        let mut stale = Vec::new();
        while self.idle.front().is_some_and(|idle| now.duration_since(idle.since) >= self.keep) {
            stale.extend(self.idle.pop_front().map(|idle| idle.process));
        }
        self.starting += stale.len();
        stale
    }

    /// Makes an inline task a long one, if one more may be long.
    pub(super) fn promote(&mut self, workspace: WorkspaceId) -> bool {
        let may = room(&self.long, workspace, self.most_long, self.per_workspace);
        if may {
            *self.long.entry(workspace).or_default() += 1;
        }
        may
    }

    /// Everything that runs no task, to be dropped by the caller.
    pub(super) fn close(&mut self) -> Vec<P> {
        self.closed = true;
        self.queue.clear();
        self.starting = 0;
        self.fresh.drain(..).chain(self.idle.drain(..).map(|idle| idle.process)).collect()
    }

    /// Grants to the first in turn for whom there is a process. A caller whose turn it is and who finds
    /// only processes of other workspaces has the oldest of them replaced, or a busy workspace that always
    /// finds its own again would never let another in.
    fn grant(&mut self, retired: &mut Vec<P>) -> Option<Granted<P, W>> {
        let Self { queue, running, idle, fresh, long, per_workspace, most_long, starting, .. } = self;
        let mut coming = *starting + retired.len();
        let mut short: Option<WorkspaceId> = None;
        let (workspace, class, waiter) = queue.pop(|workspace, class| {
            let free = running.get(&workspace).copied().unwrap_or_default() < *per_workspace;
            let fits = class == Class::Inline || room(long, workspace, *most_long, *per_workspace);
            if !free || !fits {
                return false;
            }
            if !fresh.is_empty() || idle.iter().any(|idle| idle.workspace == workspace) {
                return true;
            }
            // One process a workspace and round: those behind it in the line come in later turns.
            if short.replace(workspace) != Some(workspace) {
                match coming {
                    0 => retired.extend(idle.pop_front().map(|idle| idle.process)),
                    _ => coming -= 1,
                }
            }
            false
        })?;
        // The one used last is the warmest.
        let own = idle.iter().rposition(|idle| idle.workspace == workspace);
        let process = match own {
            Some(at) => idle.remove(at)?.process,
            None => fresh.pop_front()?,
        };
        *running.entry(workspace).or_default() += 1;
        if class == Class::Long {
            *long.entry(workspace).or_default() += 1;
        }
        Some(Granted { workspace, class, process, waiter })
    }

    /// The next workspace should not have to wait for a start: an idle process is given up for it.
    fn keep_one_fresh(&mut self, retired: &mut Vec<P>) {
        if self.fresh.is_empty() && self.starting + retired.len() == 0 {
            retired.extend(self.idle.pop_front().map(|idle| idle.process));
        }
    }

    fn drop_dead(&mut self, dead: &mut Vec<P>) {
        while let Some(at) = self.fresh.iter().position(|p| !p.alive()) {
            dead.extend(self.fresh.remove(at));
        }
        while let Some(at) = self.idle.iter().position(|idle| !idle.process.alive()) {
            dead.extend(self.idle.remove(at).map(|idle| idle.process));
        }
    }
}

/// Whether one more long task fits: long tasks leave a process to inline work, among all and, where a
/// workspace may have several, among its own.
fn room(
    long: &HashMap<WorkspaceId, usize>,
    workspace: WorkspaceId,
    most: usize,
    per_workspace: usize,
) -> bool {
    let own = long.get(&workspace).copied().unwrap_or_default();
    long.values().sum::<usize>() < most && own < per_workspace.saturating_sub(1).max(1)
}

fn fewer(counts: &mut HashMap<WorkspaceId, usize>, workspace: WorkspaceId) {
    if let Some(count) = counts.get_mut(&workspace) {
        *count = count.saturating_sub(1);
    }
    counts.retain(|_, count| *count > 0);
}
