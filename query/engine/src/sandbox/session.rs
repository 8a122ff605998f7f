//! One session a task: empty but for the allowed functions, under its own memory and disk limits.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use worker::Refusal;

use super::functions::Functions;
use super::names::{CATALOG, NO_SCHEMA};
use super::plan::Limits;
use super::refuse::from_engine;

/// Below this a second thread costs more than it saves.
const SMALL_BYTES: u64 = 16 << 20;
/// Rows a batch; fewer where one batch of input makes many of output, so that a stop is noticed.
pub(super) const BATCH_ROWS: usize = 8_192;
pub(super) const SMALL_BATCH_ROWS: usize = 512;
/// Footers remembered between the tasks of one process.
const FOOTER_BYTES: usize = 32 << 20;
/// How many memory users a message of the pool names; none of it is shown to customers.
const TRACKED: usize = 3;

/// What one task asks of its session.
pub(super) struct Settings<'a> {
    pub now: DateTime<Utc>,
    pub limits: Limits,
    pub threads: usize,
    pub table_bytes: u64,
    pub sequential: bool,
    pub scratch: &'a Path,
}

/// What all tasks of the process share: functions and footers.
#[derive(Clone)]
pub(super) struct Sessions {
    functions: Functions,
    shared: Arc<RuntimeEnv>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let shared =
            RuntimeEnvBuilder::new().with_metadata_cache_limit(FOOTER_BYTES).with_object_list_cache_limit(0);
        // Nothing of it can fail but a temporary folder, and none is asked for.
        let shared = shared.build_arc().unwrap_or_default();
        Self { functions: Functions::allowed(), shared }
    }

    /// An empty session. Errors: `internal` when its folders cannot be had.
    pub(super) fn open(&self, settings: &Settings) -> Result<SessionState, Refusal> {
        let runtime = self.runtime(settings).map_err(|error| from_engine(&error))?;
        let builder = SessionStateBuilder::new().with_config(config(settings)).with_runtime_env(runtime);
        let mut state = self.functions.put_into(builder).build();
        state.mark_start_execution();
        state.execution_props_mut().query_execution_start_time = Some(settings.now);
        Ok(state)
    }

    fn runtime(&self, settings: &Settings) -> datafusion::error::Result<Arc<RuntimeEnv>> {
        let registry = DefaultObjectStoreRegistry::new();
        registry.deregister_store(ObjectStoreUrl::local_filesystem().as_ref())?;
        let memory = usize::try_from(settings.limits.memory).unwrap_or(usize::MAX);
        let tracked = std::num::NonZeroUsize::new(TRACKED).unwrap_or(std::num::NonZeroUsize::MIN);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![settings.scratch.to_owned()]))
            .with_max_temp_directory_size(settings.limits.spill);
        RuntimeEnvBuilder::from_runtime_env(&self.shared)
            .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory), tracked)))
            .with_disk_manager_builder(disk)
            .with_object_store_registry(Arc::new(registry))
            .build_arc()
    }
}

fn config(settings: &Settings) -> SessionConfig {
    let small = settings.sequential || settings.table_bytes < SMALL_BYTES;
    let mut config = SessionConfig::new()
        .with_target_partitions(if small { 1 } else { settings.threads.max(1) })
        .with_batch_size(BATCH_ROWS)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, NO_SCHEMA)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    options.execution.split_file_groups_by_statistics = true;
    options.execution.enable_file_stream_work_stealing = !settings.sequential;
    if settings.sequential {
        options.optimizer.repartition_file_scans = false;
        options.optimizer.enable_round_robin_repartition = false;
    }
    config
}
