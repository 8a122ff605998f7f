//! What has to be done now and then: other nodes' commits followed, leftovers finished or cleared, old rows forgotten.

use std::time::Duration;

use chrono::Utc;
use ingest::recovery::Recovery;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::store::{FOLLOW, Store};

/// Starts the tasks; they end when `stop` is cancelled.
pub fn start(store: &Store, recovery: Recovery, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(store.catalog.clone().follow(FOLLOW, stop.clone().cancelled_owned()));
    tasks.spawn(recovery.every_minute(stop.clone()));
    let (catalog, stop) = (store.catalog.clone(), stop.clone());
    tasks.spawn(async move {
        let mut tick = interval(Duration::from_secs(60));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = catalog.upkeep(Utc::now()).await {
                tracing::warn!(%error, "the catalog's upkeep failed");
            }
        }
    });
    tasks
}
