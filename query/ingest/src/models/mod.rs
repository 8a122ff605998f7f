//! Models: the SQL between the areas, and the runner that keeps their tables up to date (query/ingest/src/models).
//!
//! ```text
//! models/<area>/<schema>.<table>.sql ─▶ Model { table, window, tests, sql, upstream }
//!
//! a commit touched (regions, days) ─▶ models that read the table, in the order of their dependencies
//!      ─▶ the same SQL over those regions and days alone ─▶ tests ─▶ ReplaceWindow, stamps of those regions
//! ```
//! Dependencies are what the SQL names; a cycle is an error when the lake is read. A failed test or statement
//! keeps the old version serving. Absent on purpose: schedules, and models of customers (those are analyses).

mod check;
mod functions;
mod header;
mod order;
mod run;
mod session;
mod settled;
mod window;

use std::collections::BTreeSet;

use identity::TableName;

pub use check::Broken;
pub use functions::functions;
pub use header::{Tests, Window};
pub use order::in_order;
pub use run::{Models, Refreshed};

/// One model file, read and checked.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its file, for messages.
    pub file: String,
    /// The table it fills.
    pub table: TableName,
    /// Columns that name a row; two rows with the same key fail the model.
    pub key: Vec<String>,
    /// Which part of the table a change recomputes.
    pub window: Window,
    /// Days before a touched day whose input the output needs.
    pub lookback_days: i64,
    /// Rows of the model's own table that a change of its input does not move any more.
    pub settled: Option<String>,
    /// When it runs; without, whenever its input changes.
    pub schedule: Option<crate::lakefile::Times>,
    pub tests: Tests,
    pub sql: String,
    /// The tables its SQL reads.
    pub upstream: BTreeSet<TableName>,
}

/// Why a model did not run. Its table keeps the version it has.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the statement of model {model} fails")]
    Statement {
        model: TableName,
        #[source]
        source: datafusion::error::DataFusionError,
    },
    #[error("a test of model {model} fails: {broken}")]
    Test { model: TableName, broken: Broken },
    #[error("model {model} reads `{table}`, which is not there")]
    Missing { model: TableName, table: TableName },
    #[error("the lake cannot be read now")]
    Lake(#[from] lake::Error),
    #[error("the rows of model {model} could not be published")]
    Publish {
        model: TableName,
        #[source]
        source: crate::publish::Error,
    },
    #[error("the heavy runtime is gone")]
    Stopped,
}
