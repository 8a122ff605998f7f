//! `serve`, `migrate` and `check`.

use anyhow::Context;
use ingest::lakefile::Lakefile;
use serde_json::json;

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::node::{Node, Store, connect};
use crate::verbs::{hold, print, read, runtime};

/// Serves until a signal.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let mut config = read(&args.config)?;
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    runtime(config.server.threads)?.block_on(async {
        let lakefile = Store::lakefile(&config)?;
        let (door, _locks) = hold::take(&config).await?;
        let store = Store::open(&config, lakefile).await?;
        let mut node = Node::open(&config, store).await?;
        let address = node.listen(door)?;
        tracing::info!(%address, "listening");
        node.ready(config.lake.sources).await?;
        tracing::info!(%address, "ready");
        node.run().await;
        Ok(())
    })
}

/// Brings the database to the schema of this program.
pub fn migrate(config: &Config) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let db = connect(config).await?;
        db.migrate().await.context("migrate")?;
        db.close().await;
        print(&json!({"migrated": true}))
    })
}

/// Judges a configuration: its keys were read already, now what they point to. Of a lake every fault is told.
pub fn check(config: &Config) -> anyhow::Result<()> {
    config.auth.signing_key()?;
    let faults = runtime(1)?.block_on(Lakefile::examine(config.lake.file.as_deref()));
    if !faults.is_empty() {
        print(&json!({"ok": false, "errors": faults}))?;
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::bail!("the lake is not in order:\n{}", lines.join("\n"));
    }
    let lake = Store::lakefile(config)?;
    print(&json!({"ok": true, "lake": lake.name, "configuration": config}))
}
