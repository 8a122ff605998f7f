//! Customers' SQL as the gateway sees it: whose, over which tables, at which versions. What the text means is known only in a worker.
//!
//! ```text
//! text ─▶ names (worker, remembered) ─▶ pin in one catalog read ─▶ tag ─▶ cache
//!                                                                   └ miss ─▶ plan ─▶ worker ─▶ page
//!                                                                              └ 10 s ─▶ job, the same task goes on
//! ```
//! A statement that nobody waits for any more is stopped: its cost was the caller's choice.

mod job;
mod missing;
mod names;
mod page;
mod plan;
mod request;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Table};
use chrono::{DateTime, Utc};
use identity::{Principal, TableName, WorkspaceId};
use lake::Lake;
use serde_json::Value;
use worker::{Class, Pool};

pub use job::SQL_JOB;
pub use names::VIEW_DEPTH;
pub use request::{Described, Expanded, SqlAnswer, SqlRequest};

pub(crate) use names::{Asker, Pin, Pinned, canonical};
pub(crate) use page::{Envelope, page};
#[cfg(test)]
pub(crate) use plan::lay;
pub(crate) use work::{Promotion, Ready, Seat, Statement};

use crate::cache::Cache;
use crate::cursor::Seal;
use crate::sandbox::{Limits, Plan, Resolved};
use crate::{Answer, Format, QueryError};

/// Rows of an ad-hoc statement where none are asked for.
const LIMIT: u64 = 10_000;

/// Times and sizes of statements.
#[derive(Clone, Copy, Debug)]
pub struct SqlLimits {
    /// How long a caller waits before it becomes a job.
    pub inline: Duration,
    /// How long a statement may run in all.
    pub job: Duration,
    pub text_bytes: usize,
    /// Caps inside the worker.
    pub task: Limits,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            inline: Duration::from_secs(10),
            job: Duration::from_secs(600),
            text_bytes: 64 << 10,
            task: Limits::default(),
        }
    }
}

/// Runs customers' statements. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sql {
    pub catalog: Catalog,
    pub lake: Lake,
    pub pool: Pool,
    pub cache: Cache,
    pub limits: SqlLimits,
    /// Signs the cursors of rows.
    pub seal: Seal,
    /// (workspace, hash of the text) -> names.
    resolved: moka::sync::Cache<(WorkspaceId, [u8; 32]), Arc<Resolved>>,
}

impl Sql {
    pub fn new(
        catalog: Catalog,
        lake: Lake,
        pool: Pool,
        cache: Cache,
        limits: SqlLimits,
        seal: Seal,
    ) -> Self {
        Self { catalog, lake, pool, cache, limits, seal, resolved: moka::sync::Cache::new(20_000) }
    }

    /// Answers a statement, or turns it into a job.
    pub async fn ask(
        &self,
        principal: &Principal,
        request: SqlRequest,
        now: DateTime<Utc>,
    ) -> Result<SqlAnswer, QueryError> {
        let wait = request.wait.unwrap_or(self.limits.inline).min(self.limits.inline);
        let asked_by = request.request_id.clone();
        let statement = statement(request)?;
        let mut seat = Seat::new(principal.workspace, Class::Inline, self.limits.inline);
        let ready = self.ready(principal, statement, None, now, &mut seat).await?;
        if let Some(page) = self.cache.get(&ready.tag).filter(|_| !ready.volatile) {
            return Ok(SqlAnswer::Page(Answer { page, hit: true }));
        }
        if wait.is_zero() {
            drop(seat);
            return self.enqueue(&ready, asked_by, now).await.map(SqlAnswer::Job);
        }
        let promotion = Promotion::default();
        let flight = self.start(ready.clone(), seat, promotion.clone(), Envelope::Sql);
        match tokio::time::timeout(wait, flight.clone()).await {
            Ok(page) => Ok(SqlAnswer::Page(Answer { page: page?, hit: false })),
            Err(_) => self.outgrown(&ready, asked_by, flight, &promotion, now).await.map(SqlAnswer::Job),
        }
    }

    /// What a statement would answer and what it reads, without running it.
    pub async fn describe(
        &self,
        principal: &Principal,
        sql: &str,
        params: &[Value],
        now: DateTime<Utc>,
    ) -> Result<Described, QueryError> {
        let request = SqlRequest {
            sql: sql.to_owned(),
            params: params.to_vec(),
            dry_run: true,
            ..SqlRequest::default()
        };
        let mut seat = Seat::new(principal.workspace, Class::Inline, self.limits.inline);
        let ready = self.ready(principal, statement(request)?, None, now, &mut seat).await?;
        let (answered, _) = self.run_on(&ready, &mut seat, &Promotion::default()).await?;
        let names = ready.pinned.names.iter().map(|name| names::canonical(name, principal)).collect();
        let rests_on = ready.pinned.tables.keys().cloned().collect();
        Ok(Described { columns: answered.columns, names, rests_on, volatile: ready.volatile })
    }

    /// The error of a table that is not there or not the caller's.
    pub async fn unknown_table(&self, principal: &Principal, name: &TableName) -> QueryError {
        missing::unknown(&name.to_string(), principal, &self.catalog).await
    }

    /// The task of a statement whose result will be stored.
    pub async fn expand(
        &self,
        principal: &Principal,
        sql: &str,
        params: &[Value],
        as_of: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Expanded, QueryError> {
        let request =
            SqlRequest { sql: sql.to_owned(), params: params.to_vec(), as_of, ..SqlRequest::default() };
        let mut seat = Seat::new(principal.workspace, Class::Long, self.limits.job);
        let ready = self.ready(principal, statement(request)?, None, now, &mut seat).await?;
        drop(seat);
        let (plan, files) = self.plan(&ready).await?;
        let plan =
            Plan { limit: None, limits: Limits { rows: u64::MAX, bytes: u64::MAX, ..plan.limits }, ..plan };
        let tables: Vec<Arc<Table>> = ready.pinned.tables.values().cloned().collect();
        Ok(Expanded { plan, files, tables, volatile: ready.volatile })
    }
}

fn statement(request: SqlRequest) -> Result<Statement, QueryError> {
    let SqlRequest { sql, params, limit, as_of, dry_run, format, wait: _, request_id: _ } = request;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=crate::PAGE_ROWS).contains(&limit) {
        return Err(QueryError::parameter("limit", format!("`limit` is 1 to {}", crate::PAGE_ROWS)));
    }
    let (limit, format) = if dry_run { (0, Format::Json) } else { (limit, format) };
    Ok(Statement { sql, params, limit, hidden: 0, sequential: false, format, as_of, shape: "sql".to_owned() })
}

/// Pins of a job's row, by name.
pub(crate) type Pins = BTreeMap<identity::TableName, Pin>;
