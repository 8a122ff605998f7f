//! The lake, its catalog, and everything that writes to them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use catalog::{Catalog, Owner};
use chrono::{TimeDelta, Utc};
use ingest::lakefile::Lakefile;
use ingest::publish::Publisher;
use ingest::sources::{Arrivals, ArrivalsConfig, Workers};
use lake::{Lake, LakeConfig};
use tokio::runtime::{Builder, Handle, Runtime};

use super::ground::{Ground, patiently};
use super::workers;
use crate::config::Config;

/// A runtime for our own heavy work: at most cores - 1 threads, and the others go first.
pub struct Heavy {
    runtime: Option<Runtime>,
}

impl Heavy {
    /// Starts it. Errors: the system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(cores.saturating_sub(1).max(1)).thread_name("heavy").enable_all();
        builder.on_thread_start(|| {
            // Where the system refuses, the work is done all the same.
            let _ = rustix::process::nice(10);
        });
        Ok(Self { runtime: Some(builder.build()?) })
    }

    pub fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        // It may be dropped on another runtime's thread, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The lake with its sources.
pub struct Store {
    pub ground: Ground,
    pub lake: Lake,
    pub catalog: Catalog,
    pub lakefile: Arc<Lakefile>,
    pub publisher: Publisher,
    pub arrivals: Arrivals,
    /// The worker processes, started when they are first needed.
    pub workers: Workers,
    /// Lives as long as what runs on it.
    _heavy: Heavy,
}

impl Store {
    /// Opens everything, makes the tables of the lake exist, finishes or clears what a killed process left.
    /// Errors: what cannot be opened, with its topic.
    pub async fn open(config: &Config, lakefile: Arc<Lakefile>) -> anyhow::Result<Self> {
        same_lake(&config.lake.state, &lakefile.name)?;
        let ground = Ground::open(config).await?;
        let lake = Lake::open(lake_settings(config)?).await.context("storage")?;
        let catalog = patiently(async || {
            let catalog =
                Catalog::open(ground.db.clone(), catalog_settings(config)).await.context("catalog")?;
            lakefile.register(&lake, &catalog, Utc::now()).await.context("lake: register tables")?;
            Ok(catalog)
        })
        .await?;
        let heavy = Heavy::start().context("threads")?;
        let handle = heavy.handle().context("threads")?;
        let publisher = Publisher::new(lake.clone(), catalog.clone()).on(handle.clone());
        let workers = Workers::new(workers::settings(config)?);
        let settings = ArrivalsConfig {
            lakefile: Arc::clone(&lakefile),
            folder: config.lake.state.clone(),
            heavy: handle,
            workers: workers.clone(),
        };
        let arrivals = Arrivals::open(settings, lake.clone(), catalog.clone(), publisher.clone())
            .await
            .context("sources")?;
        Ok(Self { ground, lake, catalog, lakefile, publisher, arrivals, workers, _heavy: heavy })
    }

    /// The lake that a configuration names, or the built-in one.
    pub fn lakefile(config: &Config) -> anyhow::Result<Arc<Lakefile>> {
        match &config.lake.file {
            None => Lakefile::builtin().context("lake (built in)"),
            Some(path) => Lakefile::read(path).with_context(|| format!("lake {}", path.display())),
        }
    }
}

/// Remembers the lake's name beside its sources, and refuses another one: the tables of one lake would get the regions
/// and sources of the other.
pub fn same_lake(state: &Path, name: &str) -> anyhow::Result<()> {
    let file = state.join("lake-name");
    let before = match std::fs::read_to_string(&file) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(state)
                .with_context(|| format!("lake.state: make {}", state.display()))?;
            return std::fs::write(&file, name).with_context(|| format!("write {}", file.display()));
        }
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    anyhow::ensure!(
        before.trim() == name,
        "this lake was made as `{}` and the configuration says `{name}`: lake.file must name the same definition \
         (a demo's is in its lakefront.toml: --config DIR/lakefront.toml)",
        before.trim()
    );
    Ok(())
}

fn lake_settings(config: &Config) -> anyhow::Result<LakeConfig> {
    let storage = &config.storage;
    let url = match storage.url.split_once("://") {
        Some(_) => storage.url.clone(),
        None => format!("file://{}", absolute(&storage.url)?.display()),
    };
    let options =
        storage.options.iter().map(|(key, value)| (key.clone(), value.reveal().to_owned())).collect();
    Ok(LakeConfig { url, options, fsync: storage.fsync, ..LakeConfig::default() })
}

/// The folder, made if it is not there, as an absolute path.
fn absolute(path: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("storage: make {path}"))?;
    std::fs::canonicalize(path).with_context(|| format!("storage: {path}"))
}

pub fn catalog_settings(config: &Config) -> catalog::Config {
    let retention = TimeDelta::days(i64::from(config.queries.retention_days));
    catalog::Config { owner: Owner::new(&config.server.node), retention, ..catalog::Config::default() }
}

/// How often other nodes' commits are looked for.
pub const FOLLOW: Duration = Duration::from_secs(1);
