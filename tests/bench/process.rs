//! Memory and processor time of a process and its children, from `/proc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use harness::process::cpu;
use harness::process::family;

/// Bytes at one moment, or the most of each over a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident bytes of the process alone.
    pub own: u64,
    /// Proportional bytes (Pss) of it and all its children.
    pub all: u64,
}

impl Memory {
    pub fn now(pid: u32) -> Self {
        let all = family(pid).into_iter().filter_map(|p| field(p, "smaps_rollup", "Pss:")).sum();
        Self { own: field(pid, "status", "VmRSS:").unwrap_or_default(), all }
    }
}

/// Looks at the memory twenty times a second until it is asked for the most it saw.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Memory>,
}

impl Watch {
    pub fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut most = Memory::default();
            while !stopped.load(Ordering::Relaxed) {
                let now = Memory::now(pid);
                most = Memory { own: most.own.max(now.own), all: most.all.max(now.all) };
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        Self { stop, thread }
    }

    /// The most of each, not necessarily at one moment.
    pub fn most(self) -> Memory {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Bytes of a line such as `Pss:  123 kB`.
fn field(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}
