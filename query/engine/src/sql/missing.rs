//! Why a name has no rows, said in full: what it may have meant, or what became of the run that should have made them.

use std::sync::Arc;

use catalog::{Catalog, Job, Status, Table};
use identity::{Principal, TableName};
use serde_json::{Value, json};

use crate::QueryError;
use crate::sandbox::near::{did_you_mean, near_tables};

/// When a run that waits or works may have ended.
const RETRY_SECS: u64 = 1;

/// A name that cannot be read, in the caller's spelling.
pub(super) enum Missing {
    /// Not there, or not the caller's to see.
    Table(TableName),
    /// A stored analysis without a result.
    Result(TableName, Arc<Table>),
}

impl Missing {
    /// What the caller is told. Shape: `unknown-table`, or `conflict` with the last run.
    pub async fn explained(self, principal: &Principal, catalog: &Catalog) -> QueryError {
        match self {
            Self::Table(name) => unknown(&name.to_string(), principal, catalog).await,
            Self::Result(name, table) => match catalog.runs(principal.workspace, table.id, 1, None).await {
                Ok(runs) => no_result(&name, runs.first()),
                Err(error) => QueryError::catalog(error),
            },
        }
    }
}

/// No table of that name, and which of those the caller sees it may have meant.
pub(super) async fn unknown(name: &str, principal: &Principal, catalog: &Catalog) -> QueryError {
    // The answer is the same without a hint: none is worth another failure.
    let tables = catalog.list(principal.workspace).await.unwrap_or_default();
    let seen: Vec<String> = tables.iter().map(|table| seen_as(table)).collect();
    let own = format!("{}.", principal.slug.as_str());
    let asked = name.strip_prefix(&own).map_or(name.to_owned(), |table| format!("{}.{table}", TableName::MY));
    let hint = did_you_mean(&near_tables(&asked, seen.iter().map(String::as_str)));
    QueryError::UnknownTable { name: name.to_owned(), hint }
}

/// The name under which the caller writes a table.
fn seen_as(table: &Table) -> String {
    match table.workspace {
        Some(_) => format!("{}.{}", TableName::MY, table.name.table),
        None => table.name.to_string(),
    }
}

fn no_result(name: &TableName, run: Option<&Job>) -> QueryError {
    let Some(run) = run else {
        let detail = format!("`{name}` has no result yet: it was never run");
        return QueryError::NoResult { detail, run: None, retry_after_secs: None };
    };
    let waits = !run.status.is_final() || run.status == Status::Succeeded;
    let problem = run.problem.as_ref().filter(|_| !waits);
    let detail = match run.status {
        Status::Queued => {
            format!("`{name}` has no result yet: its first run, job {}, waits to begin", run.id)
        }
        Status::Running | Status::Succeeded => {
            format!("`{name}` has no result yet: its first run, job {}, has not ended", run.id)
        }
        Status::Cancelled => format!("`{name}` has no result: its last run, job {}, was cancelled", run.id),
        Status::Failed => {
            format!("`{name}` has no result: its last run, job {}, failed{}", run.id, because(problem))
        }
    };
    let told = json!({"job": run.id.to_string(), "status": run.status.as_str(), "problem": problem});
    QueryError::NoResult { detail, run: Some(told), retry_after_secs: waits.then_some(RETRY_SECS) }
}

/// ` (query-failed): division by zero`, as far as the run left it.
fn because(problem: Option<&Value>) -> String {
    let text = |key: &str| problem.and_then(|problem| problem.get(key)?.as_str());
    let code = text("code").map(|code| format!(" ({code})")).unwrap_or_default();
    let detail = text("detail").map(|detail| format!(": {detail}")).unwrap_or_default();
    code + &detail
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use identity::JobId;

    use super::*;

    fn run(status: Status, problem: Option<Value>) -> Job {
        Job {
            id: JobId::new(),
            workspace: None,
            table: None,
            kind: "materialise".into(),
            payload: Value::Null,
            principal: Value::Null,
            status,
            attempts: 1,
            percent: 0.0,
            rows: 0,
            result: None,
            meta: None,
            problem,
            cancel_requested: false,
            run_at: Utc::now(),
            created_at: Utc::now(),
            started_at: None,
            ended_at: None,
            lease_until: None,
        }
    }

    fn told(run: Option<&Job>) -> (String, Option<u64>) {
        let error = no_result(&TableName::new("my", "total"), run);
        assert_eq!(error.code(), "conflict");
        (error.to_string(), error.retry_after_secs())
    }

    #[test]
    fn a_run_that_failed_says_why_and_is_not_waited_for() {
        let failed = run(Status::Failed, Some(json!({"code": "query-failed", "detail": "division by zero"})));
        let (detail, retry) = told(Some(&failed));
        assert!(
            detail.ends_with(&format!("job {}, failed (query-failed): division by zero", failed.id)),
            "{detail}"
        );
        assert_eq!(retry, None);
        assert!(told(Some(&run(Status::Failed, None))).0.ends_with("failed"));
    }

    #[test]
    fn a_run_under_way_is_waited_for() {
        for status in [Status::Queued, Status::Running, Status::Succeeded] {
            let (detail, retry) = told(Some(&run(status, None)));
            assert!(detail.contains("no result yet") && retry == Some(1), "{detail}");
        }
        assert!(told(Some(&run(Status::Cancelled, None))).0.ends_with("was cancelled"));
        assert!(told(None).0.contains("never run"));
    }
}
