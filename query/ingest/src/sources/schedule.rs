//! The sources on the real clock: each asked in its own rhythm, patiently when something fails.

use std::time::Duration;

use chrono::Utc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Arrivals, SourceError};
use crate::words::chain;

/// Time between two copies of the logs into the raw area.
const KEEP: Duration = Duration::from_secs(60);
/// How often a node that does not work at the sources looks whether it is to.
const STANDBY: Duration = Duration::from_secs(1);
/// The least time between two tries of models that fail; their source goes on.
const MODELS: Duration = Duration::from_secs(5);
/// The longest time between two tries of a source that fails,
const LONGEST: Duration = Duration::from_secs(300);
/// and of a stream, whose events wait.
const LONGEST_OF_STREAM: Duration = Duration::from_secs(10);

impl Arrivals {
    /// Asks every source until `stop` is cancelled; what is being landed then is finished.
    /// - Shape: the tasks; they end after `stop`.
    pub fn start(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for name in self.0.entries.keys() {
            tasks.spawn_on(self.clone().ask(name.clone(), stop.clone()), &self.0.heavy);
        }
        for name in self.0.logs.keys() {
            tasks.spawn_on(self.clone().keep(name.clone(), stop.clone()), &self.0.heavy);
        }
        tasks.spawn_on(self.clone().keep_up(stop.clone()), &self.0.heavy);
        tasks
    }

    async fn ask(self, name: String, stop: CancellationToken) {
        let Some(every) = self.0.entries.get(&name).and_then(|e| e.every) else { return };
        let streams = self.0.fronts.contains_key(&name);
        let longest = if streams { LONGEST_OF_STREAM.max(every) } else { LONGEST };
        let mut failures = 0;
        while !stop.is_cancelled() {
            let began = Utc::now();
            let drained = match self.lead(began).await {
                Ok(()) => self.drain(&name, &(), began).await,
                Err(error) => Err(error),
            };
            let pause = match &drained {
                // The other one asks.
                Err(SourceError::Elsewhere { .. }) => STANDBY,
                Ok(ran) => {
                    if ran.batches > 0 {
                        tracing::debug!(source = name, batches = ran.batches, rows = ran.rows, "arrived");
                    }
                    failures = 0;
                    every
                }
                Err(error) => {
                    failures += 1;
                    metrics::counter!("lakefront_source_failures_total", "source" => name.clone())
                        .increment(1);
                    let pause = patience(error, every, longest, failures);
                    tracing::warn!(source = name, error = %chain(error), ?pause, "the source failed");
                    pause
                }
            };
            self.0.states.note(&name, &drained, Some(Utc::now() + pause), began).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn keep(self, name: String, stop: CancellationToken) {
        let Some(keeper) = self.0.logs.get(&name) else { return };
        while !stop.is_cancelled() {
            let in_table = self.landed(&name).await;
            if let Err(error) = keeper.keep(in_table, Utc::now()).await {
                tracing::warn!(source = name, error = %chain(&error), "the log could not be kept in the raw area");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(KEEP) => {}
            }
        }
    }

    /// Up to where a log is in its table; 0 while that cannot be known.
    pub(super) async fn landed(&self, name: &str) -> i64 {
        let last = self.0.catalog.batches().last_position(name).await.ok().flatten();
        last.and_then(|at| at["to"].as_i64()).unwrap_or(0)
    }
}

/// Twice as long after each failure, from the source's own rhythm to the longest; longer when it says so itself.
fn patience(error: &SourceError, every: Duration, longest: Duration, failures: u32) -> Duration {
    // What landed has landed; only the models are tried again.
    if matches!(error, SourceError::Model(_)) {
        return every.max(MODELS);
    }
    every.saturating_mul(1 << failures.min(10)).min(longest).max(error.patience().unwrap_or_default())
}
