//! The topic as a source: what came since the last batch becomes the next one.

use std::collections::HashSet;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::Catalog;
use chrono::{DateTime, TimeDelta, Utc};
use identity::TableName;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::reader::{Message, Position, Reader};
use super::seen::{IdDigest, Ids, Seen, digest};
use crate::alerts::{self, Raised};
use crate::lakefile::KafkaSpec;
use crate::publish::{Mode, Split};
use crate::sources::events::Event;
use crate::sources::events::parse::check;
use crate::sources::events::shelf::{Kept, Place, Poison, Shelf};
use crate::sources::events::stream::{table_rows, zones_of};
use crate::sources::{Atlas, Batch, Places, Source, SourceError, Spellings, position};

/// What a consumer is made of.
pub struct ConsumerParts {
    pub name: String,
    pub spec: KafkaSpec,
    pub table: TableName,
    pub schema: SchemaRef,
    pub events_per_batch: usize,
    /// How long an id counts as known.
    pub remembered: TimeDelta,
    pub places: Places,
    pub spellings: Spellings,
    pub shelf: Shelf,
    pub ids: Ids,
    pub catalog: Catalog,
}

/// Source D behind a topic.
pub struct Consumer {
    parts: ConsumerParts,
    state: Mutex<State>,
}

/// Where it stands between two batches. All of it can be made again from the table and the topic.
#[derive(Default)]
struct State {
    reader: Option<Reader>,
    /// The ids of the table; `None` before it was read.
    seen: Option<Seen>,
    /// The position that reader and ids belong to.
    position: Option<Value>,
    /// What was read beyond it.
    waiting: Vec<Message>,
    /// The last batch, until it is known to have landed.
    given: Option<Given>,
    asked: Option<DateTime<Utc>>,
}

/// A batch that may not have landed yet.
struct Given {
    n: i64,
    batch: Batch,
    came: DateTime<Utc>,
    ids: Vec<IdDigest>,
}

/// Messages sorted by what they are.
#[derive(Default)]
struct Sorted {
    /// Events as they came, a line each.
    lines: String,
    /// Lines whose id is known.
    repeated: Vec<usize>,
    events: Vec<Event>,
    ids: Vec<IdDigest>,
    poison: Vec<Poison>,
}

impl State {
    /// Takes note of how far the table has come. Whatever does not belong to that position is made anew.
    fn settle(&mut self, n: i64, after: Option<&Value>) {
        if let Some(given) = self.given.take_if(|given| given.n + 1 == n)
            && Some(&given.batch.position) == after
            && let Some(seen) = &mut self.seen
        {
            seen.add(given.came.date_naive(), given.ids);
            self.position = Some(given.batch.position);
        }
        if self.given.is_some() || self.position.as_ref() != after {
            *self = Self { position: after.cloned(), ..Self::default() };
        }
    }
}

impl Sorted {
    fn take(&mut self, messages: &[Message], seen: &Seen, atlas: &Atlas, now: DateTime<Utc>) {
        let (mut new, mut line) = (HashSet::new(), 0);
        for message in messages {
            match event(message.payload.as_deref(), atlas, now) {
                Ok((event, text)) => {
                    self.lines.push_str(&text);
                    self.lines.push('\n');
                    let id = digest(&event.event_id);
                    if seen.has(id) || !new.insert(id) {
                        self.repeated.push(line);
                    } else {
                        self.events.push(event);
                    }
                    line += 1;
                }
                Err(reason) => self.poison.push(Poison {
                    place: format!("partition {}, offset {}", message.partition, message.offset),
                    reason,
                    bytes: message.payload.clone().unwrap_or_default(),
                }),
            }
        }
        self.ids = new.into_iter().collect();
    }
}

/// A message as an event and its one line of text. Errors: why it is none.
fn event(payload: Option<&[u8]>, atlas: &Atlas, now: DateTime<Utc>) -> Result<(Event, String), String> {
    let payload = payload.ok_or("it is empty")?;
    let text = std::str::from_utf8(payload).map_err(|_| "it is no text in UTF-8")?;
    let text = text.replace(['\n', '\r'], " ");
    match check(&text, atlas, now) {
        Ok(event) => Ok((event, text)),
        Err((Some(field), reason)) => Err(format!("{field}: {reason}")),
        Err((None, reason)) => Err(reason),
    }
}

