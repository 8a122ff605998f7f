//! Customers' SQL, inside a worker process (query/engine/src/sandbox).
//!
//! ```text
//! Task resolve ─▶ text caps ▸ parse ▸ one query? ▸ shape caps ─▶ table names
//! Task query   ─▶ … ▸ session with the allowed functions ▸ views by their own scope ▸ plan on a deep stack
//!                 ▸ plan is read-only? ▸ joins guarded ▸ run under memory, spill, row and byte caps ─▶ encode
//! Task files   ─▶ the same, into sorted Parquet files in the scratch folder (`op: materialise`)
//! ```
//! The second wall: the first is the process itself (crate `worker`). Nothing here knows a path of the
//! lake, a credential or another customer: tables are the numbered files of the task.

mod columns;
mod deep;
mod files;
mod functions;
mod guard;
mod materialise;
mod names;
pub(crate) mod near;
mod page;
mod params;
mod plan;
mod ready;
mod refuse;
mod session;
mod shape;
mod statement;
mod words;

pub use materialise::stored_names;
pub use plan::{
    Answered, Files, Limits, Materialise, Object, Plan, PlannedFile, Resolved, Written, WrittenFile,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use session::Sessions;
use worker::{Refusal, Reply, Task};

/// The functions and caches every statement of this process runs with; built once, cheap to share.
#[derive(Clone)]
pub struct Sandbox {
    sessions: Sessions,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Deserialize)]
struct Resolve {
    sql: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { sessions: Sessions::new() }
    }

    /// Handles `resolve` and `query`, and `files` with `op: materialise`. Errors: a [`Refusal`] with the
    /// code of a problem; what the task should not have been asked is `internal`.
    pub async fn handle(&self, mut task: Task) -> Result<Reply, Refusal> {
        let request = std::mem::take(&mut task.request);
        let op = request.get("op").and_then(Value::as_str);
        match (task.kind.as_str(), op) {
            ("resolve", _) => resolve(read(request)?).await,
            ("query", _) => self.query(task, read(request)?).await,
            ("files", Some("materialise")) => materialise::run(&self.sessions, task, read(request)?).await,
            (kind, _) => Err(Refusal::new("internal", format!("no task is called `{kind}`"))),
        }
    }

    async fn query(&self, task: Task, plan: Plan) -> Result<Reply, Refusal> {
        let limit = plan.limit.unwrap_or(u64::MAX).min(plan.limits.rows);
        let shape = page::Shape {
            format: plan.format,
            bom: plan.bom,
            hidden: plan.hidden,
            rows: limit,
            bytes: plan.limits.bytes,
        };
        let ready =
            ready::ready(&self.sessions, &task, plan, move |plan| ready::limited(plan, limit)).await?;
        page::run(ready, &shape).await
    }
}

/// Parses and judges a statement, and tells the tables it names.
async fn resolve(asked: Resolve) -> Result<Reply, Refusal> {
    let resolved =
        deep::deep(move || async move { statement::check(&asked.sql).map(|checked| checked.resolved) })
            .await?;
    Ok(Reply::head(head(&resolved)?))
}

fn read<T: DeserializeOwned>(request: Value) -> Result<T, Refusal> {
    serde_json::from_value(request).map_err(|error| {
        tracing::error!(%error, "a task cannot be read");
        Refusal::new("internal", "the task cannot be read")
    })
}

fn head(value: &impl serde::Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|_| Refusal::new("internal", "the answer has no text"))
}

#[cfg(test)]
mod tests;
