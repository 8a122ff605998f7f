//! Source D: market events behind a durable log or a Kafka topic (query/ingest/src/sources/events).
//!
//! ```text
//! push ───┐                    ┌─▶ Log: one transaction for all who wait (group commit) ─▶ acknowledged
//! Poller ─┴▶ parse ─▶ Front ───┤    │  SQLite file of its own, unique event ids
//!   HTTP                       │    ├─▶ Stream: a batch each 2 s ─▶ market.events       position = the log's
//!                              │    └─▶ Keeper: a file a minute ─▶ raw/d/day=…/hour=…   events as they came
//!                              └─▶ kafka::Producer ─▶ topic ─▶ kafka::Consumer          the same from a topic
//! ```
//! An event counts once: a repeated id is dropped at the log, or where the topic is read. A late event lands in its own day.

mod front;
#[cfg(feature = "kafka")]
pub(super) mod kafka;
mod keeper;
mod log;
mod parse;
pub mod poll;
mod shelf;
mod stream;

pub use front::{Accepted, Front, Unwritten};
pub use keeper::Keeper;
pub use log::{Log, Logged};
pub use parse::{Event, InvalidEvent, PushError, parse};
pub use shelf::{Kept, Place, Poison, Shelf};
pub use stream::Stream;
pub(super) use stream::{rows, table_rows};
