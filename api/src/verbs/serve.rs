//! `serve`, `migrate` and `check`.

use anyhow::Context;
use serde_json::json;

use crate::config::Config;
use crate::node::{Node, Store, connect};
use crate::verbs::{print, runtime};

/// Serves until a signal.
pub fn run(config: Config) -> anyhow::Result<()> {
    runtime(config.server.threads)?.block_on(async {
        let store = Store::open(&config, Store::lakefile(&config)?).await?;
        let mut node = Node::open(&config, store).await?;
        let address = node.listen(config.server.listen).await?;
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

/// Judges a configuration: its keys were read already, now what they point to.
pub fn check(config: &Config) -> anyhow::Result<()> {
    config.auth.signing_key()?;
    let lake = Store::lakefile(config)?;
    print(&json!({"ok": true, "lake": lake.name, "configuration": config}))
}
