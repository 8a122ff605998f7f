//! Calls on their way while the one before them lands: a bounded number, in order.
//!
//! ```text
//! calls ─▶ ┌ n ┬ n+1 ┬ n+2 ┬ n+3 ┐ each: kept in the raw area? read : asked, politely
//!          └─┬─┴─────┴─────┴─────┘
//!            └▶ lands                       memory: the answers of these calls
//! ```

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Call, Shared};
use super::call::{Asked, Endpoint};
use crate::sources::raw::RawObject;
use crate::sources::{Place, SourceError};

/// Calls on their way at a time.
pub const CALLS: usize = 4;

/// One call, as it is to be made.
pub struct Asking {
    pub folder: &'static str,
    pub asked: Asked,
    pub places: Vec<Place>,
}

type Fetched = Vec<(RawObject, Bytes)>;
type Flight = AbortOnDropHandle<Result<Fetched, SourceError>>;

/// The calls of one source that are on their way.
#[derive(Default)]
pub struct Ahead(Mutex<Flights>);

#[derive(Default)]
struct Flights {
    /// By the number of their batch, ascending.
    flying: VecDeque<(i64, Flight)>,
    /// Manifests that a killed backfill left, by batch; read once.
    left: Option<BTreeMap<i64, String>>,
}

impl Ahead {
    /// The answers to the first of these calls, which is batch `n`; those behind it are sent ahead.
    /// - Shape: `None` without a call.
    /// - Errors: those of that call. What was sent behind it is forgotten, and asked again.
    pub async fn next(
        &self,
        shared: &Shared,
        n: i64,
        asking: impl Iterator<Item = Asking> + Send,
        now: DateTime<Utc>,
    ) -> Result<Option<Fetched>, SourceError> {
        let mut flights = self.0.lock().await;
        let calls: Vec<Asking> = asking.take(CALLS).collect();
        if flights.left.is_none() {
            let folder = calls.first().map(|call| call.folder).unwrap_or_default();
            flights.left = Some(shared.raw.manifests(&format!("{}/{folder}", shared.source), n).await?);
        }
        if flights.flying.front().is_some_and(|(first, _)| *first != n) {
            flights.flying.clear();
        }
        let sent = flights.flying.len();
        for (behind, call) in calls.into_iter().enumerate().skip(sent) {
            let n = n + i64::try_from(behind).unwrap_or_default();
            let left = flights.left.as_ref().and_then(|left| left.get(&n)).cloned();
            let flight = tokio::spawn(fetch(shared.clone(), call, n, left, now));
            flights.flying.push_back((n, AbortOnDropHandle::new(flight)));
        }
        let Some((_, first)) = flights.flying.pop_front() else { return Ok(None) };
        let fetched = first.await.map_err(|e| SourceError::refused(format!("a call ended: {e}")))?;
        if fetched.is_err() {
            flights.flying.clear();
        }
        fetched.map(Some)
    }
}

async fn fetch(
    shared: Shared,
    asking: Asking,
    n: i64,
    left: Option<String>,
    now: DateTime<Utc>,
) -> Result<Fetched, SourceError> {
    let call = Call { endpoint: Endpoint::Archive, folder: asking.folder, asked: asking.asked };
    if let Some(manifest) = left
        && let Some(kept) = shared.kept(&call, &asking.places, &manifest).await?
    {
        return Ok(kept);
    }
    shared.fetch(&call, n, &asking.places, now).await
}