impl Consumer {
    pub fn new(parts: ConsumerParts) -> Self {
        Self { parts, state: Mutex::default() }
    }

    /// A reader that begins at the state's position.
    async fn open(&self, state: &mut State, now: DateTime<Utc>) -> Result<Reader, SourceError> {
        if let Some(reader) = state.reader.take() {
            return Ok(reader);
        }
        state.waiting.clear();
        let after = state.position.as_ref().map(position::<Position>).transpose()?;
        let spec = self.parts.spec.clone();
        let (reader, gap) = blocking(move || Reader::open(&spec, after.as_ref())).await?;
        if let Some(gap) = gap {
            alerts::raise(&self.parts.catalog, Raised::gap(&self.parts.name, &gap), now).await;
        }
        Ok(reader)
    }

    /// Reads until there are enough for a batch, or the topic has no more. After an error the next call opens a reader anew.
    async fn fill(&self, state: &mut State, now: DateTime<Utc>) -> Result<(), SourceError> {
        if state.seen.is_none() {
            state.seen = Some(self.parts.ids.read(self.parts.remembered, now).await?);
        }
        let mut reader = self.open(state, now).await?;
        let (mut waiting, most) = (std::mem::take(&mut state.waiting), self.parts.events_per_batch);
        let read = blocking(move || reader.fetch(&mut waiting, most).map(|()| (reader, waiting))).await?;
        (state.reader, state.waiting) = (Some(read.0), read.1);
        Ok(())
    }

    async fn batch(&self, n: i64, state: &mut State, now: DateTime<Utc>) -> Result<Given, SourceError> {
        // An error in the middle drops the reader, and with it what was read beyond the position.
        let reader = state.reader.take();
        let many = state.waiting.len().min(self.parts.events_per_batch);
        let rest = state.waiting.split_off(many);
        let messages = std::mem::replace(&mut state.waiting, rest);
        let cluster = reader.as_ref().and_then(|reader| reader.cluster.clone());
        let position = self.position(&messages, cluster, state)?;
        let (mut sorted, atlas) = (Sorted::default(), self.parts.spellings.now().await?);
        if let Some(seen) = &mut state.seen {
            seen.forget((now - self.parts.remembered).date_naive());
            sorted.take(&messages, seen, &atlas, now);
        }
        let Sorted { lines, repeated, events, ids, poison } = sorted;
        metrics::counter!("lakefront_source_repeated_total", "source" => self.parts.name.clone())
            .increment(repeated.len() as u64);
        self.set_aside(n, &poison, now).await?;
        let place = self.parts.shelf.keep(n, lines, repeated, now).await?;
        let batch = self.rows(position, &place, Kept { n, at: now, events }).await?;
        state.reader = reader;
        Ok(Given { n, batch, came: now, ids })
    }

    /// Where the topic goes on after these messages.
    fn position(
        &self,
        messages: &[Message],
        cluster: Option<String>,
        state: &State,
    ) -> Result<Value, SourceError> {
        let before = state.position.as_ref().map(position::<Position>).transpose()?;
        let mut after = Position { topic: self.parts.spec.topic.clone(), cluster, ..Position::default() };
        if let Some(before) = before.filter(|b| b.topic == after.topic && b.cluster == after.cluster) {
            after.offsets = before.offsets;
        }
        for message in messages {
            after.offsets.insert(message.partition, message.offset + 1);
        }
        Ok(json!(after))
    }

    async fn set_aside(&self, n: i64, poison: &[Poison], now: DateTime<Utc>) -> Result<(), SourceError> {
        if poison.is_empty() {
            return Ok(());
        }
        let path = self.parts.shelf.set_aside(&format!("{n:012}"), poison, now).await?;
        self.parts.shelf.tell(&self.parts.catalog, poison, &path, now).await;
        Ok(())
    }

