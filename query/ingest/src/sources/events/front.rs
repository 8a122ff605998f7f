//! Where events are handed in, whoever hands them in: a push over HTTP, or the poller.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Takes events, and has them for good when it says so.
#[async_trait]
pub trait Front: Send + Sync {
    /// Takes events, (id, text) each.
    /// - Errors: [`Unwritten`]; the same events may be handed in again, each counts once.
    async fn append(&self, events: Vec<(String, String)>, now: DateTime<Utc>) -> Result<Accepted, Unwritten>;
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub accepted: u64,
    /// Events whose id was known to be there already; they count once.
    pub duplicates: u64,
}

/// Why events were not taken.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Unwritten {
    #[error("there is no room left for the log")]
    Full,
    #[error("the log cannot be written")]
    Failed,
    /// No broker has acknowledged in time; some of the events may be in the topic all the same.
    #[error("the topic's brokers do not acknowledge")]
    Unacknowledged,
}
