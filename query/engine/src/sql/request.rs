//! A customer's statement, and what can become of it.

use std::sync::Arc;
use std::time::Duration;

use catalog::Table;
use chrono::{DateTime, Utc};
use identity::TableName;

use crate::sandbox::Plan;
use crate::{Answer, ColumnType, Format};

/// One read-only statement with bound parameters (`$1`, `$2`, …).
#[derive(Clone, Debug, Default)]
pub struct SqlRequest {
    pub sql: String,
    /// JSON scalars, bound in order.
    pub params: Vec<serde_json::Value>,
    /// Rows answered at most: 1 to 100 000; 10 000 if absent.
    pub limit: Option<u64>,
    pub as_of: Option<DateTime<Utc>>,
    /// Plan only: the answer has columns and tables, and no rows.
    pub dry_run: bool,
    pub format: Format,
    /// How long the caller waits before it becomes a job: `None` is the configured 10 s, zero is `respond-async`.
    pub wait: Option<Duration>,
    /// Of the call, for the problem of a job that it becomes.
    pub request_id: Option<String>,
}

/// The answer, or the job that will have it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them at a time, on its way out")]
pub enum SqlAnswer {
    Page(Answer),
    Job(catalog::Job),
}

/// What a statement would answer and what it reads: for saving it as an analysis.
#[derive(Clone, Debug)]
pub struct Described {
    pub columns: Vec<ColumnType>,
    /// Tables the text names; the caller's own are `my.…`.
    pub names: Vec<TableName>,
    /// Those and all that the views among them read: a definition whose own name is in here would read itself.
    pub rests_on: Vec<TableName>,
    /// Whether two runs over the same data may differ (`now()`, `random()`).
    pub volatile: bool,
}

/// A statement as the task a worker needs to store its result: see [`crate::sandbox::Materialise`].
pub struct Expanded {
    pub plan: Plan,
    /// The files behind the plan's numbers.
    pub files: Arc<dyn worker::Files>,
    /// All it rests on, at the pinned versions, views included.
    pub tables: Vec<Arc<Table>>,
    pub volatile: bool,
}
