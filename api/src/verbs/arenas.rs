//! The C library's allocator keeps up to eight arenas a core, and what one thread frees in its own is of no use to the others: with
//! three runtimes of threads that come and go, a server grows by hundreds of MB over what it holds. Workers are started with few
//! arenas; the server starts itself again so, in the same process: the allocator reads the variable once, at the very beginning.

use std::os::unix::process::CommandExt;
use std::process::Command;

const ARENAS: &str = "MALLOC_ARENA_MAX";
/// The other place where somebody may have said how many.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Of a machine of one core.
const LEAST: usize = 2;

/// Goes on as the same program with an arena a core, unless the environment says how many. Before any thread and any open file.
pub fn few() {
    let is_said = std::env::var_os(ARENAS).is_some() || std::env::var_os(TUNABLES).is_some();
    if is_said || !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    let cores = std::thread::available_parallelism().map_or(LEAST, usize::from);
    again.env(ARENAS, cores.max(LEAST).to_string()).args(arguments.by_ref().skip(1));
    // Only a failure comes back; a server that needs more memory is still a server.
    drop(again.exec());
}
