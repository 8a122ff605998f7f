//! Answers: region routes, customers' SQL, rows of tables, the cache before them all, and the worker's side of SQL.
//!
//! ```text
//! region route ─▶ tag ─▶ cache ─▶ regions  (here, on a runtime of its own)   ─▶ lake
//! SQL, rows    ─▶ names ─▶ pin ─▶ tag ─▶ cache ─▶ lease a worker ─▶ sandbox ─▶ encode
//! ```
//! Absent on purpose: any write to a table, and any word of HTTP.

pub mod cache;
mod coding;
mod cursor;
pub mod encode;
mod engine;
mod error;
#[cfg(test)]
mod fixture;
pub mod functions;
mod page;
pub mod regions;
pub mod rows;
pub mod sandbox;
pub mod sql;

pub use coding::Coding;
pub use encode::{ColumnType, Format};
pub use engine::{Engine, EngineConfig};
pub use error::QueryError;
pub use page::{Answer, Facts, Page, TableMeta};

/// Rows of one answer at most.
pub const PAGE_ROWS: u64 = 100_000;
/// Bytes of one answer at most.
pub const PAGE_BYTES: u64 = 16 << 20;
