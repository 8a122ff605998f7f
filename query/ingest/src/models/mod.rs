//! Models: the SQL between the areas, and the runner that keeps their tables up to date (query/ingest/src/models).
//!
//! ```text
//! models/<area>/<schema>.<table>.sql ─▶ Model { table, window, tests, sql, upstream }
//!
//! a commit touched (regions, days) ─▶ models that read the table, in the order of their dependencies
//!      ─▶ the same SQL over those regions and days alone ─▶ tests ─▶ ReplaceWindow, stamps of those regions
//! ```
//! Dependencies are what the SQL names; a cycle is an error when the lake is read. A failed test or statement
//! keeps the old version serving and marks the table; what the model then owes is kept in the catalog and tried again
//! with the next change, now and then, and after a restart. Models that do not rest on it run on.
//! Absent on purpose: schedules, and models of customers (those are analyses).

mod against;
mod command;
mod days;
mod debt;
mod functions;
mod header;
mod judge;
mod order;
mod part;
mod partials;
pub mod plan;
mod run;
mod session;
mod settled;
mod tests;
mod window;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod run_tests;

use std::collections::{BTreeMap, BTreeSet};

use identity::TableName;

pub use functions::functions;
pub use header::Window;
pub use order::in_order;
pub use partials::Cut;
pub use run::{Models, Outcome, Refreshed};
pub use tests::{Target, Tests, Verdict, broken};

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
    /// Days before an output day whose input it rests on.
    pub lookback_days: u16,
    /// Inputs whose rows hold until the region's next one.
    pub carried: BTreeSet<TableName>,
    /// Inputs that are read whole, whatever regions are touched.
    pub whole: BTreeSet<TableName>,
    /// By input: the column that says which output day a row is about, where another one says when it came.
    pub valid: BTreeMap<TableName, String>,
    /// Rows of the model's own table that a change of its input does not move any more.
    pub settled: Option<String>,
    /// The statement cut into what is computed file by file and the rest.
    pub partials: Option<Cut>,
    /// When it runs; without, whenever its input changes.
    pub schedule: Option<crate::lakefile::Times>,
    /// The program that makes the rows of what the statement gives, and its arguments.
    pub command: Option<Vec<String>>,
    pub tests: Tests,
    pub sql: String,
    /// The line of its file on which the statement begins, and the whole text: for messages.
    pub sql_line: usize,
    pub text: String,
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
    #[error("a test of model {model} fails: {}", tests::broken(.verdicts).unwrap_or_default())]
    Test { model: TableName, verdicts: Vec<Verdict> },
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
    #[error("the catalog does not answer")]
    Catalog(#[from] catalog::Error),
    #[error("the heavy runtime is gone")]
    Stopped,
}

impl ModelError {
    /// Whether it is the model's own fault, and not that of the machine: then its table is marked and the others run on.
    fn is_own(&self) -> bool {
        matches!(self, Self::Statement { .. } | Self::Test { .. } | Self::Missing { .. })
    }
}
