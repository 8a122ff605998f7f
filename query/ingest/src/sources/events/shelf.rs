//! A topic's events in the raw area: one file a batch, and beside it what was no event.
//!
//! ```text
//! raw/<source>/day=…/hour=…/<n>.ndjson         events as they came, one a line; the manifest names those that were there already
//! raw/<source>/day=…/hour=…/<n>.aside.ndjson   messages that are no events, each with its place and the reason
//! ```
//! Which events count was decided when they came and stands in the manifest, so that a batch made again is the same.

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catalog::Catalog;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Event;
use crate::alerts::{self, Raised};
use crate::sources::SourceError;
use crate::sources::raw::{Arrived, RawObject, RawStore, sha256};

const ENDING: &str = ".ndjson";
const ASIDE: &str = ".aside.ndjson";
const MANIFEST: &str = ".manifest.ndjson";

/// The shelf of one source.
pub struct Shelf {
    pub name: String,
    pub raw: RawStore,
    /// Where what stands on it came from, without secrets.
    pub origin: String,
}

/// Something that came and is no event.
#[derive(Clone, Debug, PartialEq)]
pub struct Poison {
    /// Where it stood: partition and offset, or the page of an answer.
    pub place: String,
    pub reason: String,
    pub bytes: Vec<u8>,
}

/// Where a batch is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub n: i64,
    /// `None` for a batch that has no event.
    pub path: Option<String>,
}

/// What a manifest says of a batch.
#[derive(Serialize, Deserialize)]
struct About {
    n: i64,
    /// Lines, from 0, whose id was in the table, or earlier in the batch.
    repeated: Vec<usize>,
}

/// Events that are kept, those that count alone.
pub struct Kept {
    pub n: i64,
    /// When they came.
    pub at: DateTime<Utc>,
    pub events: Vec<Event>,
}

impl Shelf {
    /// Keeps the events of batch `n`, a line each.
    /// - Errors: [`SourceError::Raw`]; called again it writes the same.
    pub async fn keep(
        &self,
        n: i64,
        lines: String,
        repeated: Vec<usize>,
        now: DateTime<Utc>,
    ) -> Result<Place, SourceError> {
        if lines.is_empty() {
            return Ok(Place { n, path: None });
        }
        let (path, bytes) = (format!("{}{ENDING}", self.path(n, now)), Bytes::from(lines));
        let about = json!(About { n, repeated });
        let line = self.line(&bytes, about.clone(), now);
        let part = Arrived { name: String::new(), bytes, origin: self.origin.clone(), about };
        let stored = self.raw.store_one(&path, part, now, &[line]).await?;
        Ok(Place { n, path: Some(stored.path) })
    }

    /// Keeps what is no event, under a name of its own.
    /// - Shape: its path. Errors: [`SourceError::Raw`].
    pub async fn set_aside(
        &self,
        name: &str,
        poison: &[Poison],
        now: DateTime<Utc>,
    ) -> Result<String, SourceError> {
        let line = |p: &Poison| {
            let bytes = STANDARD.encode(&p.bytes);
            json!({"place": p.place, "reason": p.reason, "base64": bytes}).to_string() + "\n"
        };
        let bytes = Bytes::from(poison.iter().map(line).collect::<String>());
        let path = format!("{}/{name}{ASIDE}", self.folder(now));
        let part = Arrived { name: String::new(), bytes, origin: self.origin.clone(), about: json!({}) };
        Ok(self.raw.store_one(&path, part, now, &[]).await?.path)
    }

    /// Counts what was set aside, and raises it once a day.
    pub async fn tell(&self, catalog: &Catalog, poison: &[Poison], path: &str, now: DateTime<Utc>) {
        let Some(first) = poison.first() else { return };
        let (count, reason) = (poison.len(), format!("{}: {}", first.place, first.reason));
        tracing::error!(source = self.name, count, path, reason, "messages are set aside");
        metrics::counter!("lakefront_source_messages_set_aside_total", "source" => self.name.clone())
            .increment(count as u64);
        alerts::raise(catalog, Raised::messages_set_aside(&self.name, &reason, path, now), now).await;
    }

    /// The events of a batch again.
    /// - Errors: [`SourceError::Refused`] when they are not what was stored.
    pub async fn read(&self, place: &Place, now: DateTime<Utc>) -> Result<Kept, SourceError> {
        let Some(path) = &place.path else { return Ok(Kept { n: place.n, at: now, events: Vec::new() }) };
        let manifest = self.raw.manifest(&format!("{path}{MANIFEST}")).await?;
        let changed = || SourceError::refused(format!("{path} has changed since it was stored"));
        let object = manifest.into_iter().next().ok_or_else(changed)?;
        let bytes = self.raw.read(&object).await?;
        let About { n, repeated } = crate::sources::position(&object.about)?;
        let repeated: HashSet<usize> = repeated.into_iter().collect();
        let lines = std::str::from_utf8(&bytes).map_err(|_| changed())?.lines().enumerate();
        let counted = lines.filter(|(line, _)| !repeated.contains(line));
        let events = counted.map(|(_, text)| serde_json::from_str(text)).collect::<Result<_, _>>();
        Ok(Kept { n, at: object.at, events: events.map_err(|_| changed())? })
    }

    /// Where every batch is kept, in order. Of a number that was stored twice, the later one landed.
    pub async fn places(&self) -> Result<Vec<Place>, SourceError> {
        let mut paths = self.raw.list(&self.name).await?;
        paths.retain(|path| path.ends_with(ENDING) && !path.ends_with(MANIFEST) && !path.ends_with(ASIDE));
        paths.sort_unstable();
        let number = |path: &str| path.rsplit('/').next()?.strip_suffix(ENDING)?.parse::<i64>().ok();
        let latest: BTreeMap<i64, String> =
            paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
        Ok(latest.into_iter().map(|(n, path)| Place { n, path: Some(path) }).collect())
    }

    fn line(&self, bytes: &Bytes, about: Value, at: DateTime<Utc>) -> RawObject {
        let (size, sha256) = (bytes.len() as u64, sha256(bytes));
        RawObject { path: String::new(), size, sha256, origin: self.origin.clone(), at, about }
    }

    fn path(&self, n: i64, at: DateTime<Utc>) -> String {
        format!("{}/{n:012}", self.folder(at))
    }

    fn folder(&self, at: DateTime<Utc>) -> String {
        format!("{}/day={}/hour={}", self.name, at.format("%Y-%m-%d"), at.format("%H"))
    }
}
