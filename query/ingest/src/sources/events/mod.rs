//! Source D: market events behind a durable log (query/ingest/src/sources/events).
//!
//! ```text
//! push ─▶ parse, check ─▶ Log: one transaction for all who wait (group commit) ─▶ acknowledged
//!                          │  SQLite file of its own, unique event ids
//!                          ├─▶ Stream: a batch each 2 s ─▶ market.events       position = the log's
//!                          └─▶ Keeper: a file a minute ─▶ raw/d/day=…/hour=…   events as they came
//! ```
//! An event counts once: a repeated id is dropped at the log. A late event lands in its own day. Absent on
//! purpose: Kafka, which will stand behind the same [`super::Source`].

mod keeper;
mod log;
mod parse;
mod stream;

pub use keeper::Keeper;
pub use log::Unwritten;
pub use log::{Accepted, Log, Logged};
pub use parse::{Event, InvalidEvent, PushError, parse};
pub use stream::Stream;
pub(super) use stream::rows;
