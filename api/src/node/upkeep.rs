//! What has to be done now and then: other nodes' commits followed, leftovers finished or cleared, old rows forgotten,
//! alerts told.

use std::time::Duration;

use anyhow::Context;
use identity::Secret;
use ingest::alerts::{Webhook, WebhookConfig};
use ingest::recovery::Recovery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::store::{FOLLOW, Store};
use crate::config::Alerts;

/// Starts the tasks; they end when `stop` is cancelled.
pub fn start(store: &Store, recovery: Recovery, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(store.catalog.clone().follow(FOLLOW, stop.clone().cancelled_owned()));
    tasks.spawn(recovery.every_minute(stop.clone()));
    tasks
}

/// Looks for what somebody must know, and tells the configured address. Errors: the address must not be called.
pub fn alerts(store: &Store, config: &Alerts, stop: &CancellationToken) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(ingest::alerts::overdue(store.lakefile.clone(), store.catalog.clone(), stop.clone()));
    if let Some(url) = config.url()? {
        let webhook = WebhookConfig {
            url,
            secret: Secret::new(config.secret()?.reveal()),
            allow_private: config.allow_private,
            attempts: config.attempts,
            retry: Duration::from_millis(config.retry_ms),
            timeout: Duration::from_millis(config.timeout_ms),
        };
        let webhook = Webhook::new(webhook, store.catalog.clone()).context("alerts.webhook")?;
        tasks.spawn(webhook.run(stop.clone()));
    }
    Ok(tasks)
}
