//! `status`: what the lake holds and how fresh it is.

use anyhow::Context;
use catalog::Catalog;
use chrono::Utc;
use serde_json::{Value, json};

use crate::config::Config;
use crate::node::Ground;
use crate::verbs::{print, runtime};

/// Prints the platform's tables and the number of customers.
pub fn run(config: &Config) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let catalog =
            Catalog::open(ground.db.clone(), catalog::Config::default()).await.context("catalog")?;
        let customers = ground.auth.list_customers().await?.len();
        print(&json!({"tables": tables(&catalog), "customers": customers}))?;
        ground.db.close().await;
        Ok(())
    })
}

fn tables(catalog: &Catalog) -> Vec<Value> {
    let now = Utc::now();
    let tables = catalog.moment();
    let one = |table: &std::sync::Arc<catalog::Table>| {
        json!({"table": table.name, "version": table.version, "rows": table.rows, "bytes": table.bytes,
               "updated_at": table.updated_at, "overdue": table.overdue(now)})
    };
    tables.platform_tables().iter().map(one).collect()
}