    async fn rows(&self, position: Value, place: &Place, kept: Kept) -> Result<Batch, SourceError> {
        let (zones, atlas) = (zones_of(&self.parts.places).await?, self.parts.spellings.now().await?);
        let received = vec![kept.at.timestamp_micros(); kept.events.len()];
        let (rows, touched) = table_rows(&self.parts.schema, &kept.events, received, &zones, &atlas)?;
        let rows = if kept.events.is_empty() { Vec::new() } else { vec![rows] };
        // Its events have a file of their own, by which they are made again: the row need not be kept for that.
        Ok(Batch { position, objects: json!({ "log": place }), rows, touched })
    }
}

/// Work that waits for the brokers, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| SourceError::refused(format!("the topic's reader ended: {e}")))?
}

#[async_trait]
impl Source for Consumer {
    fn name(&self) -> &str {
        &self.parts.name
    }

    fn table(&self) -> &TableName {
        &self.parts.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        // Events whose id is known are not among the rows.
        (Mode::Append, None)
    }

    /// The first call of a turn takes what there is; further ones of the same `now` only full batches, so that the models
    /// have their turn while the topic never ends.
    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let state = &mut *self.state.lock().await;
        if let Some(given) = state.given.as_ref().filter(|g| g.n == n && state.position.as_ref() == after) {
            return Ok(Some(given.batch.clone()));
        }
        state.settle(n, after);
        let again = state.asked.replace(now) == Some(now);
        self.fill(state, now).await?;
        let least = if again { self.parts.events_per_batch } else { 1 };
        if state.waiting.len() < least {
            return Ok(None);
        }
        let given = self.batch(n, state, now).await?;
        Ok(Some(state.given.insert(given).batch.clone()))
    }

    async fn replay(&self, position: Value, objects: Value) -> Result<Batch, SourceError> {
        let place = crate::sources::position::<Place>(&objects["log"])?;
        let kept = self.parts.shelf.read(&place, DateTime::UNIX_EPOCH).await?;
        self.rows(position, &place, kept).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Touched;
    use crate::sources::testing::at;

    fn message(offset: i64, text: &str) -> Message {
        Message { partition: 0, offset, payload: Some(text.as_bytes().to_vec()) }
    }

    fn of(id: &str) -> String {
        format!("{{\"event_id\":\"{id}\",\n\"event_time\":\"2026-03-01T12:00:00Z\",\"region_id\":\"x\"}}")
    }

    #[test]
    fn an_id_counts_once_and_what_is_no_event_is_put_apart() {
        let mut seen = Seen::default();
        seen.add(at("2026-02-28T12:00:00Z").date_naive(), [digest("old")]);
        let messages = [
            message(0, &of("new")),
            message(1, "[]"),
            message(2, &of("old")),
            message(3, &of("new")),
            Message { partition: 0, offset: 4, payload: None },
        ];
        let mut sorted = Sorted::default();
        sorted.take(&messages, &seen, &Atlas::default(), at("2026-03-01T12:00:01Z"));
        assert_eq!(sorted.events.iter().map(|e| e.event_id.as_str()).collect::<Vec<_>>(), ["new"]);
        assert_eq!((sorted.lines.lines().count(), sorted.repeated, sorted.ids.len()), (3, vec![1, 2], 1));
        let places: Vec<&str> = sorted.poison.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(places, ["partition 0, offset 1", "partition 0, offset 4"]);
    }

    #[test]
    fn the_ids_of_a_batch_are_known_once_it_has_landed_and_forgotten_where_another_did() {
        let state = || {
            let batch = Batch {
                position: json!(7),
                objects: json!([]),
                rows: Vec::new(),
                touched: Touched::default(),
            };
            let given = Given { n: 3, batch, came: at("2026-03-01T12:00:00Z"), ids: vec![digest("a")] };
            State { seen: Some(Seen::default()), given: Some(given), ..State::default() }
        };
        let mut landed = state();
        landed.settle(4, Some(&json!(7)));
        assert!(landed.seen.is_some_and(|seen| seen.has(digest("a"))) && landed.given.is_none());
        let mut other = state();
        other.settle(4, Some(&json!(8)));
        assert!(other.seen.is_none() && other.given.is_none() && other.position == Some(json!(8)));
    }
}
