//! Source C: weather over HTTP in the Open-Meteo request and answer format (query/ingest/src/sources/weather).
//!
//! ```text
//! places ─▶ Call (URL, many places each) ─▶ Client (allowed addresses, limits, retries) ─▶ raw bytes as they came
//!                                                     │
//!        rows in °C, mm, m/s, % ◀─ units ◀─ Answer ◀──┘   converted by what the answer declares
//! ```
//! Four sources share this: current hours, forecast, and the archive's days and hours. Absent on purpose: any
//! provider that speaks another format.

mod ahead;
mod answer;
mod archive;
mod batch;
mod call;
mod client;
mod curate;
mod current;
mod forecast;
pub(super) mod guard;
mod units;

pub use archive::{Archive, Grain, Range};
pub use batch::{Shared, stored};
pub use client::Client;
pub use current::Current;
pub use forecast::Forecast;
pub(crate) use guard::Guard;
pub use units::Conversion;
