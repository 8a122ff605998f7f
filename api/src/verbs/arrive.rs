//! `run`, `backfill` and `rebuild`: the write path of the sources, once.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use ingest::sources::SourceError;
use ingest::sources::weather::Grain;
use serde_json::json;

use crate::config::Config;
use crate::node::Store;
use crate::verbs::progress::Bar;
use crate::verbs::{Transient, print, runtime};

/// Lands what a source has now, or computes a model anew; `day` stands for now.
pub fn run(config: &Config, name: &str, day: Option<NaiveDate>) -> anyhow::Result<()> {
    let now = day.map_or_else(Utc::now, end_of);
    with_store(config, async |store| {
        let ran = store.arrivals.run_once(name, now).await.map_err(|error| known(store, told(error)))?;
        print(&ran)
    })
}

/// Fills days from a source's archive, hours and days.
pub fn backfill(config: &Config, source: &str, days: (NaiveDate, NaiveDate)) -> anyhow::Result<()> {
    if days.0 > days.1 {
        anyhow::bail!("--from is after --to");
    }
    with_store(config, async |store| {
        let bar = Bar::new();
        let grains = [Grain::Hour, Grain::Day];
        let ran = store.arrivals.backfill(source, days, &grains, &bar, Utc::now()).await;
        let ran = ran.map_err(|error| known(store, told(error)))?;
        bar.finish();
        print(&ran)
    })
}

/// Computes every model's table anew.
pub fn rebuild(config: &Config) -> anyhow::Result<()> {
    with_store(config, async |store| {
        let mut tables = Vec::new();
        for model in &store.lakefile.models {
            let ran = store.arrivals.run_once(&model.table.to_string(), Utc::now()).await.map_err(told)?;
            tables.extend(ran.models);
        }
        print(&json!({"rebuilt": tables}))
    })
}

/// Worker processes of a verb: one file is read after the other, and a pool has three at least.
const WORKERS: usize = 3;

fn with_store(config: &Config, work: impl AsyncFnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let config = beside_a_server(config);
    runtime(2)?.block_on(async {
        let store = Store::open(&config, Store::lakefile(&config)?).await?;
        store.arrivals.catch_up(Utc::now()).await.map_err(told)?;
        let done = work(&store).await;
        store.ground.db.close().await;
        done
    })
}

/// The same under a name of its own: a process of the server's name would count as its successor, and the server's
/// recovery would clear this one's open writes.
fn beside_a_server(config: &Config) -> Config {
    let mut config = config.clone();
    config.server.node = format!("{}-cli-{}", config.server.node, std::process::id());
    config.workers.count = WORKERS;
    config
}

fn told(error: SourceError) -> anyhow::Error {
    if error.is_transient() {
        return Transient(error.to_string()).into();
    }
    error.into()
}

/// Adds the names there are to the refusal of one there is not.
fn known(store: &Store, error: anyhow::Error) -> anyhow::Error {
    if !matches!(error.downcast_ref(), Some(SourceError::Unknown { .. })) {
        return error;
    }
    let sources: Vec<&str> = store.lakefile.sources.keys().map(String::as_str).collect();
    let models: Vec<String> = store.lakefile.models.iter().map(|model| model.table.to_string()).collect();
    anyhow::anyhow!("{error}; sources: {}; models: {}", sources.join(", "), models.join(", "))
}

/// The last moment of a UTC day, or now for today.
fn end_of(day: NaiveDate) -> DateTime<Utc> {
    let next = day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc();
    next.min(Utc::now())
}
