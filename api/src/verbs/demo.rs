//! `demo`: a sample lake in one folder, filled by simulated sources through the real write path, and served.
//!
//! ```text
//! DIR/  catalog.db  lake/  sources/  scratch/  signing-key.pem  demo.json
//! ```
//! `demo.json` is complete before `/readyz` is 200. A restart goes on where the last one ended, with the same keys.

mod keys;
mod words;

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use chrono::Utc;
use ingest::demo::{Demo, DemoConfig};

use crate::cli::DemoArgs;
use crate::config::{self, Config, Hidden, LogFormat};
use crate::node::{Node, Store};
use crate::verbs::key::write_signing_key;
use crate::verbs::progress::Bar;
use crate::verbs::{logging, runtime};

/// Makes the lake, or continues it, and serves until a signal.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    let config = settings(&args)?;
    logging::start(&config.log);
    runtime(config.server.threads)?.block_on(async {
        let folder = config.lake.state.clone();
        let size =
            DemoConfig { folder, regions: args.regions as usize, years: args.years, events_per_second: 1 };
        let demo = Demo::open(size).await.context("demo")?;
        let store = Store::open(&config, demo.lakefile()).await?;
        let mut node = Node::open(&config, store).await?;
        let address = node.listen(config.server.listen).await?;
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
fn settings(args: &DemoArgs) -> anyhow::Result<Config> {
    let data = folder(&args.data)?;
    let mut config = Config::default();
    config.log.format = LogFormat::Text;
    config.log.filter = "warn".into();
    config.log.access = false;
    if args.config.is_some() {
        config = config::load(args.config.as_deref())?;
    }
    let key = data.join("signing-key.pem");
    if !key.exists() {
        write_signing_key(&key)?;
    }
    config.server.listen = args.listen;
    config.database.url = Hidden::new(format!("sqlite://{}", data.join("catalog.db").display()));
    config.storage.url = data.join("lake").display().to_string();
    config.storage.scratch = Some(data.join("scratch"));
    config.auth.signing_key_file = Some(key);
    config.auth.signing_key = None;
    config.lake.state = data.join("sources");
    Ok(config)
}

fn folder(path: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    std::fs::canonicalize(path).with_context(|| path.display().to_string())
}
