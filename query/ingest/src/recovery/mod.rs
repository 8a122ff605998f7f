//! What a killed process left (query/ingest/src/recovery).
//!
//! ```text
//! start, each minute ─▶ open intents: in the log? publish : clear   ─▶ afterwards every stored object is one that something refers to
//!                    ─▶ raw uploads without a job, half-written files, results of forgotten jobs
//!                    ─▶ places of deleted tables, history past its horizon
//! ```
//! Every step is repeatable and gives way to the others: what fails now is done a minute later.

mod sweep;

use std::time::Duration;

use catalog::Catalog;
use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use tokio_util::sync::CancellationToken;

use crate::publish::{Error, Publisher, Settled};
use crate::upload::Uploads;

/// An open intent whose writer has shown no sign of life for so long belongs to nobody any more.
const INTENT_AGE: TimeDelta = TimeDelta::minutes(15);
/// The same for raw objects and half-written files, where several nodes share the store.
const OBJECT_AGE: TimeDelta = TimeDelta::hours(1);
const EVERY: Duration = Duration::from_secs(60);

/// Finishes or clears what nobody works at any more. Cheap to clone.
#[derive(Clone)]
pub struct Recovery {
    publisher: Publisher,
    uploads: Uploads,
    exclusive: bool,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Writes that were in the log and are visible now.
    pub published: usize,
    /// Writes that were given up.
    pub cleared: usize,
    /// Objects removed: raw uploads, half-written files, results, files of deleted tables.
    pub objects: u64,
}

impl Recovery {
    /// `exclusive`: no other node uses this store, so what this process does not work at belongs to nobody.
    pub fn new(uploads: &Uploads, exclusive: bool) -> Self {
        Self { publisher: uploads.publisher().clone(), uploads: uploads.clone(), exclusive }
    }

    fn lake(&self) -> &Lake {
        self.publisher.lake()
    }

    fn catalog(&self) -> &Catalog {
        self.publisher.catalog()
    }

    /// Before the first request is taken: what the process before this one left. Not for verbs that run beside a server.
    /// Errors: the catalog or the lake does not answer.
    pub async fn at_start(&self, now: DateTime<Utc>) -> Result<Recovered, Error> {
        self.catalog().restart(now).await?;
        let mut done = self.settle(now).await?;
        let staged = if self.exclusive { now } else { now - OBJECT_AGE };
        done.objects += self.lake().objects().sweep_staging("", staged).await?;
        self.round(done, now).await
    }

    /// Once a minute.
    /// Errors: the catalog or the lake does not answer.
    pub async fn once(&self, now: DateTime<Utc>) -> Result<Recovered, Error> {
        let mut done = self.settle(now).await?;
        done.objects += self.lake().objects().sweep_staging("", now - OBJECT_AGE).await?;
        self.round(done, now).await
    }

    /// Runs [`Self::once`] each minute until `stop`.
    pub async fn every_minute(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.once(Utc::now()).await {
                Ok(done) if done == Recovered::default() => {}
                Ok(done) => tracing::info!(?done, "cleared up"),
                Err(error) => tracing::warn!(%error, "could not clear up; trying again in a minute"),
            }
        }
    }

    async fn settle(&self, now: DateTime<Utc>) -> Result<Recovered, Error> {
        let mut done = Recovered::default();
        for intent in self.catalog().open_intents(now - INTENT_AGE).await? {
            match self.publisher.settle(&intent, now).await {
                Ok(Settled::Published(_)) => done.published += 1,
                Ok(Settled::Cleared) => done.cleared += 1,
                // One damaged table must not keep the others from being cleared.
                Err(error) => tracing::warn!(%error, intent = %intent.id, "an open write stays open"),
            }
        }
        Ok(done)
    }

    async fn round(&self, mut done: Recovered, now: DateTime<Utc>) -> Result<Recovered, Error> {
        done.objects += self.sweep_uploads(now).await?;
        done.objects += self.sweep_results(now).await?;
        done.objects += self.remove_places(now).await?;
        self.catalog().upkeep(now).await?;
        Ok(done)
    }
}
