//! Source D by way of a Kafka topic (query/ingest/src/sources/events/kafka).
//!
//! ```text
//! push, poller ─▶ Producer ─▶ topic ─▶ Reader ─▶ Consumer: known id? no event? ─▶ raw/d ─▶ batch row ─▶ one commit
//!                 acks=all              offsets of ours    Seen          aside             position: the next offset of
//!                 key = event id        no group                                           each partition
//! ```
//! The table's own commit says how far the topic has been read, so nothing is kept at the brokers: no consumer group, no
//! committed offsets. One node asks a source at a time. What the topic holds twice counts once ([`Seen`]); what is no
//! event is set aside; an offset that is gone stops the source. Absent on purpose: schema registries and transactions of
//! our own.

mod consumer;
mod producer;
mod reader;
mod seen;
mod settings;

pub use consumer::{Consumer, ConsumerParts};
pub use producer::Producer;
pub use seen::Ids;
