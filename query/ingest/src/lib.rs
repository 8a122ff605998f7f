//! Every write of the lake (query/ingest).
//!
//! ```text
//! sources ─┐
//! uploads ─┼─▶ publish ─▶ lake::commit ─▶ catalog (one transaction) ─▶ readers
//! models ──┤      ▲
//! analyses ┘      └── recovery: finishes or clears what a killed process left
//! ```
//! Nothing outside this crate commits to a table. Absent on purpose: HTTP types, and any decision about who may write (the caller of
//! this crate holds a verified `Principal`).

pub mod alerts;
pub mod demo;
pub mod health;
pub mod jobs;
pub mod lakefile;
pub mod materialise;
pub mod models;
pub mod publish;
pub mod recovery;
pub mod schedules;
pub mod sources;
#[cfg(test)]
mod testing;
pub mod upload;
mod words;
