//! What one worker process may use.

use serde::{Deserialize, Serialize};

/// Limits of one worker process, applied by the process itself before it reads its first task.
/// - `memory_bytes`: private memory of a task, on top of what an idle worker needs (1 GiB).
/// - `cpu_secs`: CPU seconds of one task over all its threads, whatever its wall time (1 200).
/// - `file_bytes`: the largest single file in the scratch folder (10 GiB).
/// - `open_files`: file descriptors (256).
/// - `threads`: threads that run a task (number of cores, 2 to 8).
/// - `nice`: niceness, from the start of the process (10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub memory_bytes: u64,
    pub cpu_secs: u64,
    pub file_bytes: u64,
    pub open_files: u64,
    pub threads: usize,
    pub nice: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu_secs: 1_200,
            file_bytes: 10 << 30,
            open_files: 256,
            threads: cores().clamp(2, 8),
            nice: 10,
        }
    }
}

/// Cores this process may use; 1 when the system does not tell.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
