//! The worker processes by the configuration.

use anyhow::Context;
use worker::PoolConfig;

use crate::config::Config;

/// What the worker processes may be and use. Errors: this program's own path is not known.
pub fn settings(config: &Config) -> anyhow::Result<PoolConfig> {
    let program = std::env::current_exe().context("the path of this program")?;
    let scratch =
        config.storage.scratch.clone().unwrap_or_else(|| std::env::temp_dir().join("lakefront-scratch"));
    let mut settings = PoolConfig::new(program, scratch);
    if config.workers.count > 0 {
        settings.workers = config.workers.count;
        settings.per_workspace = config.workers.count.saturating_sub(2).clamp(1, 4);
    }
    if config.workers.per_workspace > 0 {
        settings.per_workspace = config.workers.per_workspace;
    }
    if config.workers.memory_bytes > 0 {
        settings.limits.memory_bytes = config.workers.memory_bytes;
    }
    if config.workers.spill_bytes > 0 {
        settings.limits.file_bytes = config.workers.spill_bytes;
    }
    if config.workers.cpu_secs > 0 {
        settings.limits.cpu_secs = config.workers.cpu_secs;
    }
    Ok(settings)
}
