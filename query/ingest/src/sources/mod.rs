//! What arrives at the lake, and how it becomes curated tables.
//!
//! ```text
//! Source::next ─▶ raw/<source>/day=…  ─▶ batch row ─▶ one commit: rows + (source, n)  ─▶ models
//!   HTTP, log,     bytes as they came      catalog      Publisher                          of the
//!   files          + manifest line                                                         touched days
//! ```
//! A batch is named by its source and a number. Its row in the catalog, written before the commit, says
//! which raw objects it is made of, so that after kill -9 the same batch is made again from them
//! ([`Source::replay`]) and the commit's application transaction keeps it from landing twice.
//! Absent on purpose: times of a calendar (`schedules`), and any HTTP type of ours.

mod arrivals;
mod backfill;
pub mod events;
mod expire;
pub mod files;
mod http;
mod intake;
mod json;
mod lead;
mod lineage;
mod mappings;
mod marks;
mod notice;
mod open;
mod patience;
mod raw;
mod rebuild;
mod regions;
mod schedule;
mod secret;
mod spellings;
mod states;
mod touched;
mod upkeep;
pub mod weather;
mod workers;

use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use identity::TableName;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use arrivals::{Arrivals, Ran};
pub use events::{Accepted, InvalidEvent, PushError, Unwritten};
pub use intake::{Intake, Landed};
pub use lead::{is_led, is_served};
pub use lineage::Origin;
pub use notice::{NoticeError, Noticed};
pub use open::{ArrivalsConfig, OpenError};
pub(crate) use raw::sha256 as digest;
pub use raw::{RawObject, RawStore};
pub use regions::{Place, Places};
pub use spellings::{Atlas, Spellings};
pub use touched::{Touched, month_of};
pub use upkeep::Maintained;
pub use workers::Workers;

use crate::publish::{Mode, Split};

/// One batch of a source: where it ends, what it is made of, and its curated rows.
#[derive(Clone)]
pub struct Batch {
    /// Where the source goes on after this batch; the source's own JSON.
    pub position: Value,
    /// What [`Source::replay`] needs to make the same batch again: raw objects, or a range of the log.
    pub objects: Value,
    /// Rows of the source's table, in its schema.
    pub rows: Vec<RecordBatch>,
    /// The regions and local days they are about.
    pub touched: Touched,
}

/// How long something takes, for a person who waits.
pub trait Progress: Sync {
    /// `done` of `of` parts of `what` are there.
    fn step(&self, what: &str, done: u64, of: u64);

    /// Whether nobody waits any more: what is being landed is finished, and no more is begun.
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody waits.
impl Progress for () {
    fn step(&self, _what: &str, _done: u64, _of: u64) {}
}

/// Something that gives batches in order. The catalog, not the source, remembers the position.
#[async_trait]
pub trait Source: Send + Sync {
    /// Name in folders, batch rows and verbs: `a`, `c.current`, `d`.
    fn name(&self) -> &str;

    /// The table its rows land in.
    fn table(&self) -> &TableName;

    /// What its rows do to those that are there, and how its files are cut.
    fn mode(&self) -> (Mode, Option<Split>);

    /// The batch after position `after` (`None`: from the beginning), its bytes already in the raw area.
    /// - Shape: `None` when nothing is new at `now`.
    /// - Errors: [`SourceError::Unavailable`] may be tried again; the others need a person.
    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError>;

    /// The same batch again, from the raw objects its row names. Equal rows, `ingested_at` included.
    async fn replay(&self, position: Value, objects: Value) -> Result<Batch, SourceError>;

    /// Whether its rows may have columns that the table lacks, which are added then.
    fn widens(&self) -> bool {
        false
    }

    /// How many files it has set aside since the start; [`catalog::SourceFiles::set_aside`] names them.
    fn set_aside(&self) -> u64 {
        0
    }
}

/// Why a source gave no batch.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The other side, or the network, cannot answer now: try again later.
    #[error("the source does not answer: {reason}")]
    Unavailable { reason: String, retry_after_secs: Option<u64> },
    /// The other side answers something that this source does not declare.
    #[error("the source's answer is refused: {reason}")]
    Refused { reason: String },
    /// The address is not one that the configuration allows.
    #[error("the address {address} is not allowed: {reason}")]
    NotAllowed { address: String, reason: String },
    /// What comes next in a stream is no longer there.
    #[error(
        "the source stands still: {reason}; have what is missing sent again, then let it go on at the oldest event there is by \
         `after_gap = \"oldest\"`"
    )]
    Gap { reason: String },
    #[error("the raw area cannot be written or read")]
    Raw(#[from] lake::Error),
    #[error("the log of the source fails")]
    Log(#[from] sqlx::Error),
    #[error("the folder {folder} cannot be read")]
    Folder {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the rows do not fit their table")]
    Rows(#[from] arrow::error::ArrowError),
    #[error("the catalog does not answer")]
    Catalog(#[from] catalog::Error),
    #[error("the rows could not be published")]
    Publish(#[from] crate::publish::Error),
    #[error("no source and no model is called `{name}`")]
    Unknown { name: String },
    #[error("the work was stopped")]
    Stopped,
    /// Of the nodes that share the catalog one works at the sources.
    #[error("another node works at the sources: {owner}")]
    Elsewhere { owner: String },
    /// The work needs the tables for itself.
    #[error("a server has the lake, and this work needs it alone: stop it first ({owner})")]
    Served { owner: String },
    #[error("a model failed")]
    Model(#[from] crate::models::ModelError),
}

impl SourceError {
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    /// The patience that the other side asks for.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after_secs, .. } => retry_after_secs.map(Duration::from_secs),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::Refused { .. }
                | Self::NotAllowed { .. }
                | Self::Gap { .. }
                | Self::Rows(_)
                | Self::Unknown { .. }
                | Self::Stopped
        )
    }
}

/// A position as the source that wrote it reads it.
fn position<T: DeserializeOwned>(value: &Value) -> Result<T, SourceError> {
    serde_json::from_value(value.clone())
        .map_err(|e| SourceError::refused(format!("a position of another kind: {e}")))
}

/// A day as Arrow's `Date32` counts it.
pub(crate) fn days_since_epoch(day: NaiveDate) -> i32 {
    arrow::datatypes::Date32Type::from_naive_date(day)
}

#[cfg(test)]
mod arrivals_tests;
#[cfg(test)]
mod backfill_tests;
#[cfg(test)]
mod nyc;
#[cfg(test)]
mod rebuild_tests;
#[cfg(test)]
mod spellings_tests;
#[cfg(test)]
pub(crate) mod testing;
