//! `demo`: a sample lake in one folder, filled by simulated sources through the real write path, and served.
//!
//! ```text
//! DIR/  catalog.db  lake/  sources/  scratch/  signing-key.pem  demo.json  definition/  lakefront.toml  lock
//! ```
//! `definition/` is the lake that is served, and `lakefront.toml` the configuration of verbs that run beside it; both
//! are written at every start. `demo.json` is complete before `/readyz` is 200. A restart goes on where the last one
//! ended, with the same keys.

mod files;
mod keys;
mod words;

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use chrono::Utc;
use ingest::demo::{Demo, DemoConfig};

use crate::cli::DemoArgs;
use crate::config::{self, Config, Hidden};
use crate::node::{Node, Store};
use crate::verbs::progress::Bar;
use crate::verbs::{hold, key, runtime, start_log};

/// What the demo says less of than a server: file and environment go before.
const QUIET: &str = "[log]\nformat = \"text\"\nfilter = \"warn\"\naccess = false\n";
const SIGNING_KEY: &str = "signing-key.pem";
const DEFINITION: &str = "definition";

/// Makes the lake, or continues it, and serves until a signal.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    let data = std::path::absolute(&args.data).with_context(|| args.data.display().to_string())?;
    let config = settings(&args, &data)?;
    start_log(&config);
    runtime(config.server.threads)?.block_on(async {
        let (door, _locks) = hold::take(&config).await?;
        let demo = Demo::open(prepare(&args, &data, &config)?).await.context("demo")?;
        let store = Store::open(&config, demo.lakefile()).await?;
        let mut node = Node::open(&config, store).await?;
        let address = node.listen(door)?;
        load(&demo, &node).await?;
        let written = keys::write(&node.store.ground.auth, &args.data, address).await?;
        node.ready(true).await?;
        let producing = demo.start(&node.store.arrivals, &node.stop());
        words::welcome(&written, &args.data);
        node.run().await;
        drop(producing);
        Ok(())
    })
}

async fn load(demo: &Demo, node: &Node) -> anyhow::Result<()> {
    let (bar, began) = (Bar::new(), Instant::now());
    let loaded = demo.load(&node.store.arrivals, &bar, Utc::now()).await;
    bar.finish();
    loaded.context("demo: load")?;
    words::loaded(began.elapsed());
    Ok(())
}

/// The demo's own places over whatever else is configured.
fn settings(args: &DemoArgs, data: &Path) -> anyhow::Result<Config> {
    let mut config = config::load(QUIET, args.config.as_deref())?;
    if let Some(listen) = &args.listen {
        config.server.listen = listen.clone();
    }
    config.database.url = Hidden::new(format!("sqlite://{}", data.join("catalog.db").display()));
    config.storage.url = data.join("lake").display().to_string();
    config.storage.options.clear();
    config.storage.scratch = Some(data.join("scratch"));
    config.auth.signing_key_file = Some(data.join(SIGNING_KEY));
    config.auth.signing_key = None;
    config.lake.file = Some(data.join(DEFINITION));
    config.lake.state = data.join("sources");
    Ok(config)
}

/// Makes what must be there before the lake is opened, and sizes the demo.
fn prepare(args: &DemoArgs, data: &Path, config: &Config) -> anyhow::Result<DemoConfig> {
    let signing_key = data.join(SIGNING_KEY);
    if !signing_key.exists() {
        key::write_signing_key(&signing_key)?;
    }
    files::save(&data.join("lakefront.toml"), config.to_toml()?.as_bytes())?;
    Ok(DemoConfig {
        folder: config.lake.state.clone(),
        definition: data.join(DEFINITION),
        regions: args.regions as usize,
        years: args.years,
        events_per_second: 1,
    })
}
