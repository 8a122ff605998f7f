//! Source D's poller: asks an HTTP service for events and hands them in as a push would (query/ingest/src/sources/events/poll).
//!
//! ```text
//! position ─▶ request ─▶ 304: nothing new
//!                   └──▶ page: events by the declared fields ─▶ Front: acknowledged ─▶ the next position is noted
//! ```
//! The position moves only behind what is acknowledged, so a kill costs a page that is asked for again, and each id counts
//! once. What is no event is set aside; a page of which nothing fits is refused, and the position stays.

mod client;
mod mapping;

use std::sync::Arc;

use async_trait::async_trait;
use catalog::Catalog;
use chrono::{DateTime, Utc};
use identity::TableName;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::client::Client;
use self::mapping::{Mapping, Page};
use super::{Front, Poison, Shelf};
use crate::lakefile::PollSpec;
use crate::publish::{Mode, Split};
use crate::sources::{Batch, Source, SourceError, Spellings, digest, position};

/// The number of the one row that keeps a position. It is never published, so that it may be written again.
const ROW: i64 = 1;

/// How far the service has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct At {
    /// What stands for `{position}` in the next request.
    position: String,
    /// The tag of the last answer to that very request.
    tag: Option<String>,
}

/// Asks one service.
pub struct Poller {
    name: String,
    table: TableName,
    spec: PollSpec,
    client: Client,
    mapping: Mapping,
    shelf: Shelf,
    front: Arc<dyn Front>,
    catalog: Catalog,
    spellings: Spellings,
    /// What was last set aside: a page that stays the same is not told again.
    aside: Mutex<String>,
}

/// What a poller works with.
pub struct PollerParts {
    pub shelf: Shelf,
    pub front: Arc<dyn Front>,
    pub catalog: Catalog,
    pub spellings: Spellings,
}

impl Poller {
    /// The poller of a source by the lake's declaration; nothing is asked yet.
    /// - Errors: [`SourceError::NotAllowed`] for an address that must not be asked.
    pub fn new(
        source: &str,
        table: &TableName,
        spec: &PollSpec,
        parts: PollerParts,
    ) -> Result<Self, SourceError> {
        let PollerParts { shelf, front, catalog, spellings } = parts;
        Ok(Self {
            name: format!("{source}.poll"),
            table: table.clone(),
            client: Client::new(spec)?,
            mapping: Mapping::new(spec),
            spec: spec.clone(),
            shelf,
            front,
            catalog,
            spellings,
            aside: Mutex::default(),
        })
    }

    /// The name of the row that keeps the position.
    fn row(&self) -> String {
        format!("position:{}", self.name)
    }

    async fn at(&self) -> Result<At, SourceError> {
        let row = self.catalog.batches().open(&self.row()).await?.into_iter().next();
        let first = || At { position: self.spec.first.clone(), tag: None };
        row.map_or_else(|| Ok(first()), |row| position(&row.position))
    }

    async fn note(&self, at: &At, now: DateTime<Utc>) -> Result<(), SourceError> {
        Ok(self.catalog.batches().begin(&self.row(), ROW, &json!(at), &json!([]), now).await?)
    }

    /// One page: whether there may be another.
    async fn turn(&self, at: &mut At, now: DateTime<Utc>) -> Result<bool, SourceError> {
        let Some(answer) = self.client.page(&at.position, at.tag.as_deref()).await? else { return Ok(false) };
        let atlas = self.spellings.latest().await?;
        let page = self.mapping.read(&answer.text, &atlas, now)?;
        let next = page.next.clone().filter(|next| *next != at.position);
        let more = next.is_some() && !page.events.is_empty();
        self.take(page, now).await?;
        lake::failpoint("source.polled");
        let after = match next {
            Some(position) => At { position, tag: None },
            None => At { position: at.position.clone(), tag: answer.tag },
        };
        if after != *at {
            self.note(&after, now).await?;
            *at = after;
        }
        Ok(more)
    }

    /// Hands a page's events in; when it returns they are acknowledged.
    async fn take(&self, page: Page, now: DateTime<Utc>) -> Result<(), SourceError> {
        self.set_aside(&page.poison, now).await?;
        if page.events.is_empty() {
            return Ok(());
        }
        let unacknowledged = |error: super::Unwritten| {
            let reason = format!("its events are not taken: {error}");
            SourceError::Unavailable { reason, retry_after_secs: None }
        };
        let taken = self.front.append(page.events, now).await.map_err(unacknowledged)?;
        tracing::debug!(source = self.name, accepted = taken.accepted, "a page was taken");
        Ok(())
    }

    async fn set_aside(&self, poison: &[Poison], now: DateTime<Utc>) -> Result<(), SourceError> {
        let all: Vec<u8> = poison.iter().flat_map(|p| p.bytes.iter().copied()).collect();
        let known = digest(&all);
        if poison.is_empty() || *self.aside.lock() == known {
            return Ok(());
        }
        let name = format!("poll-{}", known.get(..16).unwrap_or_default());
        let path = self.shelf.set_aside(&name, poison, now).await?;
        self.shelf.tell(&self.catalog, poison, &path, now).await;
        *self.aside.lock() = known;
        Ok(())
    }
}

#[async_trait]
impl Source for Poller {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        (Mode::Append, None)
    }

    /// Asks for what is new. Its events land as the stream's, so there is never a batch of its own.
    async fn next(
        &self,
        _n: i64,
        _after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let mut at = self.at().await?;
        for _ in 0..self.spec.pages {
            if !self.turn(&mut at, now).await? {
                break;
            }
        }
        Ok(None)
    }

    async fn replay(&self, _position: Value, _objects: Value) -> Result<Batch, SourceError> {
        Err(SourceError::refused("a poller has no batches"))
    }
}
