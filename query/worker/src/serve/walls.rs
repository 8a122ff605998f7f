//! The walls a worker puts around itself, before any thread and any customer byte.
//!
//! Resource limits and niceness hold everywhere on Linux. Landlock (only the scratch folder) and seccomp
//! (no sockets, no programs, no tracing) are raised where the kernel offers them.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{STACK_BYTES, ServeError, Settings};

mod syscalls;

/// Room beside the task's own memory: the allocator's slack, one deep stack for planning, and what the
/// idle process will still touch.
const SLACK_BYTES: u64 = 160 << 20;
/// Address space that is only reserved, never written: allocator arenas, guard pages.
const RESERVED_BYTES: u64 = 1 << 30;

/// Raises every wall. Errors: [`ServeError::Wall`] when a limit that always exists is refused.
pub(super) fn raise(settings: &Settings) -> Result<(), ServeError> {
    limit(settings).map_err(|e| wall("limits", e))?;
    be_nice(settings.limits.nice);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| wall("dumps", e))?;
    fence(&settings.scratch).map_err(|e| wall("landlock", e))?;
    syscalls::forbid().map_err(|e| wall("seccomp", e))
}

/// Gives the process `secs` more CPU seconds, counted over all its threads.
pub(super) fn allow_cpu(secs: u64) {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let until = u64::try_from(used).unwrap_or_default() + secs + 1;
    if let Err(error) = set(Resource::Cpu, until, None) {
        tracing::warn!(%error, "the CPU limit could not be moved");
    }
}

fn limit(settings: &Settings) -> std::io::Result<()> {
    let limits = &settings.limits;
    let [all, data] = used_bytes();
    let stacks = limits.threads as u64 * STACK_BYTES as u64;
    let private = data + limits.memory_bytes + stacks + SLACK_BYTES;
    hard(Resource::Data, private)?;
    hard(Resource::As, all + limits.memory_bytes + stacks + RESERVED_BYTES)?;
    hard(Resource::Fsize, limits.file_bytes)?;
    hard(Resource::Nofile, limits.open_files)?;
    hard(Resource::Core, 0)
}

fn hard(resource: Resource, value: u64) -> std::io::Result<()> {
    set(resource, value, Some(value))
}

/// A limit never goes over what the system already allows.
fn set(resource: Resource, current: u64, maximum: Option<u64>) -> std::io::Result<()> {
    let ceiling = rustix::process::getrlimit(resource).maximum;
    let under = |value: u64| ceiling.map_or(value, |ceiling| ceiling.min(value));
    let new = Rlimit { current: Some(under(current)), maximum: maximum.map(under).or(ceiling) };
    Ok(rustix::process::setrlimit(resource, new)?)
}

/// Bytes of address space and of private data in use now; zero when /proc is not there.
fn used_bytes() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap_or_default()).collect();
    let page = rustix::param::page_size() as u64;
    [0, 5].map(|field| pages.get(field).copied().unwrap_or_default() * page)
}

fn be_nice(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "the worker could not lower its priority");
    }
}

/// Leaves one folder: no other path can be opened, no TCP port reached, no other process signalled.
fn fence(scratch: &Path) -> Result<(), landlock::RulesetError> {
    let everything = AccessFs::from_all(ABI::V6);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(everything)?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules([scratch], everything))?
        .restrict_self()?;
    tracing::debug!(?status, "landlock");
    Ok(())
}

fn wall(name: &str, error: impl std::fmt::Display) -> ServeError {
    ServeError::Wall(format!("{name}: {error}"))
}
