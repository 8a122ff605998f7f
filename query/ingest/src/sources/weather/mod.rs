//! Source C: weather over HTTP, in Open-Meteo's format or one that the lake's TOML describes (query/ingest/src/sources/weather).
//!
//! ```text
//! places ─▶ Call ─▶ Service (URL, many places each) ─▶ Client (allowed addresses, limits, retries) ─▶ raw bytes as they came
//!                   open_meteo │ mapped                             │
//!        rows in °C, mm, m/s, % ◀─ Answer ◀─ units ◀─ Service ◀─────┘   converted by what answer or declaration says
//! ```
//! Four sources share this: current hours, forecast, and the archive's days and hours.

mod ahead;
mod answer;
mod archive;
mod batch;
mod call;
mod client;
mod covered;
mod curate;
mod current;
mod forecast;
pub(super) mod guard;
mod mapped;
#[cfg(test)]
mod mapped_tests;
mod open_meteo;
mod plan;
mod service;
mod units;

pub use archive::{Archive, Grain, Range, Wanted};
pub use batch::{Shared, stored};
pub use client::Client;
pub use current::Current;
pub use forecast::Forecast;
pub(crate) use guard::Guard;
pub use units::Conversion;
