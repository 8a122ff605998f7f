//! What has to be done now and then: other nodes' commits followed, leftovers finished or cleared, old rows forgotten.

use ingest::recovery::Recovery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::store::{FOLLOW, Store};

/// Starts the tasks; they end when `stop` is cancelled.
pub fn start(store: &Store, recovery: Recovery, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(store.catalog.clone().follow(FOLLOW, stop.clone().cancelled_owned()));
    tasks.spawn(recovery.every_minute(stop.clone()));
    tasks
}
