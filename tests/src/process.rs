//! Processes and their families, from `/proc`.

use std::time::Duration;

/// User and system time of a process so far, without its children.
pub fn cpu(pid: u32) -> Duration {
    const TICKS_PER_SECOND: u64 = 100; // USER_HZ, fixed in what the kernel tells programs
    let ticks: u64 = stat(pid).iter().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The process and all below it.
pub fn family(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = ids.filter_map(|p| Some((p, stat(p).get(1)?.parse().ok()?))).collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(p, _)| *p));
        next += 1;
    }
    family
}

/// Fields of `/proc/PID/stat` after the name, which may hold blanks: state, parent, …
fn stat(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after.split_whitespace().map(str::to_owned).collect()
}
