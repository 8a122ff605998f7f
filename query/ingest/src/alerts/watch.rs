//! Looks each minute for tables that their sources have left without a commit for longer than was promised.

use std::sync::Arc;
use std::time::Duration;

use catalog::Catalog;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Raised, raise};
use crate::lakefile::Lakefile;

const EVERY: Duration = Duration::from_secs(60);

/// Raises the alerts of overdue tables until `stop`. A table that only models fill follows its inputs and is not told of.
pub async fn overdue(lakefile: Arc<Lakefile>, catalog: Catalog, stop: CancellationToken) {
    while !stop.is_cancelled() {
        look(&lakefile, &catalog, Utc::now()).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn look(lakefile: &Lakefile, catalog: &Catalog, now: DateTime<Utc>) {
    for table in catalog.moment().platform_tables().iter().filter(|table| table.overdue(now)) {
        let sources = lakefile.sources_of(&table.name);
        if !sources.is_empty() {
            raise(catalog, Raised::overdue(table, &sources), now).await;
        }
    }
}
